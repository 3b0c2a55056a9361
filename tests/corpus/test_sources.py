from pathlib import Path

import pytest

from corpus.errors import UsageError
from corpus.sources import LOCAL, NETWORK, TYPES, Source, load_project

TARGET = '[target]\nname = "A pact"\naliases = ["pact"]\n'


def project(tmp_path: Path, text: str) -> Path:
    (tmp_path / "project.toml").write_text(text, encoding="utf-8")
    return tmp_path


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_project(project(tmp_path, text))
    message = str(caught.value)
    assert str(tmp_path / "project.toml") in message
    assert "\n" not in message
    return message


def test_a_project_has_its_target_its_sources_and_places_for_what_is_collected(tmp_path: Path) -> None:
    found = load_project(
        project(
            tmp_path,
            TARGET
            + '[fetching]\ncontact = "a@b.org"\ndelay = 2.5\n'
            + '[[sources]]\nname = "feed-1"\ntype = "feed"\nurls = ["https://news.test/feed"]\npublisher = "News"\n'
            + '[[sources]]\nname = "saved"\ntype = "files"\npaths = ["inbox"]\n',
        )
    )
    assert (found.target.name, found.target.aliases) == ("A pact", ("pact",))
    assert (found.fetching.contact, found.fetching.delay, found.fetching.per_host) == ("a@b.org", 2.5, 1)
    assert [s.name for s in found.sources] == ["feed-1", "saved"]
    assert found.store_url == f"sqlite:///{tmp_path.as_posix()}/corpus.db"
    assert found.snapshots == tmp_path / "snapshots"
    assert [s.name for s in found.chosen(["saved"])] == ["saved"]
    assert found.chosen(()) == found.sources


def test_the_store_may_be_named(tmp_path: Path) -> None:
    assert load_project(project(tmp_path, TARGET + '[store]\nurl = "postgresql://h/db"\n')).store_url == "postgresql://h/db"


def test_tables_of_other_commands_are_left_to_them(tmp_path: Path) -> None:
    assert load_project(project(tmp_path, TARGET + "[label_studio]\nport = 8080\n")).sources == ()


def test_a_misspelt_source_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    found = load_project(project(tmp_path, TARGET + '[[sources]]\nname = "reports"\ntype = "files"\npaths = ["x"]\n'))
    with pytest.raises(UsageError, match="expected a source named 'report', found none; did you mean 'reports'"):
        found.chosen(["report"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("target = 3\n", "target: expected `object`, got `int`"),
        ("[target]\nname = 'A'\n", "missing required field `aliases`"),
        ("[target]\nname = ' '\naliases = ['a']\n", "name is empty"),
        ("[target]\nname = 'A'\naliases = []\n", "aliases"),
        ("[target\n", "expected TOML, but expected ']'"),
        (TARGET + "[fetching]\ncontact = 'nobody'\n", "contact is 'nobody', expected an e-mail address or a web page"),
        (TARGET + "[fetching]\ncontact = 'you@example.org'\n", "placeholder"),
        (TARGET + "[fetching]\ndelay = -1\n", "delay is -1"),
        (TARGET + "[fetching]\ntimeout = 0\n", "timeout is 0"),
        (TARGET + "[fetching]\nper_host = 0\n", "per_host is 0"),
        (TARGET + "[fetching]\ndealy = 1\n", "dealy"),
        (TARGET + "[[sources]]\nname = 'A b'\ntype = 'feed'\nurls = ['http://a.b/']\n", "name is 'A b'"),
        (
            TARGET + "[[sources]]\nname = 'a'\ntype = 'rss'\nurls = ['http://a.b/']\n",
            "type of 'a' is 'rss', expected one of feed",
        ),
        (TARGET + "[[sources]]\nname = 'a'\ntype = 'feed'\n", "source 'a' of type feed has no urls"),
        (TARGET + "[[sources]]\nname = 'a'\ntype = 'gdelt'\n", "source 'a' of type gdelt has no query"),
        (TARGET + "[[sources]]\nname = 'a'\ntype = 'warc'\n", "source 'a' of type warc has no paths"),
        (TARGET + "[[sources]]\nname = 'a'\ntype = 'urls'\nurls = ['ftp://a.b/']\n", "'ftp://a.b/', expected one with http"),
        (
            TARGET + "[[sources]]\nname = 'a'\ntype = 'crawl'\nurls = ['http://a.b/']\n",
            "without a pattern a crawl has no bounds",
        ),
        (
            TARGET + "[[sources]]\nname = 'a'\ntype = 'crawl'\nurls = ['http://a.b/']\nallow = ['(']\n",
            "the pattern '(', which is no regular expression",
        ),
        (TARGET + "[[sources]]\nname = 'a'\ntype = 'feed'\nurls = ['http://a.b/']\nhurry = true\n", "hurry"),
        (
            TARGET
            + "[[sources]]\nname = 'a'\ntype = 'files'\npaths = ['x']\n" * 1
            + "[[sources]]\nname = 'a'\ntype = 'files'\npaths = ['y']\n",
            "found 'a' twice",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path, text)


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found none; make one with `treaty-stance init"):
        load_project(tmp_path)


def test_every_type_is_either_fetched_or_local() -> None:
    assert set(NETWORK) | set(LOCAL) == set(TYPES)
    assert not set(NETWORK) & set(LOCAL)


def test_patterns_let_addresses_in_and_keep_them_out() -> None:
    source = Source(name="s", type="crawl", urls=("http://a.b/",), allow=("/press/",), deny=(r"\.jpg$",))
    assert source.takes("http://a.b/press/1")
    assert not source.takes("http://a.b/press/1.jpg")
    assert not source.takes("http://a.b/about")
    assert Source(name="s", type="feed", urls=("http://a.b/",)).takes("http://else.where/")

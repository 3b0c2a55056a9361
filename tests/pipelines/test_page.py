"""What every page is made of: nothing that is filled in can end its place, and only web addresses become links."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from pipelines.page import inline_json, inline_script, page_environment, script_hash, web_link

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_inline_json_says_the_same_and_holds_no_markup(value: object) -> None:
    text = str(inline_json(value))
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_inline_json_takes_no_number_that_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="JSON"):
        inline_json({"f1": float("nan")})


def test_an_inline_script_cannot_end_its_element_or_open_a_comment() -> None:
    script = inline_script('a = "</script><!--";\r\nb = 1;')
    assert str(script) == 'a = "<\\/script><\\!--";\nb = 1;'


def test_a_policy_names_a_script_by_the_sha256_of_its_bytes() -> None:
    expected = base64.b64encode(hashlib.sha256("é = 1".encode()).digest()).decode()
    assert script_hash("é = 1") == f"'sha256-{expected}'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", script_hash(""))


@pytest.mark.parametrize("url", ["http://example.org", "https://example.org/a?b=c#d", "HTTPS://example.org"])
def test_web_addresses_are_linked(url: str) -> None:
    assert web_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " https://example.org",
        "data:text/html,x",
        "//example.org",
        "file:a.txt",
        "",
        None,
        3,
        float("nan"),
    ],
)
def test_nothing_else_is_linked(url: object) -> None:
    assert web_link(url) is None


def test_what_is_filled_into_a_template_is_escaped_and_what_is_missing_is_an_error() -> None:
    environment = page_environment()
    assert (
        environment.from_string("{{ a }}|{{ 12345 | thousands }}").render(a="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;|12,345"
    )
    with pytest.raises(UndefinedError):
        environment.from_string("{{ missing }}").render()

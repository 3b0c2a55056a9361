"""Made-up pages: articles out of templates, some of them copies and light edits of others, in the markup of a news site."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

_NOUNS = [
    "treaty",
    "delegate",
    "ministry",
    "court",
    "privacy",
    "evidence",
    "network",
    "police",
    "draft",
    "article",
    "assembly",
    "border",
    "witness",
    "server",
    "company",
    "researcher",
    "journalist",
    "committee",
    "safeguard",
    "prosecutor",
    "passport",
    "archive",
    "harbour",
    "market",
    "village",
    "engine",
    "garden",
    "school",
    "river",
]
_VERBS = [
    "reads",
    "weighs",
    "drafts",
    "rejects",
    "welcomes",
    "studies",
    "questions",
    "delays",
    "signs",
    "amends",
    "reports",
    "follows",
    "copies",
    "measures",
]
_KINDS = [
    "careful",
    "early",
    "public",
    "foreign",
    "narrow",
    "broad",
    "digital",
    "common",
    "former",
    "regional",
    "legal",
    "technical",
    "quiet",
    "long",
]
_NAMES = [
    "Okello",
    "Marin",
    "Tanaka",
    "Ferreira",
    "Novak",
    "Haddad",
    "Lindqvist",
    "Mbeki",
    "Castro",
    "Ivanova",
    "Rahman",
    "Dubois",
    "Keller",
    "Osei",
]


def sentence(rng: random.Random) -> str:
    """Return a made-up sentence of about fifteen words."""
    words = [
        f"the {rng.choice(_KINDS)} {rng.choice(_NOUNS)} {rng.choice(_VERBS)} a {rng.choice(_KINDS)} {rng.choice(_NOUNS)}"
    ]
    words.append(f"while {rng.choice(_NAMES)} of the {rng.choice(_NOUNS)} {rng.choice(_VERBS)} the {rng.choice(_NOUNS)}")
    text = ", ".join(words)
    return text[0].upper() + text[1:] + "."


def texts(count: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yield addresses and paragraphs; some texts are copies and light edits of earlier ones."""
    rng = random.Random(seed)  # noqa: S311  # made-up texts, not secrets
    kept: list[list[str]] = []
    for i in range(count):
        draw = rng.random()
        if kept and draw < 0.02:
            paragraphs = rng.choice(kept)
        elif kept and draw < 0.12:
            paragraphs = list(rng.choice(kept))
            paragraphs[rng.randrange(len(paragraphs))] += f" Edition {i}."
        else:
            paragraphs = [" ".join(sentence(rng) for _ in range(rng.randint(2, 4))) for _ in range(rng.randint(6, 14))]
            paragraphs[0] = f"The cybercrime treaty is number {i}. " + paragraphs[0]
            paragraphs[1] += f" “We will not sign number {i},” said {rng.choice(_NAMES)} {rng.choice(_NAMES)} on Monday."
            if len(kept) < 2000:
                kept.append(paragraphs)
        yield f"https://site{i % 50}.test/{2020 + i % 6}/{i}", paragraphs


def page(url: str, paragraphs: list[str], *, light: bool = False) -> bytes:
    """Return an HTML page with what stands around an article on the web: about 100 kB, a usual weight of a news page.

    A light one has a menu and little else: about 6 kB.
    """
    if light:
        body = "".join(f"<p>{p}</p>" for p in paragraphs)
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{paragraphs[0][:60]}</title>'
            f'<link rel="canonical" href="{url}"></head><body><nav><a href="/">Home</a></nav><article>'
            f"<h1>{paragraphs[0][:60]}</h1>{body}</article><footer><p>All rights reserved.</p></footer></body></html>"
        ).encode()
    menu = "".join(
        f'<li class="menu__item menu__item--{i}"><a class="menu__link" href="/section/{i}" data-track="nav:{i}"><span>'
        f'Section {i}</span></a><ul class="menu__sub"><li><a href="/section/{i}/latest">Latest</a></li></ul></li>'
        for i in range(60)
    )
    cards = "".join(
        f'<div class="card card--teaser"><div class="card__media"><a href="/more/{i}"><picture><source srcset="'
        f'/i/{i}-2x.webp 2x, /i/{i}.webp 1x"><img loading="lazy" alt="" src="/i/{i}.jpg" width="320" height="180"></picture>'
        f"</a></div>"
        f'<div class="card__body"><h3 class="card__title"><a href="/more/{i}">Another story, number {i}</a></h3>'
        f'<span class="card__meta">{i} minutes ago</span></div></div>'
        for i in range(50)
    )
    comments = "".join(
        f'<li class="comment" id="c{i}"><div class="comment__who">reader{i}</div><p>I agree with number {i - 1}.</p></li>'
        for i in range(20)
    )
    share = "".join(f'<a class="share__button share__button--{n}" href="https://{n}.test/share"></a>' for n in _NOUNS[:8])
    body = "".join(f'<p class="article__p">{p}</p>' for p in paragraphs)
    data = json.dumps(
        {"@type": "NewsArticle", "headline": paragraphs[0][:60], "keywords": _NOUNS, "slots": list(range(2000))}
    )
    script = (
        "<script>window.dataLayer=window.dataLayer||[];" + "function track(e){return e&&e.target||null};" * 250 + "</script>"
    )
    style = "<style>" + ".card__title{font:600 1rem/1.3 serif;margin:0 0 .5rem}" * 250 + "</style>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{paragraphs[0][:60]}</title>'
        f'<meta property="article:published_time" content="2025-0{1 + len(body) % 9}-11T08:00:00Z"><meta name="author" '
        f'content="A. Writer"><link rel="canonical" href="{url}">{style}{script}'
        f'<script type="application/ld+json">{data}</script></head><body><header><nav><ul>{menu}</ul></nav></header><main>'
        f'<article><h1>{paragraphs[0][:60]}</h1><div class="share">{share}</div><div class="article__body">{body}</div>'
        f"</article>"
        f'<section class="comments"><ol>{comments}</ol></section><aside>{cards}</aside></main>'
        f"<footer><p>All rights reserved. Terms and conditions.</p><ul>{menu}</ul></footer>{script}</body></html>"
    ).encode()


def write_archive(path: Path, count: int, seed: int, *, light: bool = False) -> None:
    """Write pages as a WARC archive, as a crawler would have."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=True)
        for url, paragraphs in texts(count, seed):
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
            body = io.BytesIO(page(url, paragraphs, light=light))
            writer.write_record(writer.create_warc_record(url, "response", payload=body, http_headers=headers))

"""Bytes become text by what they are, and never mojibake."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.charset import declared_charset, decode, storable

FRENCH = "Le ministre a signé la convention à Hanoï ; « c’est assez », dit-il, avant l’été."
CZECH = "Ministři včera podepsali dohodu a nyní ji musí schválit parlament. Hlasování se uskuteční v pátek, řekl předseda."
RUSSIAN = "Министры подписали договор вчера, и теперь его должен утвердить парламент. Голосование назначено на пятницу."
CHINESE = "各国代表昨日在河内签署了公约，记者协会对此表示担忧，要求在条文中写明研究的例外。"
JAPANESE = "各国の代表は昨日ハノイで条約に署名した。記者たちは懸念を示している。"


def page(text: str, meta: str | None = None) -> str:
    declared = f'<meta charset="{meta}">' if meta else ""
    return f"<html><head>{declared}<title>x</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    ("text", "true", "header", "meta"),
    [
        pytest.param(FRENCH, "utf-8", None, None, id="UTF-8 undeclared"),
        pytest.param(FRENCH, "utf-8", "iso-8859-1", None, id="UTF-8 said to be Latin-1"),
        pytest.param(FRENCH, "utf-8", None, "windows-1252", id="UTF-8 said by the page to be Windows-1252"),
        pytest.param(RUSSIAN, "utf-8", "windows-1251", "windows-1251", id="UTF-8 said to be Windows-1251"),
        pytest.param(FRENCH, "cp1252", "iso-8859-1", None, id="Windows-1252 said to be Latin-1"),
        pytest.param(FRENCH, "cp1252", None, "windows-1252", id="Windows-1252 by the page"),
        pytest.param(FRENCH, "cp1252", "utf-8", "utf-8", id="Windows-1252 said to be UTF-8"),
        pytest.param(RUSSIAN, "cp1251", "windows-1251", None, id="Windows-1251 by the header"),
        pytest.param(RUSSIAN, "cp1251", None, "windows-1251", id="Windows-1251 by the page"),
        pytest.param(RUSSIAN, "cp1251", "utf-8", "windows-1251", id="header wrong, page right"),
        pytest.param(RUSSIAN, "cp1251", "iso-8859-1", None, id="Windows-1251 said to be Latin-1"),
        pytest.param(RUSSIAN, "cp1251", None, None, id="Windows-1251 undeclared"),
        pytest.param(FRENCH, "cp1252", None, None, id="Windows-1252 undeclared"),
        pytest.param(CZECH, "cp1250", None, None, id="Windows-1250 undeclared"),
        pytest.param(RUSSIAN, "koi8-r", "koi8-r", None, id="KOI8-R"),
        pytest.param(CHINESE, "gb18030", "gb2312", None, id="GB 18030 said to be GB 2312"),
        pytest.param(JAPANESE, "shift_jis", None, "shift_jis", id="Shift JIS"),
        pytest.param(JAPANESE, "iso2022_jp", "iso-2022-jp", None, id="ISO-2022-JP, all ASCII bytes"),
        pytest.param(JAPANESE, "euc_jp", None, "euc-jp", id="EUC-JP"),
    ],
)
def test_a_page_is_read_whatever_is_declared(text: str, true: str, header: str | None, meta: str | None) -> None:
    headers = [("Content-Type", f"text/html; charset={header}")] if header else []
    body = page(text, meta).encode(true, "xmlcharrefreplace")
    assert decode(body, header=declared_charset(headers)) == body.decode(true)


@pytest.mark.parametrize(
    ("bom", "name"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_wins_and_goes(bom: bytes, name: str) -> None:
    assert decode(bom + page(FRENCH).encode(name), header="cp1252") == page(FRENCH)


def test_stray_bytes_in_a_utf8_page_are_read_as_windows_1252() -> None:
    body = page(FRENCH * 5).encode() + b"<footer>\xa9 The Gazette\x92s office</footer>"
    assert decode(body, header="utf-8") == page(FRENCH * 5) + "<footer>© The Gazette’s office</footer>"


def test_text_that_was_encoded_twice_is_put_right_where_it_is_plain() -> None:
    twice = page(FRENCH).encode().decode("cp1252").encode()
    assert decode(twice) == page(FRENCH)
    wanted = "An “Ã©” is what one sees when é is read wrongly: Ã¨, Ã©, Ãª."  # speaks of mojibake, and has other signs
    assert decode(wanted.encode()) == wanted


def test_bytes_that_are_no_text_have_none() -> None:
    assert decode(bytes(range(0x80, 0x100)) * 3 + b"\x00\x01\x02\xff\xfe", markup=False) is None


def test_a_charset_that_nobody_knows_or_that_hides_markup_is_passed_over() -> None:
    assert declared_charset([("content-type", "text/html; charset=klingon")]) is None
    assert decode(b"<p>+ADw-script+AD4-</p>", header="utf-7") == "<p>+ADw-script+AD4-</p>"
    assert declared_charset([("X", "y")]) is None


@settings(deadline=None)
@given(st.text())
def test_utf8_text_comes_back_unless_it_was_encoded_twice(text: str) -> None:
    try:
        body = text.encode()
    except UnicodeEncodeError:
        return
    assert decode(body.removeprefix(codecs.BOM_UTF8)) is not None
    if all(ord(char) < 0x80 or ord(char) > 0x2122 for char in text) and not text.startswith("\ufeff"):
        assert decode(body) == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a\x00b", "ab"), ("\ud83d\ude00", "😀"), ("a\ud83db", "a\ufffdb"), ("\udc00", "\ufffd"), ("é😀", "é😀")],
)
def test_what_no_database_stores_goes(text: str, stored: str) -> None:
    assert storable(text) == stored


@settings(deadline=None)
@given(st.text(st.characters()))
def test_what_is_stored_can_be_encoded(text: str) -> None:
    once = storable(text)
    assert "\0" not in once.encode("utf-8").decode("utf-8")
    assert storable(once) == once

"""Which addresses are asked, by number and by what a name resolves to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scrapy.exceptions import CannotResolveHostError
from scrapy.resolver import dnscache
from twisted.internet.address import IPv4Address, IPv6Address

from corpus.guard import Resolver, refused


@pytest.mark.parametrize(
    "number",
    [
        "127.0.0.1", "127.8.9.10", str(ipaddress.IPv4Address(0)), "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "169.254.169.254", "0.1.2.3", "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1", "198.18.0.1",
        "203.0.113.5", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
        "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1",
        "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_numbers_of_no_public_host_are_refused(number: str) -> None:
    assert refused(number) is not None


@pytest.mark.parametrize(
    "number", ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"]
)
def test_public_numbers_are_asked(number: str) -> None:
    assert refused(number) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_number_inside_an_ipv6_one_is_judged_as_itself(number: ipaddress.IPv4Address) -> None:
    inside = ipaddress.IPv6Address((0xFFFF << 32) | int(number))
    assert (refused(str(inside)) is None) == (refused(str(number)) is None)


@given(st.ip_addresses())
def test_nothing_is_asked_that_python_does_not_call_global(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if refused(str(number)) is None:
        assert number.is_global
        assert not number.is_multicast


class _Names:
    """A name server that gives one list of numbers after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    def resolveHostName(self, receiver: object, hostName: str, portNumber: int = 0, *rest: object) -> object:  # noqa: N802, N803
        receiver.resolutionBegan(None)  # type: ignore[attr-defined]
        for number in self.answers.pop(0):
            kind = IPv6Address if ":" in number else IPv4Address
            receiver.addressResolved(kind("TCP", number, portNumber))  # type: ignore[attr-defined]
        receiver.resolutionComplete()  # type: ignore[attr-defined]
        return receiver


class _Reactor:
    def __init__(self, names: _Names) -> None:
        self.nameResolver = names


class _Receiver:
    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.complete = False

    def resolutionBegan(self, resolution: object) -> None:  # noqa: N802
        pass

    def addressResolved(self, address: IPv4Address) -> None:  # noqa: N802
        self.numbers.append(address.host)

    def resolutionComplete(self) -> None:  # noqa: N802
        self.complete = True


@pytest.fixture(autouse=True)
def _no_names_remembered() -> Iterator[None]:
    limit = dnscache.limit
    dnscache.clear()
    yield
    dnscache.clear()
    dnscache.limit = limit


def _resolve(resolver: Resolver, name: str) -> list[str]:
    receiver = _Receiver()
    resolver.resolveHostName(receiver, name, 80)
    assert receiver.complete
    return receiver.numbers


def test_a_name_stands_for_its_public_numbers_alone() -> None:
    resolver = Resolver(_Reactor(_Names(["8.8.8.8", "10.0.0.1", "::1"])), 100)  # type: ignore[arg-type]
    assert _resolve(resolver, "mixed.example") == ["8.8.8.8"]


def test_a_name_with_private_numbers_alone_stands_for_nothing_and_the_reason_is_known() -> None:
    resolver = Resolver(_Reactor(_Names(["192.168.0.7"])), 100)  # type: ignore[arg-type]
    assert _resolve(resolver, "inside.example") == []
    assert resolver.found["inside.example"] == "192.168.0.7 is a private or reserved address"


def test_a_name_that_changes_its_number_meanwhile_is_checked_each_time() -> None:
    names = _Names(["8.8.8.8"], ["127.0.0.1"])
    resolver = Resolver(_Reactor(names), 0)  # type: ignore[arg-type]
    assert _resolve(resolver, "rebinding.example") == ["8.8.8.8"]
    dnscache.clear()
    assert _resolve(resolver, "rebinding.example") == []


def test_what_is_remembered_of_a_name_is_checked_too() -> None:
    resolver = Resolver(_Reactor(_Names(["127.0.0.1", "8.8.4.4"])), 100)  # type: ignore[arg-type]
    assert _resolve(resolver, "twice.example") == _resolve(resolver, "twice.example") == ["8.8.4.4"]


def test_private_sources_may_ask_everything() -> None:
    resolver = Resolver(_Reactor(_Names(["127.0.0.1"])), 100, private=True)  # type: ignore[arg-type]
    assert _resolve(resolver, "inside.example") == ["127.0.0.1"]


def test_a_proxy_of_the_environment_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    resolver = Resolver(_Reactor(_Names(["10.0.0.1"], ["10.0.0.1"])), 100)  # type: ignore[arg-type]
    assert _resolve(resolver, "proxy.example") == ["10.0.0.1"]
    assert _resolve(resolver, "other.example") == []


def test_reasons_are_words() -> None:
    from corpus.reasons import why

    assert why(CannotResolveHostError("x")) == "the host's name has no address"
    assert why(ValueError("a\nb")) == "ValueError: a b"

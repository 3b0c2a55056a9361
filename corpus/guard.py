"""The guard: which network addresses are asked. What a name resolves to is checked where the connection is made.

The name is resolved once, what may not be asked is taken out, and the connection goes to what is left. So no second answer
of a name server, no redirect and no odd spelling of a number leads past the check.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies

from scrapy.exceptions import CannotResolveHostError, IgnoreRequest
from scrapy.resolver import CachingHostnameResolver
from twisted.internet.interfaces import IAddress, IHostResolution

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.internet.base import ReactorBase

PRIVATE = "GUARD_PRIVATE"
"""Name of the setting that lets private addresses be asked."""

# Hosts of cloud providers' internal services, on numbers that are public by the registry: Azure's, and Oracle's.
_INTERNAL = tuple(map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24")))
# IPv6 networks that carry an IPv4 address in their last 32 bits: translation (RFC 6052, 8215), and the old compatible form.
_CARRIERS = tuple(ipaddress.IPv6Network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))


class RefusedError(IgnoreRequest):
    """An address is not asked. The message is the reason."""


def refused(number: str) -> str | None:
    """Return why an IP address may not be asked, in a few words, or None for one of the public network.

    Raises:
        ValueError: when it is no IP address.
    """
    ip = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if carried is None and any(ip in network for network in _CARRIERS) and int(ip) > 1:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return refused(str(carried))
    kinds = (
        (ip.is_loopback, "a loopback address"),
        (ip.is_unspecified, "the unspecified address"),
        (ip.is_link_local, "a link-local address"),
        (ip.is_multicast, "a multicast address"),
        (any(ip in network for network in _INTERNAL), "an address inside a cloud provider"),
        (isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local, "a private address"),
        (not ip.is_global, "a private or reserved address"),
        (ip.is_reserved, "a reserved address"),
    )
    return next((words for holds, words in kinds if holds), None)


class _Sieve:
    """Hands on the addresses of a name that may be asked, and notes the last that may not."""

    def __init__(self, receiver: Any, name: str, found: dict[str, str]) -> None:
        self._receiver = receiver
        self._name = name
        self._found = found

    def resolutionBegan(self, resolution: IHostResolution) -> None:  # noqa: N802 - Twisted's name, as below
        self._found.pop(self._name, None)
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802
        number = str(getattr(address, "host", ""))
        reason = refused(number)
        if reason is None:
            self._receiver.addressResolved(address)
        else:
            self._found[self._name] = f"{number} is {reason}"

    def resolutionComplete(self) -> None:  # noqa: N802
        self._receiver.resolutionComplete()


class Resolver(CachingHostnameResolver):
    """The reactor's name resolver: names, and numbers in any spelling, stand for their public addresses alone.

    With the setting ``GUARD_PRIVATE`` they stand for all. The environment's HTTP proxies may be anywhere: whoever runs the
    program has named them.
    """

    def __init__(self, reactor: ReactorBase, cache_size: int, *, private: bool = False) -> None:
        super().__init__(reactor, cache_size)
        self.private = private
        self.found: dict[str, str] = {}
        self._proxies = {urlsplit(url).hostname for url in getproxies().values()}

    @classmethod
    def from_crawler(cls, crawler: Crawler, reactor: ReactorBase) -> Self:
        """Build it as Scrapy does."""
        return cls(reactor, crawler.settings.getint("DNSCACHE_SIZE"), private=crawler.settings.getbool(PRIVATE))

    def resolveHostName(  # noqa: N802
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: N803
        transportSemantics: str = "TCP",  # noqa: N803
    ) -> IHostResolution:
        """Resolve a name; see Twisted's IHostnameResolver."""
        if not self.private and hostName not in self._proxies:
            resolutionReceiver = _Sieve(resolutionReceiver, hostName, self.found)  # noqa: N806
        return super().resolveHostName(resolutionReceiver, hostName, portNumber, addressTypes, transportSemantics)


class Guard:
    """Downloader middleware next to the network: names a refusal's reason, and checks what a proxy would be asked for."""

    def __init__(self, crawler: Crawler) -> None:
        self._private = crawler.settings.getbool(PRIVATE)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build it as Scrapy does."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Refuse what a proxy would fetch from a private address, as far as its name can be resolved from here."""
        if self._private or not request.meta.get("proxy"):
            return
        host = urlsplit(request.url).hostname or ""
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(host, None)
        except OSError:
            return  # only the proxy knows the name
        for *_, there in answers:
            reason = refused(str(there[0]))
            if reason is not None:
                raise RefusedError(f"{there[0]} is {reason}; the source does not allow private addresses")

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Turn a name without an address that may be asked into a refusal, which is not tried again."""
        if not isinstance(exception, CannotResolveHostError):
            return
        from twisted.internet import reactor

        resolver = getattr(reactor, "nameResolver", None)
        found = resolver.found.get(urlsplit(request.url).hostname or "") if isinstance(resolver, Resolver) else None
        if found is not None:
            raise RefusedError(f"{found}; the source does not allow private addresses") from exception

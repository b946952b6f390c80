"""The address of whoever sent a request, from which nobody can pretend to come.

`X-Forwarded-For` is believed only as far as it was written by proxies named in `TRUSTED_PROXIES` (CIDR; `unix` for one
that connects through a Unix socket). It is read from the right: the first hop that is no trusted proxy is the client.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNIX_SOCKET = "unix"


def client_ip(request: HttpRequest) -> str | None:
    """Return the client's address (IPv4-mapped IPv6 as IPv4), or None when the request came over a bare Unix socket."""
    trusted, unix_trusted = _trusted_proxies(tuple(settings.TRUSTED_PROXIES))
    nearest = parse_address(request.META.get("REMOTE_ADDR", ""))
    believed = unix_trusted if nearest is None else _within(nearest, trusted)
    client = nearest
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if believed else []
    for hop in reversed(hops):
        address = parse_address(hop)
        if address is None:  # what stands left of nonsense was not written by our proxies
            break
        client = address
        if not _within(address, trusted):
            break
    return str(client) if client else None


def parse_address(text: str) -> Address | None:
    """Return the address written in `text`, which may bear a port, brackets or a zone, or None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def ip_allowed(ip: str | None, networks: tuple[str, ...]) -> bool:
    """Return whether an address is in one of the networks (CIDR). No networks means that every address is."""
    if not networks:
        return True
    address = parse_address(ip or "")
    return address is not None and _within(address, _networks(networks))


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


@lru_cache(maxsize=4096)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)


@lru_cache(maxsize=8)
def _trusted_proxies(texts: tuple[str, ...]) -> tuple[tuple[Network, ...], bool]:
    return _networks(tuple(text for text in texts if text != UNIX_SOCKET)), UNIX_SOCKET in texts

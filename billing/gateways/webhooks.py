"""Calling the addresses that customers name: every webhook goes through here.

A customer's address is a stranger's wish about where this server connects to. So the name is resolved once, every
address that it has must be a public one, and the connection goes to exactly the address that was looked at: a name that
answers differently a moment later changes nothing. Redirects are not followed, proxies of the environment not used, and
the whole exchange has one deadline. In production only https is called.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from billing.errors import AddressRefused

CONNECT_SECONDS, DEADLINE_SECONDS = 5.0, 15.0
READ_AT_MOST, SHOWN_AT_MOST = 16_384, 500
LONGEST_ADDRESS = 500
SIGNATURE = "Tokensight-Signature"


@dataclass(frozen=True)
class Answer:
    """What became of one call: the status and the beginning of the body, or why there is none; in ms how long."""

    status: int | None
    excerpt: str
    error: str
    took_ms: int

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def check_address(url: str) -> SplitResult:
    """Return the parts of an address that may be called, without asking the network. Raises AddressRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("This is no web address.") from None
    if len(url) > LONGEST_ADDRESS or not url.isascii() or any(character <= " " for character in url):
        raise AddressRefused("This is no web address.")
    schemes = {"https", "http"} if settings.WEBHOOKS_ANYWHERE else {"https"}
    if parts.scheme not in schemes or not parts.hostname:
        raise AddressRefused("The address must begin with https:// and name a server.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("The address must not contain a user name or a password.")
    if port == 0:
        raise AddressRefused("This is no web address.")
    if _literal(parts.hostname) is not None:
        _refuse_inside(parts.hostname)
    return parts


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send a body to an address once and return what came of it; whatever goes wrong is in the answer, never raised."""
    began = time.monotonic()
    try:
        status, excerpt = _exchange(check_address(url), body, headers)
        error = "" if 200 <= status < 300 else f"answered {status}"
    except AddressRefused as refused:
        status, excerpt, error = None, "", str(refused)
    except (OSError, http.client.HTTPException, ValueError) as failed:
        status, excerpt, error = None, "", f"{type(failed).__name__}: {failed}"[:300]
    return Answer(status, excerpt, error, round((time.monotonic() - began) * 1000))


def signature(secrets: Sequence[str], body: bytes, timestamp: int) -> str:
    """Return the value of `Tokensight-Signature`: the time, and by each secret the HMAC-SHA-256 of `<time>.<body>`."""
    signed = f"{timestamp}.".encode() + body
    marks = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={mark}" for mark in marks)])


def public_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a server's name. Raises AddressRefused when it has none, or one that is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressRefused(f"{host} cannot be found.") from None
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    for address in addresses:
        _refuse_inside(address)
    return addresses


def _exchange(parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
    host, secure = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    line = _connect(public_addresses(host, port), port)
    # Whoever answers a byte at a time is hung up on when the time is over.
    hang_up = threading.Timer(DEADLINE_SECONDS, _shut, [line])
    hang_up.daemon = True
    hang_up.start()
    try:
        if secure:
            line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
        call = http.client.HTTPConnection(host, port)
        call.sock = line
        call.request("POST", _target(parts), body=body, headers=dict(headers))
        answer = call.getresponse()
        return answer.status, answer.read(READ_AT_MOST)[:SHOWN_AT_MOST].decode("utf-8", "replace").replace("\0", "")
    finally:
        hang_up.cancel()
        line.close()


def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    for last, address in enumerate(addresses, start=1):
        try:
            return socket.create_connection((address, port), timeout=CONNECT_SECONDS)
        except OSError:
            if last == len(addresses):
                raise
    raise AddressRefused("The server has no address.")


def _shut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refuse_inside(text: str) -> None:
    """Refuse everything that is not the public internet, also where IPv6 wraps an IPv4 address."""
    if settings.WEBHOOKS_ANYWHERE:
        return
    address = ipaddress.ip_address(text.partition("%")[0])
    inner = [address]
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = [address.ipv4_mapped, address.sixtofour, address.teredo[1] if address.teredo else None]
        if address in NAT64:
            wrapped.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        inner += [found for found in wrapped if found is not None]
    if any(not found.is_global or found.is_multicast for found in inner):
        raise AddressRefused("The address leads into a network that is not public.")


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

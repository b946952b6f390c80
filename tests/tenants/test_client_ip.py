"""Nobody chooses the address that they seem to come from."""

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from tenants.client_ip import client_ip, ip_allowed


def address(remote: str, forwarded: str | None = None) -> str | None:
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    return client_ip(RequestFactory().get("/", REMOTE_ADDR=remote, **headers))


def test_without_trusted_proxies_the_header_is_ignored(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = []
    assert address("203.0.113.9", "10.0.0.1") == "203.0.113.9"


def test_a_header_from_a_stranger_is_ignored(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address("203.0.113.9", "198.51.100.1") == "203.0.113.9"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1", "198.51.100.1"),  # the client wrote 1.1.1.1 itself
        ("10.9.9.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),  # two proxies, and a forged inner address
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),  # a client inside the trusted network
        ("8.8.8.8, nonsense", "10.0.0.1"),
        ("8.8.8.8, nonsense, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", "10.0.0.1"),
        (" , ,", "10.0.0.1"),
    ],
)
def test_the_rightmost_untrusted_hop_is_the_client(settings: Settings, forwarded: str, expected: str) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address("10.0.0.1", forwarded) == expected


def test_a_proxy_may_connect_by_mapped_address(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address("::ffff:10.0.0.1", "198.51.100.1") == "198.51.100.1"


def test_a_unix_socket_is_trusted_only_when_named(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert address("", "198.51.100.1") is None
    settings.TRUSTED_PROXIES = ["unix"]
    assert address("", "198.51.100.1") == "198.51.100.1"
    assert address("") is None


@pytest.mark.parametrize(
    ("ip", "networks", "allowed"),
    [
        ("198.51.100.1", (), True),
        (None, (), True),
        ("198.51.100.1", ("198.51.100.0/24",), True),
        ("198.51.101.1", ("198.51.100.0/24", "192.0.2.1"), False),
        ("192.0.2.1", ("198.51.100.0/24", "192.0.2.1"), True),
        ("::ffff:198.51.100.1", ("198.51.100.0/24",), True),
        ("2001:db8::1", ("198.51.100.0/24",), False),
        ("2001:db8::1", ("2001:db8::/32",), True),
        (None, ("0.0.0.0/0",), False),
    ],
)
def test_the_allow_list(ip: str | None, networks: tuple[str, ...], allowed: bool) -> None:
    assert ip_allowed(ip, networks) is allowed

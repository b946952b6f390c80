"""Asking an organization's OpenID provider: the one module of single sign-on that reaches the outside.

Where to ask is an admin's wish, so nothing inside can be reached by it: every address that a name has must be a public
one, and the connection goes to exactly the address that was looked at. https only, no redirects, no proxies of the
environment, answers of at most 256 kB, and a deadline for the whole exchange.

The protocol is OpenID Connect Core 1.0 (code flow, 3.1) with PKCE (RFC 7636) and discovery (OpenID Connect Discovery
1.0); ID tokens are verified by their signature, issuer, audience, times and nonce (3.1.3.7).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jwt
from django.conf import settings
from django.core.cache import cache

from tenants.errors import ProviderFailed

CONNECT_SECONDS, DEADLINE_SECONDS = 5.0, 10.0
LONGEST_ANSWER = 256_000
LONGEST_ADDRESS = 500
KEPT_SECONDS = 600
LEEWAY_SECONDS = 60
# What a provider may sign with. Neither "none" nor a shared secret, which others than the provider may know.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SCOPES = "openid email profile"


@dataclass(frozen=True)
class Provider:
    """What a provider says about itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    posts_secret: bool


@dataclass(frozen=True)
class Claims:
    """Who a provider says that somebody is. `email_verified` is None where it does not say."""

    subject: str
    email: str
    email_verified: bool | None
    name: str


def discover(issuer: str) -> Provider:
    """Return what the provider at `issuer` says about itself, at most 10 minutes old. Raises `ProviderFailed`."""
    key = f"oidc:{hashlib.sha256(issuer.encode()).hexdigest()}"
    found = cache.get(key)
    if found is None:
        found = _ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        # Discovery 4.3: exactly the same, or one provider could speak for another.
        if found.get("issuer") != issuer:
            raise ProviderFailed("issuer")
        cache.set(key, found, KEPT_SECONDS)
    endpoints = {name: found.get(name) or "" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    if not all(isinstance(url, str) and url for url in endpoints.values()):
        raise ProviderFailed("endpoints")
    for url in endpoints.values():
        check_address(url)
    methods = found.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    userinfo = found.get("userinfo_endpoint") or ""
    return Provider(issuer, **endpoints, userinfo_endpoint=userinfo, posts_secret="client_secret_basic" not in methods)


def authorization_url(
    provider: Provider, *, client_id: str, redirect_uri: str, state: str, nonce: str, verifier: str
) -> str:
    """Return where to send the browser."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "scope": SCOPES,
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    separator = "&" if "?" in provider.authorization_endpoint else "?"
    return provider.authorization_endpoint + separator + urlencode(query)


def redeem(
    provider: Provider, *, client_id: str, client_secret: str, redirect_uri: str, code: str, verifier: str, nonce: str
) -> Claims:
    """Exchange the code that the browser brought for a verified ID token, and return whom it names.

    Raises `ProviderFailed`; why is for the log, not for the person.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    headers = {}
    if provider.posts_secret:
        form |= {"client_id": client_id, "client_secret": client_secret}
    else:
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        both = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(both.encode()).decode()}"
    answer = _ask("POST", provider.token_endpoint, form=form, headers=headers)
    claims = _verified(provider, str(answer.get("id_token") or ""), client_id, nonce)
    if not claims.get("email") and provider.userinfo_endpoint:
        bearer = {"Authorization": f"Bearer {answer.get('access_token', '')}"}
        more = _ask("GET", provider.userinfo_endpoint, headers=bearer)
        if more.get("sub") != claims["sub"]:
            raise ProviderFailed("userinfo is of somebody else")
        claims = {**more, **claims}
    verified = claims.get("email_verified")
    return Claims(
        subject=str(claims["sub"]),
        email=str(claims.get("email") or "").strip().lower(),
        email_verified=verified if isinstance(verified, bool) else None,
        name=str(claims.get("name") or "")[:150],
    )


def check_address(url: str) -> None:
    """Raise `ProviderFailed` for an address that is not asked, whatever it leads to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProviderFailed("no address") from None
    odd = len(url) > LONGEST_ADDRESS or not url.isascii() or any(character <= " " for character in url)
    schemes = {"https", "http"} if settings.SSO_ANYWHERE else {"https"}
    if odd or port == 0 or parts.scheme not in schemes or not parts.hostname or parts.username or parts.fragment:
        raise ProviderFailed("no address that is asked")


def _verified(provider: Provider, token: str, client_id: str, nonce: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise ProviderFailed("algorithm")
        keys = jwt.PyJWKSet.from_dict(_ask("GET", provider.jwks_uri)).keys
        key = next(
            key for key in keys if key.public_key_use in (None, "sig") and header.get("kid") in (None, key.key_id)
        )
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[header["alg"]],
            audience=client_id,
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]},
        )
    except (jwt.PyJWTError, StopIteration, KeyError, TypeError, ValueError) as error:
        raise ProviderFailed(f"ID token: {type(error).__name__}") from error
    if claims["nonce"] != nonce:
        raise ProviderFailed("nonce")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != client_id:
        raise ProviderFailed("azp")
    return claims


def _ask(
    method: str, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    check_address(url)
    parts = urlsplit(url)
    host, secure = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    sent = {"Accept": "application/json", "User-Agent": "Tokensight", **(headers or {})}
    if form is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        line = socket.create_connection((_public_address(host, port), port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise ProviderFailed(f"{host}: {error}") from error
    # Whoever answers a byte at a time is hung up on when the time is over.
    hang_up = threading.Timer(DEADLINE_SECONDS, _shut, [line])
    hang_up.daemon = True
    hang_up.start()
    try:
        if secure:
            line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
        call = http.client.HTTPConnection(host, port)
        call.sock = line
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        call.request(method, target, body=urlencode(form) if form is not None else None, headers=sent)
        answer = call.getresponse()
        body = answer.read(LONGEST_ANSWER + 1)
        if answer.status != http.client.OK or len(body) > LONGEST_ANSWER:
            raise ProviderFailed(f"{url} answered {answer.status}")
        said = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ProviderFailed(f"{host}: {type(error).__name__}") from error
    finally:
        hang_up.cancel()
        line.close()
    if not isinstance(said, dict):
        raise ProviderFailed("no object")
    return said


def _public_address(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ProviderFailed(f"{host} cannot be found") from error
    addresses = [str(address[0]) for *_, address in found]
    for address in addresses:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        inner = getattr(parsed, "ipv4_mapped", None) or parsed
        if not settings.SSO_ANYWHERE and (not inner.is_global or inner.is_multicast):
            raise ProviderFailed(f"{host} is no public address")
    return addresses[0]


def _shut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return

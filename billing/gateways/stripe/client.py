"""The one client of Stripe's API, and what its errors mean here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import requests
import stripe
import structlog
from django.conf import settings
from requests.adapters import HTTPAdapter

from billing.errors import AuthenticationRequired, CardDeclined, GatewayAway, GatewayRefused, PaymentsUnavailable

log = structlog.get_logger(__name__)

CONNECT_SECONDS, READ_SECONDS = 3.0, 20.0
RETRIES = 2
# So many threads of a process ask at once without opening one more.
CONNECTIONS = 32

# The library would tell Stripe how long our requests take.
stripe.enable_telemetry = False


def payments_enabled() -> bool:
    """Return whether buying is set up: without a key there is nobody to ask."""
    return bool(settings.STRIPE_SECRET_KEY)


def livemode() -> bool:
    """Return whether the key moves real money."""
    return settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))


@contextmanager
def asking() -> Iterator[stripe.StripeClient]:
    """Give the client, and raise what the library raises inside as an error of ours.

    Raises PaymentsUnavailable (no key), GatewayAway (network, overload, its own fault: ask again later), CardDeclined,
    AuthenticationRequired, GatewayRefused (what we asked makes no sense to Stripe).
    """
    if not payments_enabled():
        raise PaymentsUnavailable
    # Without the library's error as a cause: it carries the whole answer.
    try:
        yield _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE, settings.STRIPE_API_VERSION)
    except stripe.CardError as error:
        raise _card_error(error) from None
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise GatewayAway(type(error).__name__) from None
    except stripe.StripeError as error:
        raise _other_error(error) from None


def plain(answer: Any) -> dict[str, Any]:
    """Return an object of the library as plain mappings and lists."""
    found: dict[str, Any] = answer.to_dict()
    return found


def reference(value: Any) -> str:
    """Return the id of what an object points to, whether it was expanded or not; "" for nothing."""
    if isinstance(value, dict):
        return str(value.get("id") or "")
    return str(value or "")


def forget_clients() -> None:
    """Close all connections to Stripe; the next question opens a new one."""
    _client.cache_clear()
    _session().close()
    _session.cache_clear()


@lru_cache(maxsize=1)
def _session() -> requests.Session:
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    return session


@lru_cache(maxsize=4)
def _client(key: str, base: str, version: str) -> stripe.StripeClient:
    # The library would open a session, and its connections, for each thread, and close none of them.
    addresses: Any = {"api": base.rstrip("/")} if base else None
    return stripe.StripeClient(
        key,
        stripe_version=version,
        base_addresses=addresses,
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=(CONNECT_SECONDS, READ_SECONDS), session=_session()),
    )


def _card_error(error: stripe.CardError) -> CardDeclined | AuthenticationRequired:
    detail: Any = error.error
    intent = reference(_member(detail, "payment_intent") and _member(_member(detail, "payment_intent"), "id"))
    code = error.code or "card_declined"
    if code in {"authentication_required", "payment_intent_authentication_failure"}:
        return AuthenticationRequired(intent)
    return CardDeclined(code, str(_member(detail, "decline_code") or ""), intent)


def _other_error(error: stripe.StripeError) -> GatewayAway | GatewayRefused:
    kind, status = type(error).__name__, error.http_status
    if status == 409 or (status is not None and status >= 500):
        return GatewayAway(f"{kind} {status}")
    log.error("stripe_refused", kind=kind, status=status, code=error.code, request=error.request_id)
    return GatewayRefused(f"{kind} {status} {error.code or ''}".strip(), code=error.code or "")


def _member(thing: Any, name: str) -> Any:
    return getattr(thing, name, None) if thing is not None else None

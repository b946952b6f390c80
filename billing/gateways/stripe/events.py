"""Events that Stripe sends: whether one is really Stripe's, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import stripe
from django.conf import settings

from billing.errors import EventUnreadable, SignatureInvalid

TOLERANCE_SECONDS = 300
# What opens something, or is a card holder's, wherever it stands in an object of Stripe's.
SECRET_NAMES = {"client_secret", "secret", "ephemeral_key", "number", "cvc", "fingerprint"}


@dataclass(frozen=True)
class IncomingEvent:
    """An event as it came. `payload` is all of it; `account` is set when it is about another account than ours."""

    id: str
    type: str
    api_version: str
    livemode: bool
    account: str
    created: datetime
    payload: Mapping[str, Any]


def read_event(*, body: bytes, signature: str) -> IncomingEvent:
    """Return the event in the body of a request if Stripe signed it in the last five minutes.

    Raises SignatureInvalid, and EventUnreadable where what was signed is no event.
    """
    try:
        stripe.WebhookSignature.verify_header(
            body.decode(), signature, settings.STRIPE_WEBHOOK_SECRET or None, tolerance=TOLERANCE_SECONDS
        )
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError):
        # The library's error quotes header and body.
        raise SignatureInvalid from None
    try:
        return read_payload(orjson.loads(body))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raise EventUnreadable from None


def read_payload(payload: Mapping[str, Any]) -> IncomingEvent:
    """Return what an event's JSON says. Raises KeyError, TypeError, ValueError where it is no event."""
    if payload["object"] != "event" or not isinstance(payload["data"]["object"], dict):
        raise ValueError("This is no event.")
    return IncomingEvent(
        id=str(payload["id"]),
        type=str(payload["type"]),
        api_version=str(payload.get("api_version") or ""),
        livemode=bool(payload.get("livemode")),
        account=str(payload.get("account") or ""),
        created=datetime.fromtimestamp(int(payload["created"]), UTC),
        payload=payload,
    )


def without_client_secrets(value: Any) -> Any:
    """Return an event's JSON without what opens something or is a card's: so it is kept and shown."""
    if isinstance(value, dict):
        return {
            name: None if name in SECRET_NAMES and isinstance(item, str) else without_client_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_client_secrets(item) for item in value]
    return value


def sign(body: str, *, secret: str, at: int | None = None) -> str:
    """Return the header by which Stripe signs a body: for tests and the local stand-in."""
    return stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=at)

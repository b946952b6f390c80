"""The local stand-in for Stripe in tests: a process of its own for each xdist worker, real HTTP, nothing kept.

`standin` is what a test uses: an emptied stand-in that the portal's settings point to. Cards are paid with as a person
does, through the hosted page's own form.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import requests
import stripe

from billing.gateways.stripe.client import forget_clients
from tests.ports import free_port

SECRET_KEY = "sk_test_local_stand_in"
WEBHOOK_SECRET = "whsec_local_stand_in_0123456789"
PAID = "4242424242424242"
DECLINED = "4000000000000002"
NO_MONEY = "4000000000009995"
SECURE_ONCE = "4000002500003155"
SECURE_ALWAYS = "4000002760003184"
CHARGES_FAIL = "4000000000000341"
DISPUTED = "4000000000000259"
# How long is waited for what must happen.
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Page:
    """What a hosted page answered: the status, the text, and where it sent the browser."""

    status: int
    text: str
    location: str | None

    @property
    def went_on(self) -> bool:
        """Whether the browser was sent on."""
        return self.status == 303


class StandIn:
    """A running stand-in and what tests do with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)
        self._session = requests.Session()
        self._client = stripe.StripeClient(
            SECRET_KEY,
            base_addresses={"api": url},
            max_network_retries=0,
            http_client=stripe.RequestsClient(session=self._session),
        )

    def close(self) -> None:
        """Let go of every connection."""
        self.http.close()
        self._session.close()

    def client(self) -> stripe.StripeClient:
        """Return the stripe library's own client, for what the portal's gateway does not do."""
        return self._client

    # --- People ---
    def submit(self, url: str, **typed: str) -> Page:
        """Send a hosted page's form."""
        answer = self.http.post(url, data=typed)
        assert answer.status_code < 500, answer.text
        return Page(answer.status_code, answer.text, answer.headers.get("Location"))

    def pay(
        self, url: str, number: str = PAID, *, country: str = "CN", secure: bool | None = True, **typed: str
    ) -> Page:
        """Pay on the hosted page of a checkout session's `url`, and answer 3-D Secure with `secure` (None: stop there).

        `method="settles"` or `"fails"` pays by bank debit.
        """
        filled = {"email": "buyer@example.com", "name": "Buyer", "expiry": "12/34", "cvc": "123", **typed}
        page = self.submit(url, act="pay", number=number, country=country, **filled)
        if page.location and "/3ds/" in page.location and secure is not None:
            return self.authenticate(page.location, passed=secure)
        return page

    def authenticate(self, url: str, *, passed: bool = True) -> Page:
        """Answer the bank's question on a 3-D Secure page."""
        return self.submit(url, act="complete" if passed else "fail")

    # --- Controls ---
    def control(self, path: str, **data: Any) -> Any:
        """Tell the stand-in to do something: see portal/local/stripe/control.py."""
        answer = self.http.post(f"/_config/{path}", json=data)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settle(self, payment_intent: str, *, succeeds: bool = True) -> Any:
        """Let the money of a bank debit arrive, or fail to."""
        return self.control(f"payment_intents/{payment_intent}/settle", succeeds=succeeds)

    def go_away(self, requests: int = 1, *, status: int = 503, after: bool = False) -> None:
        """Fail the next requests; with `after`, do what they ask first and then lose the answer."""
        self.control("away", requests=requests, status=status, after=after)

    def send_webhooks_to(self, url: str, events: list[str] | None = None) -> None:
        """Deliver events to a running server from now on."""
        self.control("webhooks/test", url=url, secret=WEBHOOK_SECRET, events=events)

    def deliver(self, event: str, **changes: Any) -> None:
        """Deliver an event again: `times`, or with another `api_version`, `account`, `livemode`, `id`, `created`."""
        self.control(f"events/{event}/deliver", **changes)

    def wait_for_deliveries(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every delivery has ended."""
        deadline = time.monotonic() + seconds
        while self.http.get("/_config/state").json()["deliveries"]:
            assert time.monotonic() < deadline, "webhooks are still being delivered"
            time.sleep(0.05)

    def flush(self) -> None:
        """Forget everything, the webhook endpoint too."""
        self.http.delete("/_config/webhooks/test")
        self.http.delete("/_config/data")

    # --- Events without a server ---
    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the events so far, oldest first, of these types or of all."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": 100}
        more = True
        while more:
            headers = {"Authorization": f"Bearer {SECRET_KEY}"}
            answer = self.http.get("/v1/events", params=params, headers=headers).json()
            found += answer["data"]
            more, params["starting_after"] = answer["has_more"], found[-1]["id"] if found else ""
        return [event for event in reversed(found) if not kinds or event["type"] in kinds]


def signed(event: dict[str, Any], *, secret: str = WEBHOOK_SECRET, at: float | None = None) -> tuple[bytes, str]:
    """Return the raw body of an event and its Stripe-Signature, as Stripe computes it, with nothing of our code."""
    body = json.dumps(event).encode()
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return body, f"t={moment},v1={digest}"


def start(port: int, *options: str) -> subprocess.Popen[bytes]:
    """Start a stand-in and wait until it answers."""
    process = subprocess.Popen([sys.executable, "-m", "portal.local.stripe", "--port", str(port), *options])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert process.poll() is None, "the stand-in ended"
        try:
            httpx.get(f"http://127.0.0.1:{port}/_config/state", trust_env=False, timeout=5)
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the stand-in does not answer"
            time.sleep(0.05)
        else:
            return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a stand-in as a signal does, which saves its file."""
    process.terminate()
    process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="session")
def stripe_server() -> Iterator[StandIn]:
    """The stand-in of this worker."""
    port = free_port()
    process = start(port)
    server = StandIn(f"http://localhost:{port}")
    yield server
    server.close()
    forget_clients()
    stop(process)


@pytest.fixture
def standin(stripe_server: StandIn, settings: Any) -> StandIn:
    """An empty stand-in that the portal takes for Stripe."""
    stripe_server.flush()
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    settings.STRIPE_API_BASE = stripe_server.url
    return stripe_server

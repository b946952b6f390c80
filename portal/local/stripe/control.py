"""What tests and people tell the stand-in to do, under /_config/ alone: nothing of it is Stripe's."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from portal.local.stripe import disputes, payments, refunds, subscriptions
from portal.local.stripe.deliveries import Deliveries
from portal.local.stripe.errors import StripeError, invalid
from portal.local.stripe.world import ACCOUNT, API_VERSION, Json, World

Control = Callable[[World, Deliveries, Json, str], Json]


def add_routes(app: web.Application, world: web.AppKey[World], deliveries: web.AppKey[Deliveries]) -> None:
    """Add the controls to a server."""
    for method, path, act in CONTROLS:
        app.router.add_route(method, path, _control(act, world, deliveries))


def _control(
    act: Control, world: web.AppKey[World], deliveries: web.AppKey[Deliveries]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            data: Any = json.loads(await request.text() or "{}")
            if not isinstance(data, dict):
                raise invalid("Give a JSON object.")
            answered = act(request.app[world], request.app[deliveries], data, request.match_info.get("id", ""))
        except StripeError as error:
            return web.json_response(error.body("req_control"), status=error.status)
        except ValueError:
            return web.json_response(invalid("Give a JSON object.").body("req_control"), status=400)
        request.app[world].changed = True
        return web.json_response(answered)

    return answer


def set_endpoint(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Deliver events to {"url", "secret", "events": [...] or none for all}."""
    if not str(data.get("url", "")).startswith("http") or not data.get("secret"):
        raise invalid("A webhook endpoint needs url and secret.")
    world.endpoints[name] = {"url": data["url"], "secret": data["secret"], "events": data.get("events")}
    return {"id": name, **world.endpoints[name], "secret": "(kept)"}


def remove_endpoint(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Deliver nothing more to an endpoint."""
    world.endpoints.pop(name, None)
    return {"id": name, "deleted": True}


def flush(world: World, deliveries: Deliveries, data: Json, name: str) -> Json:
    """Forget everything but the endpoints; what they have not been told yet they will not be told."""
    deliveries.forget()
    world.clear()
    return {"flushed": True}


def settle(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Let the money of a bank debit arrive, or with {"succeeds": false} fail to."""
    intent = world.get("payment_intent", name)
    payments.settle(world, intent, succeeds=data.get("succeeds", True))
    return intent


def set_settling(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Let bank debits settle by themselves {"seconds": n} after they were begun, also those that were; null: never."""
    world.settle_seconds = data.get("seconds")
    return {"seconds": world.settle_seconds}


def renew(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Go to a subscription's period's end: the renewal invoice, or the end that was asked for."""
    found = world.get("subscription", name)
    subscriptions.renew(world, found)
    return found


def retry(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Go to the next try of a subscription's declined invoice."""
    found = world.get("subscription", name)
    subscriptions.retry(world, found)
    return found


def open_dispute(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Open a dispute about a charge: {"reason": ..., "amount": ...}."""
    charge = world.get("charge", name)
    return disputes.open_dispute(world, charge, reason=data.get("reason", "fraudulent"), amount=data.get("amount"))


def decide_dispute(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Decide a dispute: {"won": true or false}."""
    found = world.get("dispute", name)
    disputes.decide(world, found, won=bool(data.get("won")))
    return found


def set_next_refund(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Let the next refund wait: {"status": "pending"}; "succeeded" takes that back."""
    world.next_refund = "pending" if data.get("status") == "pending" else None
    return {"next_refund": world.next_refund or "succeeded"}


def finish_refund(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """End a refund: {"succeeds": true or false}; one that had succeeded may still fail."""
    found = world.get("refund", name)
    refunds.finish(world, found, succeeds=bool(data.get("succeeds")))
    return found


def deliver(world: World, deliveries: Deliveries, data: Json, name: str) -> Json:
    """Deliver an event again: {"times": n, "api_version": ..., "account": ..., "livemode": ..., "id": ...}."""
    event = world.get("event", name)
    changes: Json = {key: data[key] for key in ("api_version", "account", "livemode", "id", "created") if key in data}
    for _ in range(data.get("times", 1)):
        deliveries.again(event, changes)
    return {"event": name, "changes": changes}


def go_away(world: World, _: Deliveries, data: Json, name: str) -> Json:
    """Answer the next {"requests": n} with {"status": 503}; {"after": true} does what was asked and then fails."""
    world.away = {
        "requests": data.get("requests", 1),
        "status": data.get("status", 503),
        "after": data.get("after", False),
    }
    if world.away["requests"] <= 0:
        world.away = None
    return {"away": world.away}


def state(world: World, deliveries: Deliveries, data: Json, name: str) -> Json:
    """Say how much there is, and how many deliveries have not ended."""
    return {
        "account": ACCOUNT,
        "api_version": API_VERSION,
        "objects": {kind: len(found) for kind, found in world.objects.items() if found},
        "deliveries": deliveries.waiting,
        "endpoints": list(world.endpoints),
    }


def do_due(world: World) -> None:
    """Settle the bank debits whose time has come, where people and not tests use the stand-in."""
    for subscription in world.all("subscription"):
        subscriptions.expire_pending(world, subscription)
    if world.settle_seconds is None:
        return
    for intent in world.all("payment_intent", status="processing"):
        if world.secret(intent["id"]).get("awaited_since", 0) + world.settle_seconds <= world.now():
            outcome = world.secret(intent["payment_method"]).get("outcome")
            payments.settle(world, intent, succeeds=outcome == "settles")


CONTROLS: tuple[tuple[str, str, Control], ...] = (
    ("GET", "/_config/state", state),
    ("DELETE", "/_config/data", flush),
    ("POST", "/_config/away", go_away),
    ("POST", "/_config/webhooks/{id}", set_endpoint),
    ("DELETE", "/_config/webhooks/{id}", remove_endpoint),
    ("POST", "/_config/events/{id}/deliver", deliver),
    ("POST", "/_config/payment_intents/{id}/settle", settle),
    ("POST", "/_config/settling", set_settling),
    ("POST", "/_config/subscriptions/{id}/renew", renew),
    ("POST", "/_config/subscriptions/{id}/retry", retry),
    ("POST", "/_config/charges/{id}/dispute", open_dispute),
    ("POST", "/_config/disputes/{id}/decide", decide_dispute),
    ("POST", "/_config/refunds/next", set_next_refund),
    ("POST", "/_config/refunds/{id}/finish", finish_refund),
)

"""The HTTP side of the API: keys, versions, request ids, repeated requests, refusals, and every route."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from portal.local.stripe import (
    billing,
    catalogue,
    checkout,
    control,
    coupons,
    customers,
    disputes,
    events,
    hosted,
    invoices,
    lists,
    methods,
    payments,
    portal,
    refunds,
    setups,
    types,
    wire,
)
from portal.local.stripe.deliveries import Deliveries
from portal.local.stripe.errors import StripeError, invalid
from portal.local.stripe.routes import Route
from portal.local.stripe.world import API_VERSION, Asked, Json, World

log = logging.getLogger("stripe")

WORLD = web.AppKey("world", World)
DELIVERIES = web.AppKey("deliveries", Deliveries)
ROUTES: tuple[Route, ...] = (
    *customers.ROUTES,
    *catalogue.ROUTES,
    *methods.ROUTES,
    *setups.ROUTES,
    *payments.ROUTES,
    *checkout.ROUTES,
    *coupons.ROUTES,
    *billing.ROUTES,
    *invoices.ROUTES,
    *refunds.ROUTES,
    *disputes.ROUTES,
    *portal.ROUTES,
    *events.ROUTES,
)
ANSWERS_KEPT_SECONDS = 24 * 3600
SAVE_SECONDS = 0.5
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(world: World) -> web.Application:
    """Return the server of a world."""
    app = web.Application(middlewares=[_finish])
    app[WORLD] = world
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _api(route))
    hosted.add_routes(app, WORLD)
    control.add_routes(app, WORLD, DELIVERIES)
    app.router.add_route("*", "/v1/{rest:.*}", _unknown)
    app.cleanup_ctx.append(_background)
    return app


async def _background(app: web.Application) -> Any:
    world = app[WORLD]
    app[DELIVERIES] = deliveries = Deliveries(world)
    deliveries.resume()
    keeper = asyncio.create_task(_keep(world, deliveries))
    yield
    keeper.cancel()
    await deliveries.close()
    world.save()


async def _keep(world: World, deliveries: Deliveries) -> None:
    """Save what has changed, and do what was due in the meantime."""
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        control.do_due(world)
        deliveries.send_emitted()
        world.save()


@web.middleware
async def _finish(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send what was emitted, whether or not the request was refused: a decline has its events too."""
    try:
        return await handler(request)
    finally:
        request.app[DELIVERIES].send_emitted()


def _api(route: Route) -> Handler:
    params_type = types.parameters(route.params)

    async def answer(request: web.Request) -> web.Response:
        world = request.app[WORLD]
        asked = Asked(world.new_id("request"), request.headers.get("Idempotency-Key"))
        body = await request.text() if request.method == "POST" else ""
        status, answered, headers = _answer(request, world, route, params_type, asked, body)
        log.info("%s %s %s", request.method, request.path, status)
        headers |= {"Request-Id": asked.id or "", "Stripe-Version": API_VERSION}
        return web.json_response(answered, status=status, headers=headers)

    return answer


def _answer(
    request: web.Request, world: World, route: Route, params_type: type, asked: Asked, body: str
) -> tuple[int, Json, dict[str, str]]:
    try:
        _require_key(request)
        _require_version(request)
        form = parse_qsl(body, keep_blank_values=True) if request.method == "POST" else request.query.items()
        away = world.be_away()
        if away and not away["after"]:
            raise _away(away)
        fingerprint = hashlib.sha256(f"{route.method} {request.path} {body}".encode()).hexdigest()
        if request.method == "POST" and asked.key and (kept := _kept(world, asked.key)):
            if kept["fingerprint"] != fingerprint:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                    f" Try using a key other than '{asked.key}' if you meant to execute a different request."
                )
                raise StripeError(400, "idempotency_error", message)
            return kept["status"], kept["answer"], {"Idempotent-Replayed": "true", "Original-Request": kept["request"]}
        world.asked = asked
        status, answered = _execute(world, route, params_type, wire.decode(form), request.match_info, asked)
        keeps = request.method == "POST" and asked.key and status in (200, 402)
        if keeps:
            world.answers[asked.key or ""] = {
                "fingerprint": fingerprint,
                "status": status,
                "answer": answered,
                "request": asked.id,
                "at": int(time.time()),
            }
        world.changed = world.changed or request.method != "GET"
        if away:
            raise _away(away)
        return status, answered, {"Idempotency-Key": asked.key} if asked.key else {}
    except StripeError as error:
        return error.status, error.body(asked.id or ""), {}
    except Exception:
        log.exception("%s %s", request.method, request.path)
        message = "The stand-in has a fault; its log says more."
        return 500, StripeError(500, "api_error", message).body(asked.id or ""), {}
    finally:
        world.asked = Asked()


def _away(away: Json) -> StripeError:
    return StripeError(away["status"], "api_error", "The stand-in was told to be away.")


def _execute(world: World, route: Route, params_type: type, data: Json, ids: Any, asked: Asked) -> tuple[int, Json]:
    try:
        params = wire.accept(data, params_type, route.names)
        paths = params.pop("expand", None) or []
        answered = route.answer(world, params, **ids)
        return 200, lists.expand(world, answered, paths)
    except StripeError as error:
        if error.status != 402:
            raise
        return 402, error.body(asked.id or "")


def _kept(world: World, key: str) -> Json | None:
    kept = world.answers.get(key)
    if kept and kept["at"] < time.time() - ANSWERS_KEPT_SECONDS:
        del world.answers[key]
        return None
    return kept


def _require_key(request: web.Request) -> None:
    header = request.headers.get("Authorization", "")
    scheme, _, key = header.partition(" ")
    if scheme == "Basic":
        try:
            key = aiohttp.BasicAuth.decode(header).login
        except ValueError:
            key = ""
    if not key:
        message = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, using"
            " Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
        raise StripeError(401, "invalid_request_error", message)
    if not key.startswith(("sk_test_", "rk_test_")):
        message = "Invalid API Key provided. This is a local stand-in for Stripe: it takes sk_test_... alone."
        raise StripeError(401, "invalid_request_error", message)


def _require_version(request: web.Request) -> None:
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise invalid(f"Invalid Stripe API version: {version}. This stand-in speaks {API_VERSION}.")
    if request.headers.get("Stripe-Account"):
        raise StripeError(403, "invalid_request_error", "This stand-in has no connected accounts.", "account_invalid")


async def _unknown(request: web.Request) -> web.Response:
    message = f"Unrecognized request URL ({request.method}: {request.path}): the local stand-in does not have it."
    error = StripeError(404, "invalid_request_error", message)
    return web.json_response(error.body(request.app[WORLD].new_id("request")), status=404)

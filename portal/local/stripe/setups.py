"""Setup intents: a card saved for charges that come later, with 3-D Secure where the card asks for it."""

from __future__ import annotations

from typing import Any

from portal.local.stripe import methods
from portal.local.stripe.errors import StripeError
from portal.local.stripe.lists import page
from portal.local.stripe.payments import unexpected_state
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World


def new_setup(world: World, customer: str | None, **values: Any) -> Json:
    """Keep a setup intent that has no card yet."""
    identifier = world.new_id("setup_intent")
    setup = world.add(
        "setup_intent",
        customer,
        **{
            "id": identifier,
            "client_secret": f"{identifier}_secret_{world.new_id('request')[4:]}",
            "metadata": {},
            "payment_method_types": ["card"],
            "status": "requires_payment_method",
            "usage": "off_session",
            **values,
        },
    )
    world.emit("setup_intent.created", setup)
    return setup


def confirm_setup(world: World, setup: Json, method: Json) -> None:
    """Save the card, or ask for 3-D Secure first. Raises StripeError (402) for a card that cannot be saved."""
    if setup["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        raise unexpected_state(setup, "confirm")
    setup.update(payment_method=method["id"], last_setup_error=None, next_action=None)
    card = methods.card_behind(world, method)
    if card and card.secure != "never" and not world.secret(method["id"])["authenticated"]:
        setup["status"] = "requires_action"
        url = f"{world.origin}/3ds/{setup['id']}"
        setup["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"return_url": None, "url": url}}
        world.emit("setup_intent.requires_action", setup)
        return
    _save(world, setup, method)


def _save(world: World, setup: Json, method: Json) -> None:
    try:
        if setup["customer"]:
            methods.attach(world, method, setup["customer"])
    except StripeError as error:
        _refuse(world, setup, error)
    setup.update(status="succeeded", next_action=None)
    world.changed = True
    world.emit("setup_intent.succeeded", setup)


def _refuse(world: World, setup: Json, error: StripeError) -> None:
    setup.update(status="requires_payment_method", payment_method=None, next_action=None)
    setup["last_setup_error"] = dict(error.error)
    world.changed = True
    world.emit("setup_intent.setup_failed", setup)
    error.error["setup_intent"] = dict(setup)
    raise error


def authenticate_setup(world: World, setup: Json, *, passed: bool) -> None:
    """Go on after the customer has answered their bank. Raises StripeError (402) for a failure."""
    if setup["status"] != "requires_action":
        raise unexpected_state(setup, "authenticate")
    method = world.get("payment_method", setup["payment_method"])
    if not passed:
        message = "The provided PaymentMethod has failed authentication."
        code = "setup_intent_authentication_failure"
        _refuse(world, setup, StripeError(402, "invalid_request_error", message, code, payment_method=method))
    world.secret(method["id"])["authenticated"] = True
    _save(world, setup, method)


# --- The API ----------------------------------------------------------------------------------------------------------
def create(world: World, params: Json) -> Json:
    confirmed = params.pop("confirm", False)
    named = params.pop("payment_method", None)
    customer = params.pop("customer", None)
    if customer:
        world.get("customer", customer, "customer")
    if automatic := params.get("automatic_payment_methods"):
        params["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
    method = methods.resolve(world, named) if named else None
    setup = new_setup(world, customer, **params)
    if method:
        setup.update(payment_method=method["id"], status="requires_confirmation")
        if confirmed:
            confirm_setup(world, setup, method)
    return setup


def confirm(world: World, params: Json, setup: str) -> Json:
    found = world.get("setup_intent", setup)
    confirm_setup(world, found, methods.resolve(world, params.get("payment_method") or found["payment_method"] or ""))
    return found


def retrieve(world: World, params: Json, setup: str) -> Json:
    return world.get("setup_intent", setup)


def cancel(world: World, params: Json, setup: str) -> Json:
    found = world.get("setup_intent", setup)
    if not found["status"].startswith("requires_"):
        raise unexpected_state(found, "cancel")
    found.update(status="canceled", cancellation_reason=params.get("cancellation_reason"), next_action=None)
    world.emit("setup_intent.canceled", found)
    return found


def list_all(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("customer", "payment_method") if name in params}
    return page(world.all("setup_intent", **equal), params, "/v1/setup_intents")


ROUTES = (
    Route(
        "POST",
        "/v1/setup_intents",
        create,
        "SetupIntentCreateParams",
        "customer payment_method allowed_payment_method_types usage metadata description confirm"
        " automatic_payment_methods",
    ),
    Route("GET", "/v1/setup_intents", list_all, "SetupIntentListParams", f"{LIST} created customer payment_method"),
    Route("GET", "/v1/setup_intents/{setup}", retrieve, "SetupIntentRetrieveParams"),
    Route("POST", "/v1/setup_intents/{setup}/confirm", confirm, "SetupIntentConfirmParams", "payment_method"),
    Route("POST", "/v1/setup_intents/{setup}/cancel", cancel, "SetupIntentCancelParams", "cancellation_reason"),
)

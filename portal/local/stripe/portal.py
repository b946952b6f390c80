"""The page on which a customer changes name, country, tax ids and cards: Stripe's customer portal, in small."""

from __future__ import annotations

from portal.local.stripe import customers, methods
from portal.local.stripe.errors import invalid
from portal.local.stripe.routes import Route
from portal.local.stripe.tax import COUNTRIES, TAX_ID_TYPES
from portal.local.stripe.world import Json, World


def create(world: World, params: Json) -> Json:
    customer = world.get("customer", params.get("customer", ""), "customer")
    identifier = world.new_id("billing_portal.session")
    return world.add(
        "billing_portal.session",
        customer["id"],
        id=identifier,
        configuration="bpc_local_stand_in",
        locale=params.get("locale"),
        return_url=params.get("return_url"),
        url=f"{world.origin}/p/session/{identifier}",
    )


def change(world: World, session: Json, typed: dict[str, str]) -> None:
    """Do what a button of the page says. Raises StripeError for what is typed wrongly."""
    customer = world.get("customer", session["customer"])
    act, _, target = typed.get("act", "").partition(":")
    if act == "details":
        _change_details(world, customer, typed)
    elif act == "remove_tax_id":
        customers.delete_tax_id(world, {}, customer["id"], target)
    elif act == "default":
        _require_own(world, customer, target)
        settings = {**customer["invoice_settings"], "default_payment_method": target}
        customers.change(world, customer, {"invoice_settings": settings})
    elif act == "remove":
        _require_own(world, customer, target)
        methods.detach_method(world, {}, target)


def _require_own(world: World, customer: Json, method: str) -> None:
    if world.get("payment_method", method)["customer"] != customer["id"]:
        raise invalid("This card is not yours.")


def _change_details(world: World, customer: Json, typed: dict[str, str]) -> None:
    country = typed.get("country", "")
    if country and country not in COUNTRIES:
        raise invalid("Choose your country.")
    if "@" not in typed.get("email", ""):
        raise invalid("Give a mail address, such as you@example.com.")
    address = {**(customer["address"] or {}), "country": country} if country else customer["address"]
    changes = {"name": typed.get("name") or None, "email": typed["email"].strip(), "address": address}
    customers.change(world, customer, changes)
    if value := typed.get("tax_id", "").strip():
        if typed.get("tax_id_type") not in TAX_ID_TYPES:
            raise invalid("Choose what kind of tax id that is.")
        customers.add_tax_id(world, customer["id"], typed["tax_id_type"], value)


def shown(world: World, session: Json) -> Json:
    """Return what the page shows."""
    customer = world.get("customer", session["customer"])
    default = customer["invoice_settings"]["default_payment_method"]
    return {
        "title": "Your details",
        "customer": customer,
        "country": (customer["address"] or {}).get("country") or "",
        "countries": COUNTRIES.items(),
        "kinds": TAX_ID_TYPES.items(),
        "tax_ids": world.all("tax_id", customer=customer["id"]),
        "cards": [
            {
                "id": method["id"],
                "name": f"{method['card']['brand'].title()} that ends in {method['card']['last4']}",
                "default": method["id"] == default,
            }
            for method in world.all("payment_method", customer=customer["id"], type="card")
        ],
        "return_url": session["return_url"],
    }


ROUTES = (
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        create,
        "billing_portal.SessionCreateParams",
        "customer locale return_url",
    ),
)

"""Coupons: an amount or a percentage off a checkout."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from portal.local.stripe.customers import merged
from portal.local.stripe.errors import invalid
from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World


def apply(world: World, asked: Sequence[Json], items: Sequence[Json]) -> list[Json]:
    """Take coupons off the items of a session, and return its discounts. Raises StripeError for one that is over."""
    found = []
    for discount in asked:
        coupon = world.get("coupon", discount.get("coupon", ""), "discounts[0][coupon]")
        if not coupon["valid"]:
            raise invalid("This coupon is no longer valid.", "coupon_expired", "discounts[0][coupon]")
        if coupon["currency"] and items and coupon["currency"] != items[0]["currency"]:
            raise invalid("The coupon's currency is another one.", None, "discounts[0][coupon]")
        left = coupon["amount_off"]
        for item in items:
            rest = item["amount_subtotal"] - item["amount_discount"]
            off = min(left, rest) if left is not None else _per_cent(rest, coupon["percent_off"])
            left = left - off if left is not None else None
            item["amount_discount"] += off
            item["amount_total"] -= off
        found.append({"coupon": coupon["id"], "promotion_code": None})
    return found


def _per_cent(amount: int, percent: float) -> int:
    return int((Decimal(amount) * Decimal(str(percent)) / 100).quantize(Decimal(1), ROUND_HALF_UP))


def count(world: World, discounts: Sequence[Json] | None) -> None:
    """Count the coupons of a session that was completed."""
    for discount in discounts or ():
        coupon = world.get("coupon", discount["coupon"])
        coupon["times_redeemed"] += 1
        if coupon["max_redemptions"] and coupon["times_redeemed"] >= coupon["max_redemptions"]:
            coupon["valid"] = False


def create(world: World, params: Json) -> Json:
    identifier = params.pop("id", None) or world.new_id("request")[4:12].upper()
    if identifier in world.objects.get("coupon", {}):
        raise invalid("Coupon already exists.", "resource_already_exists", "id")
    if ("amount_off" in params) == ("percent_off" in params):
        raise invalid("You must pass either `amount_off` or `percent_off`.", "parameter_missing", "percent_off")
    if "amount_off" in params and "currency" not in params:
        raise invalid("You must pass currency when passing amount_off.", "parameter_missing", "currency")
    if "percent_off" in params:
        params["percent_off"] = float(params["percent_off"])
    if "currency" in params:
        params["currency"] = params["currency"].lower()
    coupon = world.add(
        "coupon", id=identifier, **{"duration": "once", "metadata": {}, "times_redeemed": 0, "valid": True, **params}
    )
    world.emit("coupon.created", coupon)
    return coupon


def retrieve(world: World, params: Json, coupon: str) -> Json:
    return world.get("coupon", coupon)


def update(world: World, params: Json, coupon: str) -> Json:
    found = world.get("coupon", coupon)
    if "metadata" in params:
        params["metadata"] = merged(found["metadata"], params["metadata"])
    found.update(params)
    return found


def delete(world: World, params: Json, coupon: str) -> Json:
    world.emit("coupon.deleted", world.get("coupon", coupon))
    return world.remove("coupon", coupon)


def list_all(world: World, params: Json) -> Json:
    return page(world.all("coupon"), params, "/v1/coupons")


ROUTES = (
    Route(
        "POST",
        "/v1/coupons",
        create,
        "CouponCreateParams",
        "amount_off currency duration duration_in_months id max_redemptions metadata name percent_off",
    ),
    Route("GET", "/v1/coupons", list_all, "CouponListParams", f"{LIST} created"),
    Route("GET", "/v1/coupons/{coupon}", retrieve, "CouponRetrieveParams"),
    Route("POST", "/v1/coupons/{coupon}", update, "CouponUpdateParams", "metadata name"),
    Route("DELETE", "/v1/coupons/{coupon}", delete, "CouponDeleteParams"),
)

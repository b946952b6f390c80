"""What an invoice's lines come to: prices, unused and remaining time, tax. Nothing here is kept."""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portal.local.stripe import shapes
from portal.local.stripe.errors import invalid
from portal.local.stripe.tax import RATES, tax_of
from portal.local.stripe.world import Json, World


@dataclass(frozen=True)
class Line:
    """A line before it has an invoice. `amount` in minor units, before tax where the price is exclusive of it."""

    amount: int
    description: str
    price: Json
    quantity: int
    start: int
    end: int
    item: str | None = None
    proration: bool = False
    invoice_item: str | None = None
    discount: int = 0


def period_end(start: int, recurring: Json, anchor: int) -> int:
    """Return the end of the period that begins at `start`: the same day as `anchor`, or the month's last."""
    count, interval = recurring["interval_count"], recurring["interval"]
    if interval in ("day", "week"):
        return start + count * 86400 * (7 if interval == "week" else 1)
    begun, anchored = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(anchor, UTC)
    months = begun.year * 12 + begun.month - 1 + count * (12 if interval == "year" else 1)
    year, month = divmod(months, 12)
    day = min(anchored.day, calendar.monthrange(year, month + 1)[1])
    return int(begun.replace(year=year, month=month + 1, day=day).timestamp())


def whole_period(world: World, item: Json, start: int, end: int) -> Line:
    """Return the line of one item for a whole period."""
    price, name = item["price"], product_name(world, item["price"])
    described = f"{item['quantity']} × {name} (at {_money(price)} / {price['recurring']['interval']})"
    return Line(price["unit_amount"] * item["quantity"], described, price, item["quantity"], start, end, item["id"])


def _money(price: Json) -> str:
    return f"{price['unit_amount'] / 100:.2f} {price['currency'].upper()}"


def product_name(world: World, price: Json) -> str:
    """Return what a price is for."""
    return str(world.get("product", price["product"])["name"])


def change_of_items(world: World, before: Sequence[Json], after: Sequence[Json], at: int) -> list[Line]:
    """Return the prorations of a change inside a period: what was paid and is not used, what is used and not paid."""
    lines = []
    now = {item["id"]: item for item in after}
    for item in before:
        changed = now.get(item["id"])
        if changed and _same(item, changed):
            continue
        lines.append(_part(world, item, at, -1))
    then = {item["id"]: item for item in before}
    for item in after:
        known = then.get(item["id"])
        if not known or not _same(known, item):
            lines.append(_part(world, item, at, 1))
    return [line for line in lines if line.amount]


def unused(world: World, items: Sequence[Json], at: int) -> list[Line]:
    """Return the credit for what is left of the period, as when it begins anew or ends early."""
    return [line for line in (_part(world, item, at, -1) for item in items) if line.amount]


def _same(one: Json, other: Json) -> bool:
    return bool(one["price"]["id"] == other["price"]["id"] and one["quantity"] == other["quantity"])


def _part(world: World, item: Json, at: int, sign: int) -> Line:
    start, end = item["current_period_start"], item["current_period_end"]
    whole = item["price"]["unit_amount"] * item["quantity"]
    left, length = max(end - at, 0), end - start
    amount = (2 * whole * left + length) // (2 * length)
    words = "Unused time on" if sign < 0 else "Remaining time on"
    name = product_name(world, item["price"])
    day = time.strftime("%d %b %Y", time.gmtime(at))
    described = f"{words} {item['quantity']} × {name} after {day}"
    return Line(sign * amount, described, item["price"], item["quantity"], at, end, item["id"], proration=True)


def line_object(world: World, line: Line, invoice: str, currency: str, subscription: str | None, country: str) -> Json:
    """Return the line item of an invoice, with its tax."""
    inclusive = line.price.get("tax_behavior") == "inclusive"
    tax = tax_of(line.amount - line.discount, country, inclusive=inclusive) if country else 0
    if line.item:
        details: Json = {"subscription_item_details": {"subscription_item": line.item}}
    elif line.invoice_item:
        details = {"invoice_item_details": {"invoice_item": line.invoice_item}}
    else:
        details = {}
    for detail in details.values():
        detail |= {"proration": line.proration, "subscription": subscription}
        if line.item:
            detail["invoice_item"] = line.invoice_item
        if line.proration:
            detail["proration_details"] = {"credited_items": None}
    taxes = []
    if country:
        taxes = [
            {
                "amount": tax,
                "tax_behavior": "inclusive" if inclusive else "exclusive",
                "tax_rate_details": {"tax_rate": f"txr_local_{country.lower()}"},
                "taxability_reason": "standard_rated" if RATES.get(country) else "not_collecting",
                "taxable_amount": line.amount - line.discount - (tax if inclusive else 0),
                "type": "tax_rate_details",
            }
        ]
    pricing = {
        "type": "price_details",
        "price_details": {"price": line.price["id"], "product": line.price["product"]},
        "unit_amount_decimal": line.price["unit_amount_decimal"],
    }
    values: Json = {
        "object": "line_item",
        "id": world.new_id("invoice", "il"),
        "amount": line.amount,
        "currency": currency,
        "description": line.description,
        "discount_amounts": [],
        "discountable": not line.proration,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": {"type": next(iter(details)), **details} if details else None,
        "period": {"start": line.start, "end": line.end},
        "pricing": pricing if "id" in line.price else None,
        "quantity": line.quantity,
        "quantity_decimal": str(line.quantity),
        "subscription": subscription,
        "subtotal": line.amount,
        "taxes": taxes,
    }
    return shapes.fill(values)


def require_recurring(price: Json, param: str) -> None:
    """Raise StripeError for a price that a subscription cannot have."""
    if price["type"] != "recurring":
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts recurring prices.", None, param
        )


def totals(lines: Sequence[Json]) -> dict[str, Any]:
    """Return the sums of an invoice's lines."""
    subtotal = sum(line["amount"] for line in lines)
    taxes = [tax for line in lines for tax in line["taxes"]]
    added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    held = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
    return {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - held,
        "total": subtotal + added,
        "total_excluding_tax": subtotal - held,
        "total_taxes": taxes,
    }

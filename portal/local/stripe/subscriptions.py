"""Subscriptions: begun, changed with proration, renewed, dunned, ended."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from portal.local.stripe import invoices, lines
from portal.local.stripe.errors import StripeError, invalid
from portal.local.stripe.lines import Line
from portal.local.stripe.lists import as_list
from portal.local.stripe.world import Json, World

ENDED = ("canceled", "incomplete_expired")


def items_of(subscription: Json) -> list[Json]:
    """Return the items of a subscription, to read and to change."""
    found: list[Json] = subscription["items"]["data"]
    return found


def new_subscription(
    world: World, customer: str, asked: Sequence[Json], *, status: str, anchor: int | None = None, **values: object
) -> Json:
    """Keep a subscription whose first period begins now."""
    identifier, start = world.new_id("subscription"), world.now(customer)
    made = [new_item(world, identifier, item, start, anchor or start) for item in asked]
    if len({(item["price"]["currency"], item["current_period_end"]) for item in made}) > 1:
        raise invalid("All prices of a subscription must have the same currency and interval.", None, "items")
    return world.add(
        "subscription",
        customer,
        **{
            "id": identifier,
            "automatic_tax": {"enabled": False},
            "billing_cycle_anchor": anchor or start,
            "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
            "billing_schedules": [],
            "cancel_at_period_end": False,
            "cancellation_details": {},
            "collection_method": "charge_automatically",
            "currency": made[0]["price"]["currency"],
            "discounts": [],
            "invoice_settings": {"issuer": {"type": "self"}},
            "items": as_list(made, f"/v1/subscription_items?subscription={identifier}"),
            "metadata": {},
            "payment_settings": {"save_default_payment_method": "off"},
            "start_date": start,
            "status": status,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            **values,
        },
    )


def new_item(world: World, subscription: str, asked: Json, start: int, anchor: int) -> Json:
    """Return an item; it is kept inside of its subscription."""
    price = world.get("price", asked.get("price", ""), "items[0][price]")
    lines.require_recurring(price, "items[0][price]")
    if not price["active"] and not asked.get("inactive"):
        raise invalid("The price specified is inactive.", None, "items[0][price]")
    item = world.add(
        "subscription_item",
        current_period_start=start,
        current_period_end=lines.period_end(start, price["recurring"], anchor),
        discounts=[],
        metadata=asked.get("metadata") or {},
        plan=plan_of(price),
        price=dict(price),
        quantity=asked.get("quantity", 1),
        subscription=subscription,
        tax_rates=[],
    )
    del world.objects["subscription_item"][item["id"]]
    return item


def plan_of(price: Json) -> Json:
    """Return a price in the older shape that subscription items still bear."""
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def whole_lines(world: World, items: Sequence[Json]) -> list[Line]:
    """Return the lines of a whole period of these items."""
    return [lines.whole_period(world, item, item["current_period_start"], item["current_period_end"]) for item in items]


def invoice_now(world: World, subscription: Json, found: Sequence[Line], reason: str) -> Json:
    """Issue an invoice of a subscription, what was put off to it among the lines."""
    customer = world.get("customer", subscription["customer"])
    put_off = world.secret(subscription["id"]).pop("put_off", [])
    invoice = invoices.compose(
        world,
        customer,
        [*(Line(**kept) for kept in put_off), *found],
        reason=reason,
        currency=subscription["currency"],
        taxed=subscription["automatic_tax"]["enabled"],
        subscription=subscription,
        period_start=items_of(subscription)[0]["current_period_start"],
        period_end=items_of(subscription)[0]["current_period_end"],
    )
    invoices.issue(world, invoice)
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def begin(world: World, session: Json, method: Json, intent: Json | None) -> None:
    """Begin the subscription of a checkout whose first payment was made (or none was owed)."""
    secret = world.secret(session["id"])
    sold = secret["items"]
    recurring = [
        {"price": item["price"]["id"], "quantity": item["quantity"], "inactive": True}
        for item in sold
        if item["price"]["type"] == "recurring"
    ]
    data = secret["data"]
    subscription = new_subscription(
        world,
        session["customer"],
        recurring,
        status="active",
        automatic_tax={"enabled": session["automatic_tax"]["enabled"]},
        default_payment_method=method["id"],
        description=data.get("description"),
        metadata=data.get("metadata") or {},
    )
    now = world.now(session["customer"])
    once = [
        Line(
            item["amount_subtotal"] - item["amount_discount"],
            item["description"],
            item["price"],
            item["quantity"],
            now,
            now,
        )
        for item in sold
        if item["price"]["type"] == "one_time"
    ]
    found = whole_lines(world, items_of(subscription))
    by_price = {item["price"]["id"]: item["amount_discount"] for item in sold}
    found = [Line(**{**vars(line), "amount": line.amount - by_price.get(line.price["id"], 0)}) for line in found]
    world.emit("customer.subscription.created", subscription)
    invoice = invoices.compose(
        world,
        world.get("customer", session["customer"]),
        [*once, *found],
        reason="subscription_create",
        currency=subscription["currency"],
        taxed=session["automatic_tax"]["enabled"],
        subscription=subscription,
        from_balance=False,
    )
    subscription["latest_invoice"] = invoice["id"]
    invoices.issue(world, invoice)
    if intent:
        if invoice["total"] != intent["amount"]:
            raise StripeError(500, "api_error", f"The invoice says {invoice['total']}, paid was {intent['amount']}.")
        invoices.link(world, invoice, intent)
    invoices.settle_invoice(world, invoice)
    session.update(subscription=subscription["id"], invoice=invoice["id"])


def follow_invoice(world: World, invoice: Json) -> None:
    """Carry a paid invoice, or a failed try, over to its subscription."""
    linked = invoices.subscription_of(invoice)
    if not linked or linked not in world.objects.get("subscription", {}):
        return
    subscription = world.get("subscription", linked)
    before = subscription["status"]
    if before in ENDED:
        return
    latest = subscription["latest_invoice"] == invoice["id"]
    if invoice["status"] == "paid" and before in ("incomplete", "past_due") and latest:
        set_status(world, subscription, "active")
    elif invoice["status"] == "paid" and subscription["pending_update"] and latest:
        apply_pending(world, subscription)
    elif invoice["status"] == "void" and subscription["pending_update"] and latest:
        drop_pending(world, subscription)
    elif invoice["status"] == "open" and before == "active" and latest and not subscription["pending_update"]:
        set_status(world, subscription, "past_due")
    elif before == "past_due" and invoice["attempt_count"] > len(invoices.RETRY_DAYS):
        end(world, subscription, "payment_failed")


invoices.FOLLOWERS.append(follow_invoice)


def set_status(world: World, subscription: Json, status: str) -> None:
    """Change the status and tell it."""
    previous, subscription["status"] = subscription["status"], status
    world.changed = True
    if previous != status:
        world.emit("customer.subscription.updated", subscription, {"status": previous})


def apply_pending(world: World, subscription: Json) -> None:
    """Make the change that waited for its payment."""
    kept = world.secret(subscription["id"]).pop("pending_items")
    previous = {"items": copy.deepcopy(subscription["items"]), "pending_update": subscription["pending_update"]}
    subscription["items"]["data"] = kept
    subscription["pending_update"] = None
    world.emit("customer.subscription.pending_update_applied", subscription)
    world.emit("customer.subscription.updated", subscription, previous)


def drop_pending(world: World, subscription: Json) -> None:
    """Forget the change that waited for its payment."""
    world.secret(subscription["id"]).pop("pending_items", None)
    previous, subscription["pending_update"] = {"pending_update": subscription["pending_update"]}, None
    world.changed = True
    world.emit("customer.subscription.updated", subscription, previous)


def expire_pending(world: World, subscription: Json) -> None:
    """Void the invoice of a change that waited for too long, which drops the change."""
    pending = subscription["pending_update"]
    if pending and world.now(subscription["customer"]) >= pending["expires_at"]:
        invoices.void_invoice(world, world.get("invoice", subscription["latest_invoice"]))
        world.emit("customer.subscription.pending_update_expired", subscription)


def end(world: World, subscription: Json, reason: str) -> None:
    """End a subscription now."""
    moment = world.now(subscription["customer"])
    subscription.update(
        status="canceled",
        ended_at=moment,
        canceled_at=subscription["canceled_at"] or moment,
        cancel_at_period_end=False,
    )
    subscription["cancellation_details"]["reason"] = reason
    world.changed = True
    world.emit("customer.subscription.deleted", subscription)


def renew(world: World, subscription: Json) -> None:
    """Go to the period's end: begin and bill the next period, or end what was to end then."""
    if subscription["status"] in (*ENDED, "incomplete"):
        raise invalid(f"A subscription that is {subscription['status']} has no next period.")
    items = items_of(subscription)
    world.advance_to(subscription["customer"], max(item["current_period_end"] for item in items))
    expire_pending(world, subscription)
    if subscription["cancel_at_period_end"]:
        end(world, subscription, "cancellation_requested")
        return
    before = copy.deepcopy(subscription["items"])
    for item in items:
        start = item["current_period_end"]
        anchor = subscription["billing_cycle_anchor"]
        item.update(
            current_period_start=start, current_period_end=lines.period_end(start, item["price"]["recurring"], anchor)
        )
    world.emit("customer.subscription.updated", subscription, {"items": before})
    invoice = invoice_now(world, subscription, whole_lines(world, items), "subscription_cycle")
    _try_to_collect(world, invoice)


def retry(world: World, subscription: Json) -> None:
    """Go to the next try of a declined invoice. Raises StripeError when none is planned."""
    invoice = world.get("invoice", subscription["latest_invoice"])
    if not invoice["next_payment_attempt"]:
        raise invalid("No other try is planned.")
    world.advance_to(subscription["customer"], invoice["next_payment_attempt"])
    _try_to_collect(world, invoice)


def _try_to_collect(world: World, invoice: Json) -> None:
    try:
        invoices.collect(world, invoice)
    except StripeError as refused:
        if refused.status not in (400, 402):
            raise

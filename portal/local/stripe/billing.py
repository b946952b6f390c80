"""The API of subscriptions: begin, change, preview, cancel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from portal.local.stripe import invoices, lines, shapes, subscriptions
from portal.local.stripe import types as stripe_types
from portal.local.stripe.customers import merged
from portal.local.stripe.errors import StripeError, invalid, missing
from portal.local.stripe.lines import Line
from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

PENDING_SECONDS = 23 * 3600
_PLAIN = ("automatic_tax", "default_payment_method", "description", "payment_settings")


def create(world: World, params: Json) -> Json:
    customer = world.get("customer", params["customer"], "customer")
    behavior = params.get("payment_behavior") or "allow_incomplete"
    before = world.checkpoint()
    subscription = subscriptions.new_subscription(
        world,
        customer["id"],
        params.get("items") or [],
        status="incomplete",
        metadata=params.get("metadata") or {},
        cancel_at_period_end=params.get("cancel_at_period_end", False),
        **{name: params[name] for name in _PLAIN if name in params},
    )
    world.emit("customer.subscription.created", subscription)
    items = subscriptions.items_of(subscription)
    invoice = subscriptions.invoice_now(
        world, subscription, subscriptions.whole_lines(world, items), "subscription_create"
    )
    if behavior == "default_incomplete" and invoice["amount_remaining"]:
        invoices.intent_of(world, invoice)
        return subscription
    try:
        invoices.collect(world, invoice, off_session=params.get("off_session", False))
    except StripeError as refused:
        if behavior == "error_if_incomplete" or refused.status != 402:
            world.restore(before)
            raise
    return subscription


def changed_items(world: World, subscription: Json, asked: Sequence[Json]) -> list[Json]:
    """Return the items of a subscription after a change that is not made yet."""
    items = copy.deepcopy(subscriptions.items_of(subscription))
    by_id = {item["id"]: item for item in items}
    for place, change in enumerate(asked):
        if "id" not in change:
            first = items[0]
            made = subscriptions.new_item(world, subscription["id"], change, first["current_period_start"], 0)
            made["current_period_end"] = first["current_period_end"]
            items.append(made)
            continue
        if change["id"] not in by_id:
            raise missing("subscription_item", change["id"], f"items[{place}][id]", status=400)
        item = by_id[change["id"]]
        if change.get("deleted"):
            items.remove(item)
        if "price" in change:
            price = world.get("price", change["price"], f"items[{place}][price]")
            lines.require_recurring(price, f"items[{place}][price]")
            item.update(price=dict(price), plan=subscriptions.plan_of(price))
        item["quantity"] = change.get("quantity", item["quantity"])
        item["metadata"] = merged(item["metadata"], change.get("metadata") or {})
    if not items:
        raise invalid("A subscription must have at least one active item.", None, "items")
    return items


def change_of(
    world: World, subscription: Json, asked: Sequence[Json], behavior: str, at: int, anchor: Any
) -> tuple[list[Json], list[Line], bool]:
    """Return the items after a change, the lines that it causes, and whether the period begins anew."""
    before = subscriptions.items_of(subscription)
    items = changed_items(world, subscription, asked)
    anew = anchor == "now" or _interval(items[0]) != _interval(before[0])
    if not anew:
        return items, lines.change_of_items(world, before, items, at) if behavior != "none" else [], False
    found = lines.unused(world, before, at) if behavior != "none" else []
    for item in items:
        end = lines.period_end(at, item["price"]["recurring"], at)
        item.update(current_period_start=at, current_period_end=end)
    return items, [*found, *subscriptions.whole_lines(world, items)], True


def _interval(item: Json) -> tuple[Any, Any]:
    recurring = item["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def update(world: World, params: Json, subscription: str) -> Json:
    found = world.get("subscription", subscription)
    if found["status"] in subscriptions.ENDED:
        raise invalid(f"A canceled subscription can only update its cancellation_details and metadata: {subscription}")
    now = world.now(found["customer"])
    previous: Json = {}
    _cancel_later(world, found, params, previous)
    for name in _PLAIN:
        if name in params:
            previous[name], found[name] = found[name], params[name]
    if "metadata" in params:
        previous["metadata"], found["metadata"] = found["metadata"], merged(found["metadata"], params["metadata"])
    anchor = params.get("billing_cycle_anchor")
    if "items" not in params and anchor != "now":
        world.emit("customer.subscription.updated", found, previous)
        return found
    if found["pending_update"]:
        invoices.void_invoice(world, world.get("invoice", found["latest_invoice"]))
    behavior = params.get("proration_behavior") or "create_prorations"
    at = params.get("proration_date") or now
    items, added, anew = change_of(world, found, params.get("items") or [], behavior, at, anchor)
    payment = params.get("payment_behavior") or "allow_incomplete"
    before = world.checkpoint() if payment == "error_if_incomplete" else None
    bills = anew or behavior == "always_invoice"
    waits = payment == "pending_if_incomplete" and bills and bool(added)
    if waits:
        world.secret(found["id"])["pending_items"] = items
        until = min(now + PENDING_SECONDS, subscriptions.items_of(found)[0]["current_period_end"])
        waiting = {"expires_at": until, "subscription_items": copy.deepcopy(items)}
        found["pending_update"] = shapes.fill(waiting, stripe_types.inside("subscription", "PendingUpdate"))
    else:
        previous["items"] = copy.deepcopy(found["items"])
        found["items"]["data"] = items
        if anew:
            previous["billing_cycle_anchor"], found["billing_cycle_anchor"] = found["billing_cycle_anchor"], at
        world.emit("customer.subscription.updated", found, previous)
    if not bills:
        world.secret(found["id"]).setdefault("put_off", []).extend(vars(line) for line in added)
    elif added:
        invoice = subscriptions.invoice_now(world, found, added, "subscription_update")
        try:
            invoices.collect(world, invoice, off_session=params.get("off_session", False))
        except StripeError as refused:
            if refused.status not in (400, 402):
                raise
            if before is not None:
                world.restore(before)
                raise
    return world.get("subscription", subscription)


def _cancel_later(world: World, subscription: Json, params: Json, previous: Json) -> None:
    if "cancel_at_period_end" not in params:
        return
    later = params["cancel_at_period_end"]
    if later == subscription["cancel_at_period_end"]:
        return
    for name in ("cancel_at_period_end", "cancel_at", "canceled_at"):
        previous[name] = subscription[name]
    end = subscriptions.items_of(subscription)[0]["current_period_end"]
    subscription.update(
        cancel_at_period_end=later,
        cancel_at=end if later else None,
        canceled_at=world.now(subscription["customer"]) if later else None,
    )
    subscription["cancellation_details"]["reason"] = "cancellation_requested" if later else None


def cancel(world: World, params: Json, subscription: str) -> Json:
    found = world.get("subscription", subscription)
    if found["status"] in subscriptions.ENDED:
        raise missing("subscription", subscription)
    at = world.now(found["customer"])
    left = lines.unused(world, subscriptions.items_of(found), at) if params.get("prorate") else []
    if params.get("invoice_now"):
        if left or world.secret(found["id"]).get("put_off"):
            invoices.collect(world, subscriptions.invoice_now(world, found, left, "subscription_update"))
    elif left:
        world.secret(found["id"]).setdefault("put_off", []).extend(vars(line) for line in left)
    details = params.get("cancellation_details") or {}
    found["cancellation_details"] |= details
    subscriptions.end(world, found, "cancellation_requested")
    return found


def retrieve(world: World, params: Json, subscription: str) -> Json:
    return world.get("subscription", subscription)


def list_all(world: World, params: Json) -> Json:
    found = world.all("subscription", **({"customer": params["customer"]} if "customer" in params else {}))
    status = params.get("status")
    if status is None:
        found = [one for one in found if one["status"] != "canceled"]
    elif status not in ("all", "ended"):
        found = [one for one in found if one["status"] == status]
    if price := params.get("price"):
        found = [one for one in found if any(item["price"]["id"] == price for item in subscriptions.items_of(one))]
    return page(found, params, "/v1/subscriptions")


def list_items(world: World, params: Json) -> Json:
    found = subscriptions.items_of(world.get("subscription", params["subscription"], "subscription"))
    return page(found, params, "/v1/subscription_items", newest_first=False)


def preview(world: World, params: Json) -> Json:
    details = params.get("subscription_details") or {}
    if "subscription" in params:
        subscription = copy.deepcopy(world.get("subscription", params["subscription"], "subscription"))
        customer = world.get("customer", subscription["customer"])
        found, reason = _lines_to_come(world, subscription, details)
    else:
        customer = world.get("customer", params.get("customer", ""), "customer")
        subscription = subscriptions.new_subscription(
            world,
            customer["id"],
            details.get("items") or [],
            status="active",
            automatic_tax=params.get("automatic_tax") or {"enabled": False},
        )
        items = subscriptions.items_of(subscription)
        found, reason = subscriptions.whole_lines(world, items), "subscription_create"
        world.remove("subscription", subscription["id"])
    tax = params.get("automatic_tax") or subscription["automatic_tax"]
    invoice = invoices.compose(
        world,
        customer,
        found,
        reason=reason,
        currency=subscription["currency"],
        taxed=tax["enabled"],
        subscription=subscription,
        preview=True,
    )
    if "subscription" not in params:
        invoice["parent"] = None
    return invoice


def _lines_to_come(world: World, subscription: Json, details: Json) -> tuple[list[Line], str]:
    """Return the lines of the next invoice: at once where the change is billed at once, else at the period's end."""
    put_off = [Line(**kept) for kept in world.secret(subscription["id"]).get("put_off", [])]
    behavior = details.get("proration_behavior") or "create_prorations"
    at = details.get("proration_date") or world.now(subscription["customer"])
    asked, anchor = details.get("items") or [], details.get("billing_cycle_anchor")
    items = subscriptions.items_of(subscription)
    if details.get("cancel_now"):
        return put_off + lines.unused(world, items, at), "upcoming"
    if asked or anchor == "now":
        items, added, anew = change_of(world, subscription, asked, behavior, at, anchor)
        if anew or behavior == "always_invoice":
            return put_off + added, "subscription_update"
        put_off += added
    if details.get("cancel_at_period_end", subscription["cancel_at_period_end"]):
        message = f"No upcoming invoices for customer: {subscription['customer']}"
        raise StripeError(404, "invalid_request_error", message, "invoice_upcoming_none")
    for item in (items := copy.deepcopy(items)):
        start = item["current_period_end"]
        end = lines.period_end(start, item["price"]["recurring"], subscription["billing_cycle_anchor"])
        item.update(current_period_start=start, current_period_end=end)
    return put_off + subscriptions.whole_lines(world, items), "upcoming"


_SHARED = (
    "automatic_tax.enabled cancel_at_period_end default_payment_method description items.price"
    " items.quantity items.metadata metadata off_session payment_behavior proration_behavior"
    " payment_settings.save_default_payment_method payment_settings.payment_method_types"
)
ROUTES = (
    Route(
        "POST", "/v1/subscriptions", create, "SubscriptionCreateParams", f"{_SHARED} customer".replace("items.id ", "")
    ),
    Route("GET", "/v1/subscriptions", list_all, "SubscriptionListParams", f"{LIST} created customer price status"),
    Route("GET", "/v1/subscriptions/{subscription}", retrieve, "SubscriptionRetrieveParams"),
    Route(
        "POST",
        "/v1/subscriptions/{subscription}",
        update,
        "SubscriptionUpdateParams",
        f"{_SHARED} billing_cycle_anchor cancellation_details items.id items.deleted proration_date",
    ),
    Route(
        "DELETE",
        "/v1/subscriptions/{subscription}",
        cancel,
        "SubscriptionCancelParams",
        "cancellation_details invoice_now prorate",
    ),
    Route("GET", "/v1/subscription_items", list_items, "SubscriptionItemListParams", f"{LIST} subscription"),
    Route(
        "POST",
        "/v1/invoices/create_preview",
        preview,
        "InvoiceCreatePreviewParams",
        "automatic_tax.enabled customer subscription subscription_details.items.id subscription_details.items.price"
        " subscription_details.items.quantity subscription_details.items.deleted"
        " subscription_details.proration_behavior subscription_details.proration_date"
        " subscription_details.billing_cycle_anchor subscription_details.cancel_at_period_end"
        " subscription_details.cancel_now",
    ),
)

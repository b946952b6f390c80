"""Invoices: made of lines, numbered, paid with the customer's saved card, tried again after a decline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from portal.local.stripe import lines, methods, payments, shapes
from portal.local.stripe.errors import StripeError, invalid
from portal.local.stripe.lines import Line
from portal.local.stripe.lists import INCLUDABLE, as_list, page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

# When a declined invoice is tried again: days after the first, second and third try.
RETRY_DAYS = (3, 5, 7)
# Called when an invoice was paid, or a try to pay it has failed: subscriptions go on from there.
FOLLOWERS: list[Callable[[World, Json], None]] = []


def compose(
    world: World,
    customer: Json,
    found: Sequence[Line],
    *,
    reason: str,
    currency: str,
    taxed: bool,
    subscription: Json | None = None,
    preview: bool = False,
    from_balance: bool = True,
    **values: Any,
) -> Json:
    """Return an invoice in its full shape that is not kept yet: a draft, or what one would be.

    What the customer has as a balance is set off, unless all of it was paid already.
    """
    identifier = ("upcoming_" if preview else "") + world.new_id("invoice")
    country = ((customer["address"] or {}).get("country") or "") if taxed else ""
    linked = subscription["id"] if subscription else None
    items = [lines.line_object(world, line, identifier, currency, linked, country) for line in found]
    sums = lines.totals(items)
    balance = customer["balance"] if from_balance else 0
    due = max(sums["total"] + min(balance, 0), 0)
    now = world.now(customer["id"])
    parent = None
    if subscription:
        details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
        parent = {"type": "subscription_details", "subscription_details": details}
    return shapes.fill(
        {
            "id": identifier,
            "object": "invoice",
            "account_country": "US",
            "account_name": "Local stand-in",
            "amount_due": due,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_remaining": due,
            "amount_shipping": 0,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatic_tax": {"enabled": taxed, "status": "complete" if taxed else None},
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": currency,
            "customer": customer["id"],
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_tax_exempt": customer["tax_exempt"],
            "customer_tax_ids": [
                {"type": tax_id["type"], "value": tax_id["value"]}
                for tax_id in world.all("tax_id", customer=customer["id"])
            ],
            "default_tax_rates": [],
            "discounts": [],
            "issuer": {"type": "self"},
            "lines": as_list(items, f"/v1/invoices/{identifier}/lines"),
            "livemode": False,
            "metadata": {},
            "parent": parent,
            "payment_settings": {},
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "starting_balance": balance,
            "status": "draft",
            "status_transitions": {},
            "total_discount_amounts": [],
            "total_pretax_credit_amounts": [],
            **sums,
            **values,
        }
    )


def issue(world: World, invoice: Json) -> Json:
    """Keep a composed invoice, number it and open it; what it credits goes to the customer's balance."""
    customer = world.get("customer", invoice["customer"])
    world.objects.setdefault("invoice", {})[invoice["id"]] = invoice
    world.changed = True
    world.emit("invoice.created", invoice)
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] += 1
    moment = world.now(customer["id"])
    start, total = invoice["starting_balance"], invoice["total"]
    taken = total if total < 0 else min(total, max(-start, 0))
    invoice.update(
        number=f"{customer['invoice_prefix']}-{number:04d}",
        status="open",
        effective_at=moment,
        ending_balance=start + taken,
        hosted_invoice_url=f"{world.origin}/i/{invoice['id']}",
        invoice_pdf=f"{world.origin}/i/{invoice['id']}/pdf",
    )
    invoice["status_transitions"]["finalized_at"] = moment
    if taken:
        previous = customer["balance"]
        customer["balance"] = previous + taken
        world.emit("customer.updated", customer, {"balance": previous})
    world.emit("invoice.finalized", invoice)
    return invoice


def method_for(world: World, invoice: Json) -> Json | None:
    """Return the method that an invoice is paid with: its subscription's, else its customer's default."""
    customer = world.get("customer", invoice["customer"])
    chosen = customer["invoice_settings"]["default_payment_method"]
    if linked := subscription_of(invoice):
        chosen = world.get("subscription", linked)["default_payment_method"] or chosen
    return world.get("payment_method", chosen) if chosen else None


def subscription_of(invoice: Json) -> str | None:
    """Return the id of the subscription that an invoice is of."""
    parent = invoice["parent"] or {}
    linked: str | None = (parent.get("subscription_details") or {}).get("subscription")
    return linked


def intent_of(world: World, invoice: Json) -> Json:
    """Return the intent that pays an invoice, made when it is first needed."""
    if kept := world.secret(invoice["id"]).get("intent"):
        return world.get("payment_intent", kept)
    intent = payments.new_intent(
        world,
        invoice["amount_remaining"],
        invoice["currency"],
        invoice["customer"],
        description="Subscription update" if invoice["billing_reason"] == "subscription_update" else "Invoice",
        setup_future_usage="off_session" if subscription_of(invoice) else None,
    )
    link(world, invoice, intent)
    return intent


def link(world: World, invoice: Json, intent: Json) -> None:
    """Say that an intent pays an invoice."""
    world.secret(invoice["id"])["intent"] = intent["id"]
    world.secret(intent["id"])["invoice"] = invoice["id"]
    invoice["confirmation_secret"] = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    world.add(
        "invoice_payment",
        amount_paid=None,
        amount_requested=invoice["amount_remaining"],
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status="open",
        status_transitions={},
    )


def collect(world: World, invoice: Json, method: Json | None = None, *, off_session: bool = True) -> None:
    """Try to be paid. Raises StripeError (402) for a decline; the invoice then stays open and is tried again."""
    if invoice["amount_remaining"] == 0:
        settle_invoice(world, invoice)
        return
    method = method or method_for(world, invoice)
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)
    if method is None:
        _failed(world, invoice)
        message = "Cannot charge a customer that has no active card: attach a payment method and make it the default."
        raise invalid(message, "resource_missing")
    payments.confirm_intent(world, intent_of(world, invoice), method, off_session=off_session)


def settle_invoice(world: World, invoice: Json) -> None:
    """Mark an invoice as paid."""
    moment = world.now(invoice["customer"])
    invoice.update(
        status="paid",
        attempted=True,
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        next_payment_attempt=None,
        auto_advance=False,
    )
    invoice["status_transitions"]["paid_at"] = moment
    for payment in world.all("invoice_payment", invoice=invoice["id"]):
        payment.update(status="paid", amount_paid=payment["amount_requested"])
        payment["status_transitions"]["paid_at"] = moment
        world.emit("invoice_payment.paid", payment)
    world.changed = True
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    for follow in FOLLOWERS:
        follow(world, invoice)


def void_invoice(world: World, invoice: Json) -> None:
    """Let an open invoice never be paid; its intent is cancelled with it."""
    invoice.update(status="void", auto_advance=False, next_payment_attempt=None)
    invoice["status_transitions"]["voided_at"] = world.now(invoice["customer"])
    if kept := world.secret(invoice["id"]).get("intent"):
        intent = world.get("payment_intent", kept)
        if intent["status"].startswith("requires_"):
            payments.cancel(world, {"cancellation_reason": "void_invoice"}, kept)
    world.emit("invoice.voided", invoice)
    for follow in FOLLOWERS:
        follow(world, invoice)


def _failed(world: World, invoice: Json) -> None:
    tries = invoice["attempt_count"]
    again = invoice["billing_reason"] == "subscription_cycle" and tries <= len(RETRY_DAYS)
    wait = RETRY_DAYS[min(tries, len(RETRY_DAYS)) - 1] * 86400
    invoice["next_payment_attempt"] = world.now(invoice["customer"]) + wait if again else None
    world.changed = True
    world.emit("invoice.payment_failed", invoice)
    for follow in FOLLOWERS:
        follow(world, invoice)


def follow_intent(world: World, intent: Json) -> None:
    """Carry what became of an intent over to its invoice."""
    identifier = world.secret(intent["id"]).get("invoice")
    if not identifier:
        return
    invoice = world.get("invoice", identifier)
    if invoice["status"] != "open":
        return
    if intent["status"] == "succeeded":
        settle_invoice(world, invoice)
    elif intent["status"] == "requires_action":
        world.emit("invoice.payment_action_required", invoice)
        _failed(world, invoice)
    elif intent["status"] == "requires_payment_method":
        _failed(world, invoice)


payments.FOLLOWERS.append(follow_intent)


def invoice_of_payment(world: World, session: Json, intent: Json) -> Json:
    """Issue the paid invoice of a one-time checkout."""
    data = dict(session["invoice_creation"]["invoice_data"])
    now = world.now(session["customer"])
    sold = [
        Line(
            item["amount_subtotal"] - item["amount_discount"],
            item["description"],
            item["price"],
            item["quantity"],
            now,
            now,
        )
        for item in world.secret(session["id"])["items"]
    ]
    invoice = compose(
        world,
        world.get("customer", session["customer"]),
        sold,
        reason="manual",
        currency=session["currency"],
        taxed=session["automatic_tax"]["enabled"],
        metadata=data.get("metadata") or {},
        description=data.get("description"),
        footer=data.get("footer"),
        custom_fields=data.get("custom_fields"),
        from_balance=False,
    )
    if invoice["total"] != intent["amount"]:
        raise StripeError(500, "api_error", f"The invoice says {invoice['total']}, paid was {intent['amount']}.")
    issue(world, invoice)
    link(world, invoice, intent)
    settle_invoice(world, invoice)
    return invoice


# --- The API ----------------------------------------------------------------------------------------------------------
def retrieve(world: World, params: Json, invoice: str) -> Json:
    return world.get("invoice", invoice)


def list_all(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("customer", "status") if name in params}
    found = world.all("invoice", **equal)
    if linked := params.get("subscription"):
        found = [invoice for invoice in found if subscription_of(invoice) == linked]
    return page(found, params, "/v1/invoices")


def list_lines(world: World, params: Json, invoice: str) -> Json:
    found = world.get("invoice", invoice)["lines"]["data"]
    return page(found, params, f"/v1/invoices/{invoice}/lines", newest_first=False)


def pay(world: World, params: Json, invoice: str) -> Json:
    found = world.get("invoice", invoice)
    if found["status"] != "open":
        raise invalid("Invoice is already paid." if found["status"] == "paid" else "This invoice is not open.")
    method = methods.resolve(world, params["payment_method"]) if "payment_method" in params else None
    collect(world, found, method, off_session=params.get("off_session", True))
    return found


def void(world: World, params: Json, invoice: str) -> Json:
    found = world.get("invoice", invoice)
    if found["status"] not in ("open", "uncollectible"):
        raise invalid("You can only void an open or uncollectible invoice.", None, "invoice")
    void_invoice(world, found)
    return found


def list_payments(world: World, params: Json) -> Json:
    found = world.all("invoice_payment", **({"invoice": params["invoice"]} if "invoice" in params else {}))
    if payment := params.get("payment"):
        wanted = payment.get("payment_intent")
        found = [one for one in found if one["payment"]["payment_intent"] == wanted]
    return page(found, params, "/v1/invoice_payments")


INCLUDABLE["invoice", "payments"] = lambda world, invoice: world.all("invoice_payment", invoice=invoice["id"])

ROUTES = (
    Route("GET", "/v1/invoices", list_all, "InvoiceListParams", f"{LIST} created customer status subscription"),
    Route("GET", "/v1/invoices/{invoice}", retrieve, "InvoiceRetrieveParams"),
    Route("GET", "/v1/invoices/{invoice}/lines", list_lines, "InvoiceListLinesParams", LIST),
    Route("POST", "/v1/invoices/{invoice}/pay", pay, "InvoicePayParams", "payment_method off_session"),
    Route("POST", "/v1/invoices/{invoice}/void", void, "InvoiceVoidInvoiceParams"),
    Route(
        "GET",
        "/v1/invoice_payments",
        list_payments,
        "InvoicePaymentListParams",
        f"{LIST} invoice payment.type payment.payment_intent",
    ),
)

"""The pages that people see: paying, 3-D Secure, receipts. HTML without scripts, plainly marked as a stand-in."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aiohttp import web
from django.template import Context, Engine

from portal.local.stripe import checkout, invoices, methods, payments, portal, setups
from portal.local.stripe.cards import CARDS
from portal.local.stripe.errors import StripeError
from portal.local.stripe.tax import COUNTRIES, TAX_ID_TYPES
from portal.local.stripe.world import Json, World

FOLDER = Path(__file__).parent / "templates"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_ENGINE = Engine(dirs=[str(FOLDER)])
_NO_MINOR_UNIT = frozenset({"jpy", "krw", "vnd"})
_EXPIRY = re.compile(r"\s*(\d{1,2})\s*/?\s*(\d{2}|\d{4})\s*")
Answer = Callable[[World, str, dict[str, str]], web.Response]


def add_routes(app: web.Application, key: web.AppKey[World]) -> None:
    """Add the pages to a server."""
    for method, path, act in PAGES:
        app.router.add_route(method, path, _page(act, key))
    app.router.add_get("/", _front)
    app.router.add_get("/assets/hosted.css", _style)


def _page(act: Answer, key: web.AppKey[World]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        typed = dict(parse_qsl(await request.text(), keep_blank_values=True)) if request.method == "POST" else {}
        request.app[key].changed = request.method == "POST"
        try:
            return act(request.app[key], request.match_info["id"], typed)
        except StripeError as error:
            return render("message.html", {"title": "Not found", "message": str(error)}, status=error.status)

    return answer


async def _style(_: web.Request) -> web.Response:
    return web.Response(text=(FOLDER / "hosted.css").read_text(), content_type="text/css", headers=HEADERS)


async def _front(_: web.Request) -> web.Response:
    return render("front.html", {"title": "A local stand-in for Stripe", "cards": CARDS.values()})


def render(template: str, context: Json, status: int = 200) -> web.Response:
    """Return a page. Numbers are given as text: nothing here has a locale."""
    text = _ENGINE.get_template(template).render(Context(context))
    return web.Response(text=text, content_type="text/html", status=status, headers=HEADERS)


def leave(url: str) -> web.Response:
    """Send the browser on, with GET whatever it came with."""
    return web.Response(status=303, headers={**HEADERS, "Location": url})


def shown(amount: int, currency: str) -> str:
    """Return an amount of minor units as people read it."""
    if currency in _NO_MINOR_UNIT:
        return f"{amount:,} {currency.upper()}"
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100:,}.{abs(amount) % 100:02d} {currency.upper()}"


# --- Paying -----------------------------------------------------------------------------------------------------------
def show_payment(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Show the page of an open session, with the message of the last try where that failed."""
    session = world.get("checkout.session", identifier)
    checkout.close_if_late(world, session)
    if session["status"] != "open":
        return _closed(world, session)
    return _payment_page(world, session, typed, world.secret(identifier).pop("error", ""))


def _closed(world: World, session: Json) -> web.Response:
    if session["status"] == "complete":
        context = {"title": "Already paid", "message": "This checkout is complete.", "link": _success_url(session)}
    else:
        message = "This checkout has expired. Go back and begin again."
        context = {"title": "Expired", "message": message, "link": session["cancel_url"]}
    return render("message.html", context, status=200 if session["status"] == "complete" else 410)


def _payment_page(world: World, session: Json, typed: dict[str, str], error: str, status: int = 200) -> web.Response:
    customer = world.get("customer", session["customer"]) if session["customer"] else None
    address = (customer["address"] if customer else None) or {}
    country = typed.get("country") or address.get("country") or ""
    checkout.set_country(world, session, country or None)
    mail = typed.get("email") or (customer or {}).get("email") or session["customer_email"] or ""
    items = [
        {
            "description": item["description"],
            "quantity": str(item["quantity"]),
            "amount": shown(item["amount_subtotal"], item["currency"]),
            "every": _every(item["price"]["recurring"]),
        }
        for item in world.secret(session["id"])["items"]
    ]
    setup = session["mode"] == "setup"
    context = {
        "title": "Save a card" if setup else "Pay",
        "button": "Save the card" if setup else "Pay",
        "setup": setup,
        "items": items,
        "total": "" if setup else shown(session["amount_total"], session["currency"]),
        "tax": "" if setup else shown(session["total_details"]["amount_tax"], session["currency"]),
        "taxed": session["automatic_tax"]["enabled"],
        "tax_ids": TAX_ID_TYPES.items() if session["tax_id_collection"]["enabled"] else (),
        "debit": session["mode"] == "payment" and "us_bank_account" in session["payment_method_types"],
        "countries": COUNTRIES.items(),
        "country": country,
        "email": mail,
        "fixed_email": bool((customer or {}).get("email")),
        "name": typed.get("name") or (customer or {}).get("name") or "",
        "typed": typed,
        "cancel_url": session["cancel_url"],
        "cards": CARDS.values(),
        "error": error,
    }
    return render("pay.html", context, status=status)


def _every(recurring: Json | None) -> str:
    if not recurring:
        return ""
    count = recurring["interval_count"]
    return f"every {recurring['interval']}" if count == 1 else f"every {count} {recurring['interval']}s"


def try_payment(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Pay with what was typed in, or only compute the total anew; a refusal keeps everything on the page."""
    session = world.get("checkout.session", identifier)
    checkout.close_if_late(world, session)
    if session["status"] != "open":
        return _closed(world, session)
    if typed.get("act") == "update":
        return _payment_page(world, session, typed, "")
    try:
        details = _details(world, session, typed)
        method = _method(world, typed, details)
        checkout.collect(world, session, details)
        intent = checkout.pay(world, session, method)
    except _Mistyped as error:
        return _payment_page(world, session, typed, str(error), status=400)
    except StripeError as error:
        return _payment_page(world, session, typed, str(error), status=error.status)
    return _go_on(session, intent)


def _go_on(session: Json, intent: Json) -> web.Response:
    if intent["next_action"] if intent["object"] != "checkout.session" else None:
        return leave(intent["next_action"]["redirect_to_url"]["url"])
    return leave(_success_url(session))


def _success_url(session: Json) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


class _Mistyped(Exception):
    """What a person has to type differently."""


def _details(world: World, session: Json, typed: dict[str, str]) -> Json:
    customer = world.get("customer", session["customer"]) if session["customer"] else {}
    mail = customer.get("email") or typed.get("email", "").strip()
    if "@" not in mail:
        raise _Mistyped("Give a mail address, such as you@example.com.")
    country = typed.get("country") or ((customer.get("address") or {}).get("country"))
    if country not in COUNTRIES:
        raise _Mistyped("Choose your country.")
    tax_ids = []
    if value := typed.get("tax_id", "").strip():
        if typed.get("tax_id_type") not in TAX_ID_TYPES:
            raise _Mistyped("Choose what kind of tax id that is.")
        tax_ids.append({"type": typed["tax_id_type"], "value": value})
    address = dict.fromkeys(("city", "line1", "line2", "postal_code", "state"))
    return {
        "email": mail,
        "name": typed.get("name", "").strip() or customer.get("name"),
        "address": {**address, "country": country},
        "tax_ids": tax_ids,
    }


def _method(world: World, typed: dict[str, str], details: Json) -> Json:
    billing = {"address": details["address"], "email": details["email"], "name": details["name"]}
    if typed.get("method") in ("settles", "fails"):
        return methods.new_debit(world, typed["method"], billing)
    expiry = _EXPIRY.fullmatch(typed.get("expiry", ""))
    if not expiry:
        raise _Mistyped("Give the date of expiry as month / year, such as 12 / 34.")
    if not re.fullmatch(r"\d{3,4}", typed.get("cvc", "").strip()):
        raise _Mistyped("Give a security code of three digits; any will do.")
    return methods.new_card(world, typed.get("number", ""), int(expiry[1]), int(expiry[2]), billing)


# --- 3-D Secure -------------------------------------------------------------------------------------------------------
def _intent(world: World, identifier: str) -> Json:
    return world.get("setup_intent" if identifier.startswith("seti_") else "payment_intent", identifier)


def show_authentication(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Ask as the bank would, whether it is really them."""
    intent = _intent(world, identifier)
    if intent["status"] != "requires_action":
        return render("message.html", {"title": "3-D Secure", "message": "There is nothing to confirm any more."})
    amount = shown(intent["amount"], intent["currency"]) if "amount" in intent else ""
    return render("secure.html", {"title": "3-D Secure", "amount": amount})


def answer_authentication(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Take the customer's answer to their bank, and send them back to where they came from."""
    intent = _intent(world, identifier)
    action = (intent["next_action"] or {}).get("redirect_to_url") or {}
    error = ""
    try:
        if intent["object"] == "setup_intent":
            setups.authenticate_setup(world, intent, passed=typed.get("act") == "complete")
            checkout.complete_setup(world, intent)
        else:
            payments.authenticate(world, intent, passed=typed.get("act") == "complete")
    except StripeError as refusal:
        error = str(refusal)
    if session := world.secret(identifier).get("session"):
        found = world.get("checkout.session", session)
        if not error:
            return leave(_success_url(found))
        world.secret(session)["error"] = error
        return leave(found["url"])
    if url := action.get("return_url"):
        query = {
            intent["object"]: identifier,
            f"{intent['object']}_client_secret": intent["client_secret"],
            "redirect_status": "failed" if error else "succeeded",
        }
        return leave(f"{url}{'&' if '?' in url else '?'}{urlencode(query)}")
    return render("message.html", {"title": "3-D Secure", "message": error or "Confirmed. You can close this page."})


# --- Receipts ---------------------------------------------------------------------------------------------------------
def show_receipt(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Show the receipt of a charge."""
    charge = world.get("charge", identifier)
    details: Any = charge["payment_method_details"]
    lines = [
        ("Paid", shown(charge["amount"], charge["currency"])),
        ("With", f"{details['type']} that ends in {details[details['type']]['last4']}"),
        ("For", charge["description"] or ""),
        ("Sent to", charge["receipt_email"] or ""),
        ("Refunded", shown(charge["amount_refunded"], charge["currency"]) if charge["amount_refunded"] else ""),
        ("Number", charge["id"]),
    ]
    return render("table.html", {"title": "Receipt", "lines": [line for line in lines if line[1]]})


def show_invoice(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Show an invoice; one that is open can be paid here with a card, as its 3-D Secure may ask for."""
    return _invoice_page(world, world.get("invoice", identifier), "")


def _invoice_page(world: World, invoice: Json, error: str, status: int = 200) -> web.Response:
    currency = invoice["currency"]
    lines = [(line["description"], shown(line["amount"], currency)) for line in invoice["lines"]["data"]]
    tax = sum(part["amount"] for part in invoice["total_taxes"])
    due = invoice["status"] == "open"
    context = {
        "title": f"Invoice {invoice['number'] or ''}",
        "error": error,
        "lines": [
            *lines,
            ("Tax", shown(tax, currency)),
            ("Total", shown(invoice["total"], currency)),
            ("Paid from the balance", shown(invoice["total"] - invoice["amount_due"], currency)),
            ("Status", invoice["status"]),
        ],
        "due": shown(invoice["amount_remaining"], currency) if due else "",
        "cards": CARDS.values() if due else (),
    }
    return render("invoice.html", context, status=status)


def pay_invoice(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Pay an open invoice with the card that was typed in."""
    invoice = world.get("invoice", identifier)
    if invoice["status"] != "open":
        return _invoice_page(world, invoice, "")
    details = {"address": invoice["customer_address"], "email": invoice["customer_email"], "name": None}
    try:
        method = _method(world, {**typed, "method": "card"}, details)
        invoices.collect(world, invoice, method, off_session=False)
    except _Mistyped as error:
        return _invoice_page(world, invoice, str(error), status=400)
    except StripeError as error:
        return _invoice_page(world, invoice, str(error), status=error.status)
    if invoice["status"] == "open":
        action = invoices.intent_of(world, invoice)["next_action"]["redirect_to_url"]
        action["return_url"] = invoice["hosted_invoice_url"]
        return leave(action["url"])
    return leave(invoice["hosted_invoice_url"])


def invoice_pdf(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Return an invoice as a PDF."""
    from fpdf import FPDF  # noqa: PLC0415 a second of every start, for what is seldom asked for

    invoice = world.get("invoice", identifier)
    currency = invoice["currency"]
    document = FPDF()
    document.add_page()
    document.set_font("Helvetica", size=12)
    for text in (
        "Not an invoice: made by a local stand-in for Stripe, no money moved.",
        f"Number {invoice['number']}",
        *(f"{line['description']}: {shown(line['amount'], currency)}" for line in invoice["lines"]["data"]),
        f"Total {shown(invoice['total'], currency)}",
    ):
        document.multi_cell(0, 8, text.encode("latin-1", "replace").decode("latin-1"), new_x="LMARGIN", new_y="NEXT")
    return web.Response(body=bytes(document.output()), content_type="application/pdf", headers=HEADERS)


# --- The customer portal ----------------------------------------------------------------------------------------------
def show_portal(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Show what a customer can change."""
    return render("portal.html", portal.shown(world, world.get("billing_portal.session", identifier)))


def change_in_portal(world: World, identifier: str, typed: dict[str, str]) -> web.Response:
    """Make a change and show the page again."""
    session = world.get("billing_portal.session", identifier)
    try:
        portal.change(world, session, typed)
    except StripeError as error:
        return render("portal.html", {**portal.shown(world, session), "error": str(error)}, status=error.status)
    return leave(session["url"])


PAGES: tuple[tuple[str, str, Answer], ...] = (
    ("GET", "/c/pay/{id}", show_payment),
    ("POST", "/c/pay/{id}", try_payment),
    ("GET", "/3ds/{id}", show_authentication),
    ("POST", "/3ds/{id}", answer_authentication),
    ("GET", "/receipts/{id}", show_receipt),
    ("GET", "/i/{id}", show_invoice),
    ("POST", "/i/{id}", pay_invoice),
    ("GET", "/i/{id}/pdf", invoice_pdf),
    ("GET", "/p/session/{id}", show_portal),
    ("POST", "/p/session/{id}", change_in_portal),
)

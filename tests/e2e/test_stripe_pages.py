"""The hosted pages of the stand-in for Stripe in a browser: all can use them, and our pages lead there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import LOOKS, PATIENCE_SECONDS, Look, barriers, open_page
from tests.portal.test_settings import PRODUCTION, policy_of
from tests.stripe_standin import DECLINED, PAID, SECURE_ONCE, StandIn

BACK = "http://localhost:1/back?session={CHECKOUT_SESSION_ID}"


def session_of(standin: StandIn, **params: Any) -> Any:
    client = standin.client()
    customer = client.v1.customers.create({"email": "buyer@example.com"})
    item = {"price_data": {"currency": "cny", "unit_amount": 19_900, "product_data": {"name": "20,000 Tokens"}}}
    asked = {
        "mode": "payment",
        "customer": customer.id,
        "line_items": [{**item, "quantity": 1}],
        "automatic_tax": {"enabled": True},
        "tax_id_collection": {"enabled": True},
        "customer_update": {"address": "auto", "name": "auto"},
        "invoice_creation": {"enabled": True},
        "success_url": f"{standin.url}/?paid={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{standin.url}/?cancelled",
    }
    return client.v1.checkout.sessions.create({**asked, **params})


def fill(page: Page, number: str) -> None:
    page.select_option("#country", "CN")
    page.fill("#number", number)
    page.fill("#expiry", "12 / 34")
    page.fill("#cvc", "123")
    page.click("button.primary")


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_everybody_can_pay(browser: Browser, standin: StandIn, look: Look) -> None:
    errors: list[str] = []
    folder = os.environ.get("STANDIN_PICTURES")

    def check(name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}-{look}.png", full_page=True)
        assert barriers(page) == [], name

    with open_page(browser, look, errors) as page:
        session = session_of(standin)
        page.goto(session.url)
        assert "no money moves" in page.inner_text("header")
        check("pay")
        page.select_option("#country", "DE")
        page.click("button[value=update]")
        expect(page.locator("tfoot")).to_contain_text("236.81 CNY")
        fill(page, DECLINED)
        expect(page.locator("[role=alert]")).to_have_text("Your card was declined.")
        check("declined")
        fill(page, SECURE_ONCE)
        expect(page.locator("main")).to_contain_text("210.94 CNY")
        check("secure")
        page.click("button[value=fail]")
        expect(page.locator("[role=alert]")).to_contain_text("failed authentication")
        fill(page, SECURE_ONCE)
        page.click("button[value=complete]")
        page.wait_for_url(f"**/?paid={session.id}")
        check("front")
        client = standin.client()
        paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice", "payment_intent.latest_charge"]})
        assert paid.payment_status == "paid"
        for name, url in (
            ("complete", session.url),
            ("invoice", paid.invoice.hosted_invoice_url),
            ("receipt", paid.payment_intent.latest_charge.receipt_url),
            ("portal", client.v1.billing_portal.sessions.create({"customer": paid.customer, "return_url": BACK}).url),
        ):
            page.goto(url)
            check(name)
    # That a decline has its own status is told in the console, and nothing else is.
    assert [error for error in errors if "402" not in error] == []


def test_a_keyboard_is_enough(browser: Browser, standin: StandIn) -> None:
    session = session_of(standin, automatic_tax={"enabled": False}, tax_id_collection={"enabled": False})
    with open_page(browser, LOOKS[0], []) as page:
        page.goto(session.url)
        page.focus("#country")
        page.keyboard.type("Ch")
        page.focus("#number")
        for text in (PAID, "12/34", "123"):
            page.keyboard.type(text)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/?paid=*")


@contextmanager
def our_form(policy: str, target: str, *, by_page: bool) -> Iterator[str]:
    """Serve a form under a policy of ours that leads to another origin: by our page for leaving, or by a redirect."""
    leaving = render_to_string("billing/leaving.html", {"url": target}).encode()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer(200, b"<!DOCTYPE html><title>Buy</title><form method=post><button>Buy</button></form>")

        def do_POST(self) -> None:
            self.answer(200, leaving) if by_page else self.answer(303, b"", Location=target)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("by_page", [True, False], ids=["by our page", "by a redirect"])
def test_our_page_leads_on_where_our_policy_keeps_forms_here(browser: Browser, standin: StandIn, by_page: bool) -> None:
    """Chromium asks form-action about redirects too; the second case shows that it does."""
    keys = {"STRIPE_SECRET_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1", "STRIPE_API_BASE": standin.url}
    policy = policy_of(DEVELOPMENT="1", **keys)
    assert "form-action 'self';" in policy
    errors: list[str] = []
    target = session_of(standin).url
    with our_form(policy, target, by_page=by_page) as url, open_page(browser, LOOKS[0], errors) as page:
        page.goto(url)
        page.click("button")
        if by_page:
            page.wait_for_url(f"{standin.url}/c/pay/**")
        else:
            until = time.monotonic() + PATIENCE_SECONDS
            while not errors and time.monotonic() < until:
                page.wait_for_timeout(100)
            assert page.url.startswith(url)
        assert any("form-action" in error for error in errors) is not by_page


def test_with_payments_forms_may_lead_nowhere_else_either() -> None:
    keys = {"STRIPE_SECRET_KEY": "sk_live_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}
    assert "form-action 'self';" in policy_of(**PRODUCTION, **keys)

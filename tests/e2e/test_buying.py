"""Buying Tokens as a person does: sent here by a refused call, declined, asked by the bank, paid, and giving up."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import LOOKS, PATIENCE_SECONDS, Look, barriers, open_page
from tests.e2e.stack import ROOT, Stack
from tests.stripe_standin import DECLINED, PAID, SECURE_ALWAYS

BOARD = ROOT / "detection" / "catalog" / "pcb-defect-n" / "samples" / "board-01.jpg"


class Customer:
    """The other organization of the demo, as its admin's browser and its management key see it."""

    def __init__(self, stack: Stack) -> None:
        self.demo = stack.demo["other"]
        self.console = f"{stack.base_url}/o/{self.demo['organization']}"
        self.api = httpx.Client(
            base_url=stack.base_url,
            headers={"Authorization": f"Bearer {self.demo['management_key']}"},
            timeout=PATIENCE_SECONDS,
        )

    def available(self) -> float:
        found: dict[str, Any] = self.api.get("/v1/balance").json()
        return float(found["available_tokens"])

    def payment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/v1/topups/{name}").json()
        return found

    def sign_in(self, page: Page) -> None:
        page.fill("input[name=login]", self.demo["admin"]["email"])
        page.fill("input[name=password]", self.demo["admin"]["password"])
        page.click("main button[type=submit]")


@pytest.fixture
def customer(stack: Stack) -> Iterator[Customer]:
    customer = Customer(stack)
    yield customer
    customer.api.close()


def pay(page: Page, number: str) -> None:
    """Fill the hosted page and send it."""
    page.wait_for_url("**/c/pay/**")
    page.select_option("#country", "CN")
    page.fill("#number", number)
    page.fill("#expiry", "12 / 34")
    page.fill("#cvc", "123")
    page.click("button.primary")


def test_from_a_refused_call_to_tokens(stack: Stack, browser: Browser, customer: Customer) -> None:
    errors: list[str] = []
    refused = httpx.post(
        f"{stack.base_url}/v1/sub_tokens",
        json={"name": "More than there is", "tokens": 900_000_000},
        headers={"Authorization": f"Bearer {customer.demo['management_key']}"},
        timeout=PATIENCE_SECONDS,
    ).json()
    assert refused["code"] == "insufficient_tokens"
    before = customer.available()
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        # The link of the refusal leads through signing in to the page where it is done.
        page.goto(refused["top_up_url"])
        customer.sign_in(page)
        page.wait_for_url("**/billing/top-up/")
        page.fill("input[name=tokens]", "9900")
        expect(page.locator("#top-up-price")).to_contain_text("99.00 CNY")
        expect(page.locator("#top-up-price")).to_contain_text("10,000 Tokens cost 95.00 CNY")
        assert barriers(page) == []
        page.fill("input[name=tokens]", "1234")
        page.locator(".free-amount button").click()
        pay(page, DECLINED)
        expect(page.locator("[role=alert]")).to_contain_text("declined")
        pay(page, SECURE_ALWAYS)
        page.click("button[value=complete]")
        page.wait_for_url("**/billing/payments/**")
        expect(page.locator("#payment-state")).to_contain_text("Paid, and the Tokens are here")
        assert barriers(page) == []
        assert customer.available() == pytest.approx(before + 1234)
        page.click(".side >> text=Billing")
        expect(page.locator("main")).to_contain_text("13.08 CNY")
        expect(page.locator("main")).to_contain_text("Visa ···· 3184")
        expect(page.locator("main")).to_contain_text("Invoices go to")
        assert barriers(page) == []
    # The hosted page answers a decline with 402, which browsers write into their console.
    assert [error for error in errors if "402" not in error] == []


def test_the_webhook_credits_who_never_comes_back(stack: Stack, browser: Browser, customer: Customer) -> None:
    begun = customer.api.post("/v1/topups", json={"tokens": 500, "currency": "CNY"}).json()
    with open_page(browser, Look("en", "light", 1280), []) as page:
        # Whatever the way back is, this buyer does not take it.
        page.route(re.compile(r".*/billing/payments/.*"), lambda route: route.abort())
        page.goto(begun["checkout_url"])
        pay(page, PAID)
        until = time.monotonic() + PATIENCE_SECONDS
        while (shown := customer.payment(begun["id"]))["status"] != "paid" and time.monotonic() < until:
            page.wait_for_timeout(250)
    assert (shown["status"], shown["total_minor"]) == ("paid", 530)
    assert shown["grant"]


def test_giving_up(stack: Stack, browser: Browser, customer: Customer) -> None:
    before = customer.available()
    with open_page(browser, Look("en", "light", 1280), []) as page:
        page.goto(f"{customer.console}/billing/top-up/")
        customer.sign_in(page)
        page.locator(".package-card button").first.click()
        page.wait_for_url("**/c/pay/**")
        hosted = page.url
        # The page that led there is not in the way back.
        page.go_back()
        expect(page.locator("h1")).to_have_text("Top up")
        page.goto(hosted)
        page.locator("a[href*='back=cancelled']").first.click()
        expect(page.locator("#payment-state")).to_contain_text("Cancelled, nothing was charged")
        page.click("text=Give it up")
        expect(page.locator("#payment-state")).to_contain_text("Expired, nothing was charged")
        page.goto(hosted)
        expect(page.locator("main")).to_contain_text("expired")
    assert customer.available() == before


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_state_of_a_payment_can_be_read(look: Look, stack: Stack, browser: Browser, customer: Customer) -> None:
    begun = customer.api.post("/v1/topups", json={"tokens": 500, "currency": "USD"}).json()
    errors: list[str] = []
    with open_page(browser, look, errors) as page:
        page.goto(f"{customer.console}/billing/payments/{begun['id']}/")
        customer.sign_in(page)
        for query in ("", "?back=cancelled", "?back=paid"):
            page.goto(f"{customer.console}/billing/payments/{begun['id']}/{query}")
            assert barriers(page) == [], query
        assert customer.api.post(f"/v1/topups/{begun['id']}/cancel").json()["status"] == "expired"
        page.goto(f"{customer.console}/billing/payments/{begun['id']}/")
        assert barriers(page) == []
    assert errors == []

"""What a newcomer sees with nothing but `make run`: test cards buy Tokens, are declined, ask for 3-D Secure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import Look, barriers, open_page, sign_in
from tests.e2e.stack import Stack
from tests.stripe_standin import DECLINED, PAID, SECURE_ONCE


@pytest.fixture
def page(stack: Stack, browser: Browser) -> Iterator[Page]:
    """The demo's administrator, at the top-up page."""
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as opened:
        sign_in(opened, stack.base_url, **stack.demo["admin"])
        yield opened
    # A decline has a status of its own, which the console tells; nothing else is wrong anywhere on the way.
    assert [error for error in errors if "402" not in error] == []


def begin(page: Page, stack: Stack) -> None:
    """Choose the first package, and come to the hosted page."""
    page.goto(f"{stack.organization}/billing/top-up/")
    page.locator(".package-card button[type=submit]").first.click()
    page.wait_for_url(f"{stack.demo['stripe_url']}/c/pay/**")


def give_card(page: Page, number: str) -> None:
    page.select_option("#country", "CN")
    page.fill("#number", number)
    page.fill("#expiry", "12 / 34")
    page.fill("#cvc", "123")
    page.click("button.primary")


def paid_grants(page: Page, stack: Stack) -> int:
    page.goto(f"{stack.organization}/grants/?source=purchase")
    return page.locator("main tbody tr").count()


@pytest.mark.parametrize("number", [PAID, SECURE_ONCE])
def test_a_test_card_buys_tokens(page: Page, stack: Stack, number: str) -> None:
    before = paid_grants(page, stack)
    begin(page, stack)
    if number == SECURE_ONCE:
        give_card(page, DECLINED)
        expect(page.locator("[role=alert]")).to_have_text("Your card was declined.")
    give_card(page, number)
    if number == SECURE_ONCE:
        page.wait_for_url(f"{stack.demo['stripe_url']}/3ds/**")
        page.click("button[value=complete]")
    page.wait_for_url(re.compile(f"^{re.escape(stack.organization)}/billing/"))
    assert barriers(page) == []
    assert paid_grants(page, stack) == before + 1


def test_money_that_arrives_later_becomes_tokens_then(page: Page, stack: Stack) -> None:
    before = paid_grants(page, stack)
    begin(page, stack)
    page.check("input[value=settles]")
    page.select_option("#country", "CN")
    page.click("button.primary")
    page.wait_for_url(re.compile(f"^{re.escape(stack.organization)}/billing/"))
    assert paid_grants(page, stack) == before
    for _ in range(60):
        page.wait_for_timeout(1000)
        if paid_grants(page, stack) == before + 1:
            return
    pytest.fail("the Tokens of a bank debit never came")


def test_one_can_go_back_without_paying(page: Page, stack: Stack) -> None:
    before = paid_grants(page, stack)
    begin(page, stack)
    page.click("text=Cancel")
    page.wait_for_url(re.compile(f"^{re.escape(stack.organization)}/billing/"))
    assert paid_grants(page, stack) == before

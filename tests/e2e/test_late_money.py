"""A payment whose money arrives later: with nothing but `make run`, its Tokens come when the bank has paid."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page

from portal.local.payments import SETTLE_SECONDS
from tests.e2e.browsing import Look, barriers, come_back_until, open_page, sign_in
from tests.e2e.stack import Stack


def let_settle_after(stack: Stack, seconds: int) -> None:
    httpx.post(f"{stack.demo['stripe_url']}/_config/settling", json={"seconds": seconds}, timeout=60).raise_for_status()


@pytest.fixture
def _slow_bank(stack: Stack) -> Iterator[None]:
    """A bank that takes longer than anything here; as it was afterwards."""
    let_settle_after(stack, 3600)
    yield
    let_settle_after(stack, SETTLE_SECONDS)


def grants(page: Page, stack: Stack) -> int:
    page.goto(f"{stack.organization}/grants/")
    return page.locator("main tbody tr").count()


@pytest.mark.usefixtures("_slow_bank")
def test_money_that_arrives_later_becomes_tokens_then(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, **stack.demo["admin"])
        before = grants(page, stack)
        page.goto(f"{stack.organization}/billing/top-up/")
        page.locator(".package-card button[type=submit]").first.click()
        page.wait_for_url(f"{stack.demo['stripe_url']}/c/pay/**")
        page.check("input[value=settles]")
        page.select_option("#country", "CN")
        page.click("button.primary")
        page.wait_for_url(re.compile(f"^{re.escape(stack.organization)}/billing/"))
        paid_on = page.url
        assert grants(page, stack) == before
        page.goto(paid_on)
        assert barriers(page) == []
        let_settle_after(stack, 0)
        page.goto(f"{stack.organization}/grants/")
        come_back_until(page, lambda: page.locator("main tbody tr").count() == before + 1)
    assert errors == []

"""A payment whose money arrives later: with nothing but `make run`, its Tokens come when the bank has paid."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Browser, Page

from tests.e2e.browsing import Look, barriers, open_page, sign_in
from tests.e2e.stack import Stack

SECONDS = 60


def grants(page: Page, stack: Stack) -> int:
    page.goto(f"{stack.organization}/grants/")
    return page.locator("main tbody tr").count()


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
        until = time.monotonic() + SECONDS
        while grants(page, stack) == before and time.monotonic() < until:
            page.wait_for_timeout(250)
        assert grants(page, stack) == before + 1
    assert errors == []

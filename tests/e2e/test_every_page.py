"""Every page, in both languages and themes, on a desk and on a phone: no error, no barrier, nothing cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import get_resolver
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import LOOKS, Look, barriers, open_page, sign_in, walk
from tests.e2e.stack import Stack

PUBLIC = [
    "/",
    "/pricing/",
    "/pricing/?currency=USD",
    "/api/",
    "/api/calls/",
    "/api/organization/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/dev/mail/",
]
CONSOLE = [
    "/",
    "/playground/",
    "/splitting/",
    "/sub-tokens/",
    "/sub-tokens/new/",
    "/sub-tokens/lookup/",
    "/limits/",
    "/grants/",
    "/billing/",
    "/billing/top-up/",
    "/billing/redeem/",
    "/billing/refunds/",
    "/billing/plan/",
    "/billing/plan/change/?plan=basic&currency=CNY",
    "/billing/auto-top-up/",
    "/billing/cards/",
    "/ledger/",
    "/usage/",
    "/usage/?by=sub_token",
    "/calls/",
    "/forecast/",
    "/statement/",
    "/alerts/",
    "/alerts/mine/",
    "/alerts/rules/",
    "/members/",
    "/members/invite/",
    "/members/leave/",
    "/teams/",
    "/teams/new/",
    "/settings/",
    "/settings/ownership/",
    "/ownership/",
    "/closing/",
    "/management-keys/",
    "/management-keys/new/",
    "/webhooks/",
    "/webhooks/new/",
    "/audit/",
    "/security/",
    "/security/sign-on/",
]
ACCOUNT = [
    "/account/",
    "/account/sessions/",
    "/account/delete/",
    "/organizations/new/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/second-factor/",
    "/accounts/second-factor/totp/activate/",
    "/accounts/second-factor/webauthn/",
]
STAFF = [
    "/staff/",
    "/staff/jobs/",
    "/staff/payments/",
    "/staff/payments/events/",
    "/staff/mails/",
    "/staff/codes/",
    "/staff/codes/new/",
    "/staff/deeds/",
]
# A list, and the link to one of what it lists.
ONE_OF = dict.fromkeys(("calls", "sub-tokens", "teams", "management-keys"), "main tbody a") | {
    "splitting": ".share-name a",
    "limits": "main tbody td.end a",
}
# One of the staff's organizations, and what hangs below it.
STAFF_ONE = ["", "audit/", "acts/grant/", "acts/freeze/"]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_page_is_without_errors_and_barriers(stack: Stack, browser: Browser, look: Look) -> None:
    errors: list[str] = []
    admin = stack.demo["admin"]
    with open_page(browser, look, errors) as page:

        def addresses() -> Iterator[str]:
            yield from (stack.base_url + path for path in PUBLIC)
            sign_in(page, stack.base_url, admin["email"], admin["password"])
            yield from (stack.organization + path for path in CONSOLE)
            for name, link in ONE_OF.items():
                page.goto(f"{stack.organization}/{name}/")
                yield f"{stack.base_url}{page.locator(link).first.get_attribute('href')}"
            yield from (stack.base_url + path for path in ACCOUNT)

        walk(page, look, addresses(), errors)
    assert errors == []


def console_routes() -> Iterator[str]:
    """Return the addresses below an organization that take nothing but its name."""

    def walk(patterns: list[Any], before: str) -> Iterator[str]:
        for pattern in patterns:
            address = f"{before}{pattern.pattern}"
            if hasattr(pattern, "url_patterns"):
                yield from walk(pattern.url_patterns, address)
            elif address.startswith("o/<slug:slug>/") and address.count("<") == 1 and address.endswith("/"):
                yield address.removeprefix("o/<slug:slug>")

    return walk(get_resolver().url_patterns, "")


def test_no_page_is_left_out(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, stack.demo["admin"]["email"], stack.demo["admin"]["password"])
        left_out = []
        for path in console_routes():
            if path in CONSOLE:
                continue
            # What is no page is a fragment, or answers to POST only.
            answer = page.request.get(stack.organization + path, max_redirects=0)
            if answer.ok and answer.text().lstrip().lower().startswith("<!doctype html"):
                left_out.append(path)
    assert left_out == []


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_page_of_the_staff_is_without_errors_and_barriers(
    stack: Stack, browser: Browser, staff: list[Any], look: Look
) -> None:
    errors: list[str] = []
    with open_page(browser, look, errors) as page:
        page.context.add_cookies(staff)
        page.goto(f"{stack.base_url}/staff/")
        one = page.locator("main tbody a").first.get_attribute("href")
        below = [f"{one}{path}" for path in STAFF_ONE]
        walk(page, look, [stack.base_url + path for path in [*STAFF, *below]], errors)
    assert errors == []


def test_a_page_that_is_not_there_says_so_on_a_page_of_ours(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        response = page.goto(f"{stack.base_url}/o/nobody/")
        assert response is not None
        page.goto(f"{stack.base_url}/nowhere/")
        expect(page.locator("h1")).to_have_text("There is no such page")
        assert barriers(page) == []


def test_the_keyboard_reaches_every_page(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    admin = stack.demo["admin"]
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, admin["email"], admin["password"])
        page.keyboard.press("Tab")
        expect(page.locator(".skip-link")).to_be_focused()
        page.keyboard.press("Control+k")
        expect(page.locator("#palette")).to_be_visible()
        assert barriers(page) == []
        page.keyboard.type("ledger")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ledger/")
        page.locator(".switcher summary").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".switcher .menu-items")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".switcher .menu-items")).to_be_hidden()
    assert errors == []


def test_language_and_theme_are_kept(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        page.goto(stack.base_url)
        page.click("text=中文")
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
        page.wait_for_load_state()
        page.click("[data-toggle-theme]")
        expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
        assert page.locator("h1").inner_text() == "让缺陷止步于出厂之前。"
    assert errors == []


def test_the_price_calculator_asks_the_price_book(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        page.goto(stack.base_url)
        page.fill("input[name=images_per_day]", "1000")
        page.select_option("select[name=letter]", "l")
        page.select_option("select[name=img_size]", "960")
        expect(page.locator("#quote")).to_contain_text("5.625")
        expect(page.locator("#quote")).to_contain_text(re.compile(r"168,750\s*Tok"))
        expect(page.locator("#quote")).to_contain_text("1,687.50")
    assert errors == []

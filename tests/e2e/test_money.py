"""The way of money: a trial that is spent, a link that is followed, Tokens, a better plan, and money back."""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import PATIENCE_SECONDS, Look, barriers, come_back_until, open_page, sign_in
from tests.e2e.people import open_mail
from tests.e2e.stack import ROOT, Stack
from tests.e2e.test_buying import pay
from tests.stripe_standin import PAID, SECURE_ALWAYS

BOARD = ROOT / "detection" / "catalog" / "pcb-defect-n" / "samples" / "board-02.jpg"
EMAIL = "noor@coppermint.example"
PASSWORD = "a-mint-that-spends-copper"
# What a browser writes when Stripe's page answers a declined card with 402.
EXPECTED = "402"


class Caller:
    """Calls with a sub-token, no two of them alike, so that none is answered from the cache."""

    def __init__(self, stack: Stack, secret: str) -> None:
        self._client = httpx.Client(
            base_url=stack.base_url,
            headers={"Authorization": f"Bearer {secret}", "Content-Type": "image/jpeg"},
            timeout=PATIENCE_SECONDS,
        )
        self._numbers = itertools.count(1)

    def close(self) -> None:
        self._client.close()

    def once(self, img_size: int = 640) -> httpx.Response:
        conf = f"0.{next(self._numbers):04d}"
        query = {"model": "pcb-defect-n", "conf": conf, "img_size": img_size}
        return self._client.post("/v1/detect", params=query, content=BOARD.read_bytes())

    def patiently(self, img_size: int = 640) -> dict[str, Any]:
        """Call, and wait as long as a refusal says that is not for want of Tokens."""
        while True:
            answer = self.once(img_size)
            found: dict[str, Any] = answer.json()
            if found.get("code") not in {"rate_limited", "concurrency_limited", "no_capacity"}:
                return found | {"status": answer.status_code}
            time.sleep(float(answer.headers["Retry-After"]))

    def rate(self) -> str:
        """Call once, and return what the answer says how often may be called."""
        return next(
            part for part in self.once().headers["RateLimit-Policy"].split(", ") if part.startswith('"requests"')
        )

    def together(self, count: int) -> Counter[int]:
        """Call so often at the same moment, and count the answers by their status."""
        with ThreadPoolExecutor(count) as pool:
            return Counter(answer.status_code for answer in pool.map(lambda _: self.once(), range(count)))


def sign_up(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.base_url}/accounts/signup/")
    page.fill("input[name=name]", "Noor Haddad")
    page.fill("input[name=organization_name]", "Copper Mint")
    page.fill("input[name=email]", EMAIL)
    page.fill("input[name=password1]", PASSWORD)
    page.click("main button[type=submit]")
    open_mail(page, stack, EMAIL)
    page.locator("main a[href*='confirm-email']").first.click()
    page.click("text=Yes, confirm")
    if "/login" in page.url:
        page.fill("input[name=login]", EMAIL)
        page.fill("input[name=password]", PASSWORD)
        page.click("main button[type=submit]")
    page.wait_for_url(re.compile("/o/copper-mint"))


def make_sub_token(page: Page, console: str) -> str:
    page.goto(f"{console}/sub-tokens/new/")
    page.fill("input[name=name]", "Coin press")
    page.select_option("select[name=mode]", "capped")
    page.click("text=Make the sub-token")
    return page.locator("#secret-value").inner_text()


def test_from_the_trial_to_a_plan_and_back(stack: Stack, browser: Browser, request: pytest.FixtureRequest) -> None:
    errors: list[str] = []
    console = f"{stack.base_url}/o/copper-mint"
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_up(page, stack)
        caller = Caller(stack, make_sub_token(page, console))
        request.addfinalizer(caller.close)

        # The trial is spent, by large calls first and to its last small one; the refusal says where more is to be had.
        spent = 0.0
        for img_size in (1280, 640):
            while (answer := caller.patiently(img_size))["status"] == 200:
                spent += answer["usage"]["tokens"]
                assert spent <= 10
        refused = answer
        assert 9 < spent <= 10
        assert (refused["status"], refused["code"]) == (429, "insufficient_tokens")

        # Bought with a card; the next call goes through.
        page.goto(refused["top_up_url"])
        page.locator(".package-card", has_text="Starter").locator("button").click()
        pay(page, PAID)
        page.wait_for_url("**/billing/payments/**")
        expect(page.locator("#payment-state")).to_contain_text("Paid, and the Tokens are here")
        payment_page = page.url.partition("?")[0]
        assert barriers(page) == []
        assert caller.patiently()["status"] == 200

        # A call a second, until the plan allows ten.
        slow = caller.rate()
        assert (";q=1;" in slow, ";w=1;" in slow) == (True, True), slow
        page.goto(f"{console}/billing/plan/")
        page.locator(".plan-card", has_text="Basic").get_by_role("link").click()
        assert barriers(page) == []
        page.click("text=To the payment page")
        pay(page, PAID)
        page.wait_for_url("**/billing/plan/**")
        own = page.locator("#own-title")
        come_back_until(page, lambda: own.inner_text() == "Basic")
        page.locator(".plan-card", has_text="Advanced").get_by_role("link").click()
        upgrade = page.locator("form button", has_text="and upgrade")
        expect(upgrade).to_contain_text(re.compile(r"Pay [\d,]+\.\d\d CNY and upgrade"))
        upgrade.click()
        page.goto(f"{console}/billing/plan/")
        come_back_until(page, lambda: own.inner_text() == "Advanced")
        page.wait_for_timeout(1000)
        assert caller.rate() != slow
        assert caller.together(6) == {200: 6}
        assert barriers(page) == []

        # What is unspent of the package is paid back, and what is left is the plan's.
        page.goto(f"{payment_page}refund/")
        expect(page.locator("main")).to_contain_text("Money that comes back")
        assert barriers(page) == []
        page.click("[data-open-dialog=confirm-refund]")
        page.fill("#confirm-refund input[name=confirm_name]", "Copper Mint")
        page.locator("#confirm-refund [data-confirm-button]").click()
        page.goto(payment_page)
        come_back_until(page, lambda: "Paid back" in page.locator("main").inner_text())
        page.goto(f"{console}/ledger/")
        expect(page.locator("main tbody tr").first).to_contain_text("Reversal")
    assert [error for error in errors if EXPECTED not in error] == []


def confirm_it_is_me(page: Page, password: str) -> None:
    if "reauthenticate" in page.url:
        page.fill("input[name=password]", password)
        page.click("main button[type=submit]")


def save_card(page: Page, console: str, password: str, number: str) -> None:
    """Send a card on the hosted page; a bank that asks is still to be answered."""
    page.goto(f"{console}/billing/cards/")
    page.click("text=Save a card")
    confirm_it_is_me(page, password)
    if "/c/pay/" not in page.url and "/billing/cards/" in page.url:
        page.click("text=Save a card")
    pay(page, number)


def test_tokens_are_bought_by_themselves_and_a_bank_that_asks_is_answered(stack: Stack, browser: Browser) -> None:
    """Set up with a card whose bank always asks; the mail leads to the payment, which is made on the hosted page."""
    errors: list[str] = []
    admin = stack.demo["admin"]
    console = stack.organization
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, admin["email"], admin["password"])
        save_card(page, console, admin["password"], SECURE_ALWAYS)
        page.click("button[value=complete]")
        page.wait_for_url("**/billing/cards/**")
        expect(page.locator("main")).to_contain_text("3184")
        assert barriers(page) == []

        page.goto(f"{console}/billing/auto-top-up/")
        page.fill("input[name=threshold]", "900000000")
        page.select_option("select[name=buys]", index=0)
        page.fill("input[name=ceiling]", "100")
        page.click("text=Preview")
        expect(page.locator("main")).to_contain_text("the first purchase is made at once")
        assert barriers(page) == []
        page.get_by_role("button", name="Confirm", exact=True).click()
        expect(page.locator("main")).to_contain_text("The automatic top-up is on.")
        state = page.locator("#state-title").locator("xpath=../..")
        page.goto(f"{console}/billing/auto-top-up/")
        come_back_until(page, lambda: "Needs your confirmation" in state.inner_text())
        assert barriers(page) == []

        open_mail(page, stack, "confirm a payment")
        expect(page.locator("main")).to_contain_text("Confirm the payment")
        page.goto(f"{console}/billing/auto-top-up/")
        page.click("text=See the payment")
        page.get_by_role("link", name=re.compile("pay", re.IGNORECASE)).first.click()
        pay(page, SECURE_ALWAYS)
        page.click("button[value=complete]")
        page.wait_for_url("**/billing/payments/**")
        expect(page.locator("#payment-state")).to_contain_text("Paid, and the Tokens are here")

        # Off again, so that it buys no more.
        page.goto(f"{console}/billing/auto-top-up/")
        page.uncheck("input[name=enabled]")
        page.click("text=Preview")
        page.get_by_role("button", name="Confirm", exact=True).click()
        confirm_it_is_me(page, admin["password"])
        expect(page.locator("main")).to_contain_text("The automatic top-up is off.")
    assert [error for error in errors if EXPECTED not in error] == []


def test_a_voucher_made_by_staff_becomes_tokens(stack: Stack, browser: Browser, staff: list[Any]) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        page.context.add_cookies(staff)
        page.goto(f"{stack.base_url}/staff/codes/new/")
        page.fill("input[name=name]", "Fair in Ulm")
        page.fill("input[name=tokens]", "25")
        page.fill("input[name=count]", "3")
        page.fill("textarea[name=reason]", "Vouchers for the fair in Ulm")
        page.click("text=Preview")
        expect(page.locator("main")).to_contain_text("At most 75 Tokens are given away.")
        page.click("text=Make them")
        codes = page.locator("#codes").input_value().split()[1:]
        assert len(codes) == 3
        assert barriers(page) == []
        with page.expect_download() as saved:
            page.click("text=Save as CSV")
        assert codes[0] in saved.value.path().read_text()
        page.click("text=I have saved them")
        expect(page.locator("main")).to_contain_text("0 of 3")
        assert barriers(page) == []
    admin = stack.demo["admin"]
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, admin["email"], admin["password"])
        page.goto(f"{stack.organization}/billing/redeem/")
        page.fill("input[name=code]", codes[0][:-1])
        page.click("text=Redeem it")
        expect(page.locator("main")).to_contain_text("a character is wrong or missing")
        assert barriers(page) == []
        page.fill("input[name=code]", codes[0].lower())
        page.click("text=Redeem it")
        expect(page.locator("main")).to_contain_text("25 Tokens were credited.")
        page.fill("input[name=code]", codes[0])
        page.click("text=Redeem it")
        expect(page.locator("main")).to_contain_text("has used this offer already")
        assert barriers(page) == []
    assert errors == []

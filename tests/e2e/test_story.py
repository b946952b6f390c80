"""The way of a new customer: sign up, make a sub-token, find a defect, see the Tokens move."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import PATIENCE_SECONDS, Look, barriers, open_page
from tests.e2e.people import open_mail
from tests.e2e.stack import ROOT, Stack

BOARD = ROOT / "detection" / "catalog" / "pcb-defect-n" / "samples" / "board-01.jpg"
EMAIL = "mei@copperline.example"
PASSWORD = "a-long-story-about-copper"


def test_a_new_customer_finds_a_defect_and_sees_the_bill(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        # Sign up, and confirm by the mail.
        page.goto(stack.base_url)
        page.click("text=Start with 10 Tokens")
        page.fill("input[name=name]", "Mei Lin")
        page.fill("input[name=organization_name]", "Copperline")
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
        page.wait_for_url(re.compile("/o/copperline"))
        expect(page.locator("#balance-pill")).to_contain_text("10")
        expect(page.locator("main")).to_contain_text("Three steps to the first result")
        assert barriers(page) == []

        # Make a sub-token; its secret works over the API and is never shown again.
        page.get_by_role("link", name="Make a sub-token").click()
        page.fill("input[name=name]", "Line 1")
        page.fill("input[name=tokens]", "5")
        page.click("text=Make the sub-token")
        secret = page.locator("#secret-value").inner_text()
        assert secret.startswith("tsk_")
        assert barriers(page) == []
        caller = {"Authorization": f"Bearer {secret}"}
        balance = httpx.get(f"{stack.base_url}/v1/balance", headers=caller, timeout=PATIENCE_SECONDS)
        assert balance.json()["available_tokens"] == 5

        # Run a sample board in the playground.
        page.click("text=Try it in the playground")
        page.wait_for_url("**/playground/**")
        page.click("[data-sample] >> nth=0")
        price = page.locator("#price-now strong")
        expect(price).to_contain_text("Tok")
        tokens = float(price.inner_text().removesuffix("Tok"))
        page.click("#run")
        result = page.locator("#result")
        expect(result).to_contain_text("What was found")
        expect(result).to_contain_text("Spent")
        boxes, rows = page.locator("#result svg [data-box]:visible"), page.locator("#result tr[data-box]:visible")
        expect(rows).not_to_have_count(0)
        expect(boxes).to_have_count(rows.count())
        page.locator("[data-confidence]").fill("100")
        expect(boxes).to_have_count(0)
        assert barriers(page) == []

        # The pill follows by itself, and the ledger knows why.
        expect(page.locator("#balance-pill")).to_contain_text(f"{10 - tokens:.3f}".rstrip("0"))
        page.click(".side >> text=Ledger")
        expect(page.locator("main tbody tr").first).to_contain_text("Capture")
        expect(page.locator("main tbody tr").first).to_contain_text(f"{tokens:.3f}")
        page.locator("main tbody tr").first.locator("a", has_text="call").click()
        expect(page.locator("h1")).to_contain_text("pcb-defect-n")
        expect(page.locator("main svg [data-box]").first).to_be_attached()

        # Revoked by its name, it is dead within a second.
        page.click(".side >> text=Sub-tokens")
        page.click("main >> text=Line 1")
        page.wait_for_url(re.compile("/sub-tokens/[0-9a-f-]{36}/"))
        page.click("button:has-text('Revoke')")
        confirm = page.locator("#revoke [data-confirm-button]")
        expect(confirm).to_be_disabled()
        page.fill("#revoke input[name=confirm_name]", "Line 1")
        confirm.click()
        expect(page.locator("main")).to_contain_text("Line 1 is revoked")
        page.wait_for_timeout(1000)
        call = httpx.post(
            f"{stack.base_url}/v1/detect?model=pcb-defect-n",
            content=BOARD.read_bytes(),
            headers={**caller, "Content-Type": "image/jpeg"},
            timeout=PATIENCE_SECONDS,
        )
        assert (call.status_code, call.json()["code"]) == (401, "revoked_token")
    assert errors == []

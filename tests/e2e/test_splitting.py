"""Sharing Tokens out by keyboard: a slider says what would happen, and nothing moves until it is confirmed."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.e2e.browsing import Look, barriers, open_page, sign_in
from tests.e2e.stack import Stack


def test_tokens_are_shared_out_by_keyboard_and_only_when_confirmed(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    admin = stack.demo["admin"]
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, admin["email"], admin["password"])
        page.goto(f"{stack.organization}/teams/new/")
        page.fill("input[name=name]", "Assembly")
        page.click("main form button[type=submit]")
        page.goto(f"{stack.organization}/splitting/")
        page.get_by_role("button", name="Open a pool Assembly").click()
        page.locator("dialog[open] input[name=tokens]").fill("100")
        page.locator("dialog[open] button[type=submit]").click()
        expect(page.get_by_text("Assembly has a pool now.")).to_be_visible()
        page.wait_for_load_state()

        slider = page.get_by_role("slider", name="Share of Assembly")
        field = page.get_by_label("Free Tokens of Assembly")
        slider.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        wanted = field.input_value()
        assert float(wanted) > 100
        preview = page.locator("#preview")
        expect(preview.get_by_text("Nothing has moved yet")).to_be_visible()
        # The last of what was asked for on the way there.
        expect(preview.get_by_role("row", name=re.compile("Assembly"))).to_contain_text(f"{float(wanted):,.3f}")
        assert barriers(page) == []
        page.reload()
        expect(field).to_have_value("100")

        field.fill("123.456")
        expect(preview.get_by_role("row", name=re.compile("Assembly"))).to_contain_text("+23.456")
        preview.get_by_role("button", name="Do it").click()
        expect(page.get_by_text("Done: 23.456 Tokens given, 0 taken back.")).to_be_visible()
        page.wait_for_load_state()
        expect(field).to_have_value("123.456")

        field.fill("99999999")
        expect(preview.get_by_text(re.compile("^Only .* Tokens are free"))).to_be_visible()
        expect(preview.get_by_role("button", name="Do it")).to_have_count(0)
    assert errors == []


def test_a_split_shows_its_secrets_once_and_saves_them(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    admin = stack.demo["admin"]
    with open_page(browser, Look("en", "dark", 390), errors) as page:
        sign_in(page, stack.base_url, admin["email"], admin["password"])
        page.goto(f"{stack.organization}/splitting/")
        page.get_by_role("link", name="Split into sub-tokens").click()
        page.wait_for_url("**/split/")
        page.fill("input[name=tokens]", "1")
        page.fill("input[name=count]", "3")
        page.fill("input[name=stem]", "Camera")
        expect(page.locator("#split-preview").get_by_role("row", name=re.compile("Camera 1"))).to_contain_text("0.334")
        assert barriers(page) == []
        page.get_by_role("button", name="Make the sub-tokens").click()
        secrets = page.locator("#secrets").input_value()
        assert secrets.count("tsk_") == 3
        page.wait_for_load_state()
        with page.expect_download() as saving:
            page.get_by_role("button", name="Save as CSV").click()
        assert saving.value.path().read_text().replace("\r\n", "\n") == secrets.replace("\r\n", "\n")
        assert barriers(page) == []
    assert errors == []

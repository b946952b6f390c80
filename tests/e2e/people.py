"""A person who comes to the product as anybody does."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.e2e.browsing import come_back_until, sign_in
from tests.e2e.stack import Stack

PASSWORD = "a-long-story-about-copper"


def open_mail(page: Page, stack: Stack, words: str) -> None:
    """Open the newest mail whose recipient or subject has these words; the scheduler sends them, a moment later."""
    page.goto(f"{stack.base_url}/dev/mail/")
    mails = page.locator("tr", has_text=words)
    come_back_until(page, lambda: mails.count() > 0)
    mails.first.locator("a").click()


def sign_up(page: Page, stack: Stack, email: str) -> None:
    """Open an account and an organization, and confirm the address by the mail."""
    page.goto(f"{stack.base_url}/accounts/signup/")
    page.fill("input[name=name]", "Mei Lin")
    page.fill("input[name=organization_name]", f"Works of {email.split('@')[0]}")
    page.fill("input[name=email]", email)
    page.fill("input[name=password1]", PASSWORD)
    page.click("main button[type=submit]")
    open_mail(page, stack, email)
    page.locator("main a[href*='confirm-email']").first.click()
    page.click("text=Yes, confirm")
    if "/login" in page.url:
        sign_in(page, stack.base_url, email, PASSWORD)
    page.wait_for_url("**/o/**")

"""Pictures of every page and state in every look, into a folder: `python -m tests.e2e.screenshots DIR [WORD ...]`.

Words keep only the pictures whose names contain one of them.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.e2e.browsing import Look, launch, open_page, sign_in
from tests.e2e.stack import Stack, running_stack
from tests.e2e.staffing import staff_cookies
from tests.e2e.test_every_page import ACCOUNT, CONSOLE, ONE_OF, PUBLIC, STAFF, STAFF_ONE

LOOKS = [Look(*look) for look in itertools.product(("en", "zh"), ("light", "dark"), (1280, 390))]
EMPTY = ["/", "/playground/", "/calls/", "/sub-tokens/", "/ledger/", "/grants/", "/teams/", "/management-keys/"]


def slug(path: str) -> str:
    """Return a file's name for an address."""
    return re.sub(r"[^a-z0-9]+", "-", path).strip("-") or "first"


def save(page: Page, file: Path) -> None:
    """Save a picture of the whole page as it is now."""
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    page.screenshot(path=file, full_page=True)


def playground(page: Page, stack: Stack) -> None:
    """Run a sample board."""
    page.goto(f"{stack.organization}/playground/")
    page.click("[data-sample] >> nth=2")
    page.click("#run:enabled")
    page.wait_for_selector("#result svg [data-box]", timeout=60_000)
    page.wait_for_timeout(400)
    page.evaluate("scrollTo(0, 0)")


def palette(page: Page, stack: Stack) -> None:
    """Open the command palette."""
    page.goto(f"{stack.organization}/")
    page.keyboard.press("Control+k")


def drawer(page: Page, stack: Stack) -> None:
    """Open the sidebar, which is a drawer on a phone; on a desk, the menu of organizations."""
    page.goto(f"{stack.organization}/members/")
    if page.locator("[data-open-side]").is_visible():
        page.click("[data-open-side]")
        page.wait_for_timeout(300)
    else:
        page.click(".switcher summary")


def revoking(page: Page, stack: Stack) -> None:
    """Ask for a sub-token to be revoked."""
    page.goto(f"{stack.organization}/sub-tokens/")
    page.locator("main tbody a").first.click()
    page.locator("[data-open-dialog=revoke]").click()


def secret(page: Page, stack: Stack) -> None:
    """Make a sub-token and see its secret."""
    page.goto(f"{stack.organization}/sub-tokens/new/")
    page.fill("input[name=name]", "Line 2")
    page.fill("input[name=tokens]", "12.5")
    page.locator("main form [type=submit]").last.click()
    page.wait_for_selector("#secret-value")


def refused(page: Page, stack: Stack) -> None:
    """Ask for more Tokens than there are."""
    page.goto(f"{stack.organization}/sub-tokens/new/")
    page.fill("input[name=name]", "Line 3")
    page.fill("input[name=tokens]", "99999999")
    page.locator("main form [type=submit]").last.click()
    page.wait_for_selector(".invalid-feedback, .message.bad")


def missing(page: Page, stack: Stack) -> None:
    """Ask for a page that is not there."""
    page.goto(f"{stack.base_url}/nowhere/")


STATES: dict[str, Callable[[Page, Stack], None]] = {
    "state-playground": playground,
    "state-palette": palette,
    "state-drawer": drawer,
    "state-revoking": revoking,
    "state-secret": secret,
    "state-refused": refused,
    "state-missing": missing,
}


def look_at(page: Page, stack: Stack, directory: Path, look: Look, words: list[str]) -> None:
    """Save the pictures of one look."""

    def wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    def take(name: str, address: str) -> None:
        if wanted(name):
            page.goto(address)
            save(page, directory / f"{name}-{look}.png")

    for path in PUBLIC:
        take(f"public-{slug(path)}", stack.base_url + path)
    sign_in(page, stack.base_url, stack.demo["admin"]["email"], stack.demo["admin"]["password"])
    for name, reach in STATES.items():
        if wanted(name):
            reach(page, stack)
            save(page, directory / f"{name}-{look}.png")
    for path in CONSOLE:
        take(f"console-{slug(path)}", stack.organization + path)
    for name, link in ONE_OF.items():
        if wanted(f"one-of-{slug(name)}"):
            page.goto(f"{stack.organization}/{name}/")
            take(f"one-of-{slug(name)}", f"{stack.base_url}{page.locator(link).first.get_attribute('href')}")
    for path in ACCOUNT:
        take(f"account-{slug(path)}", stack.base_url + path)
    if wanted("empty"):
        page.goto(f"{stack.base_url}/organizations/new/")
        page.fill("input[name=name]", f"Empty {look}")
        page.locator("main form [type=submit]").last.click()
        page.wait_for_url("**/o/empty-**")
        empty = page.url.rstrip("/")
        for path in EMPTY:
            take(f"empty-{slug(path)}", empty + path)


def look_as_staff(page: Page, stack: Stack, directory: Path, look: Look) -> None:
    """Save the pictures of the staff console in one look."""
    page.goto(f"{stack.base_url}/staff/")
    one = page.locator("main tbody a").first.get_attribute("href")
    for path in [*STAFF, *(f"{one}{below}" for below in STAFF_ONE)]:
        page.goto(stack.base_url + path)
        save(page, directory / f"staff-{slug(path.replace(one or '', 'one/'))}-{look}.png")


def main(directory: Path, words: list[str]) -> None:
    """Start the product, look at all pages, and leave the pictures in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with running_stack() as stack, sync_playwright() as playwright:
        browser = launch(playwright)
        for look in LOOKS:
            with open_page(browser, look, errors) as page:
                look_at(page, stack, directory, look, words)
        if not words or "staff" in words:
            cookies = staff_cookies(browser, stack)
            for look in LOOKS:
                with open_page(browser, look, errors) as page:
                    page.context.add_cookies(cookies)
                    look_as_staff(page, stack, directory, look)
        browser.close()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}")
    for error in errors:
        print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"), sys.argv[2:])

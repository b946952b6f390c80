"""Pictures of every page in every look, into a folder: `python -m tests.e2e.screenshots DIR`."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.e2e.browsing import Look, launch, open_page, sign_in
from tests.e2e.stack import Stack, running_stack
from tests.e2e.test_every_page import CONSOLE, PUBLIC

LOOKS = [Look(*look) for look in itertools.product(("en", "zh"), ("light", "dark"), (1280, 390))]


def take(page: Page, address: str, file: Path) -> None:
    """Save a picture of a whole page."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=file, full_page=True)


def run_sample(page: Page, stack: Stack, file: Path) -> None:
    """Run a sample board in the playground and save a picture of what it found."""
    page.goto(f"{stack.organization}/playground/")
    page.click("[data-sample] >> nth=2")
    page.click("#run:enabled")
    page.wait_for_selector("#result svg [data-box]", timeout=60_000)
    page.wait_for_timeout(400)
    page.screenshot(path=file, full_page=True)


def main(directory: Path) -> None:
    """Start the product, look at all pages, and leave the pictures in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with running_stack() as stack, sync_playwright() as playwright:
        browser = launch(playwright)
        for look in LOOKS:
            with open_page(browser, look, errors) as page:
                for path in PUBLIC:
                    take(page, stack.base_url + path, directory / f"public{path.replace('/', '-')}{look}.png")
                sign_in(page, stack.base_url, stack.demo["admin"]["email"], stack.demo["admin"]["password"])
                run_sample(page, stack, directory / f"playground-result-{look}.png")
                for path in CONSOLE:
                    take(page, stack.organization + path, directory / f"console{path.replace('/', '-')}{look}.png")
                for name in ("calls", "sub-tokens"):
                    page.goto(f"{stack.organization}/{name}/")
                    link = page.locator("main tbody a").first.get_attribute("href")
                    take(page, f"{stack.base_url}{link}", directory / f"one-of-{name}-{look}.png")
        browser.close()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}")
    for error in errors:
        print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))

"""A browser that notices what a person would: errors in the console, barriers, pages wider than the screen."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, ViewportSize, expect

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SPACED = """() => {
    const shown = document.body.innerText;
    return shown.match(/[^\\n]{0,12}[，。；：！？、）][ \\u00a0][^\\n]{0,12}/g) ?? [];
}"""
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]

# How long is waited for what must happen, where product, browser and test share two processors with other tests.
PATIENCE_SECONDS = 90
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@dataclass(frozen=True)
class Look:
    """How a page is looked at: `language` en or zh, `theme` light or dark, on a `width` of so many pixels."""

    language: str
    theme: str
    width: int

    def __str__(self) -> str:
        return f"{self.language}-{self.theme}-{self.width}"


# Each pair of language, theme and width at least once.
LOOKS = [Look("en", "light", 1280), Look("zh", "dark", 1280), Look("en", "dark", 390), Look("zh", "light", 390)]


def launch(playwright: Playwright) -> Browser:
    """Start the system's Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    assert path, "The browser tests need Chromium: apt-get install chromium"
    return playwright.chromium.launch(executable_path=path, args=FLAGS)


@contextmanager
def open_page(browser: Browser, look: Look, errors: list[str]) -> Iterator[Page]:
    """Open an empty page that looks as asked and writes what goes wrong to `errors`."""
    context = browser.new_context(
        viewport=ViewportSize(width=look.width, height=860),
        color_scheme="dark" if look.theme == "dark" else "light",
        locale="zh-CN" if look.language == "zh" else "en-US",
        timezone_id="Asia/Shanghai",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and errors.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))
    try:
        yield page
    finally:
        context.close()


def come_back_until(page: Page, holds: Callable[[], bool]) -> None:
    """Load the page again and again until something holds there that comes by itself, and not to an open page."""
    address, until = page.url, time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, f"{address} has stayed as it was"
        page.wait_for_timeout(250)
        page.goto(address)


def sign_in(page: Page, base_url: str, email: str, password: str) -> None:
    """Sign in and wait for the console."""
    page.goto(f"{base_url}/accounts/login/")
    page.fill("input[name=login]", email)
    page.fill("input[name=password]", password)
    page.click("main button[type=submit]")
    page.wait_for_url("**/o/**")


def without_language(cookies: list[Any]) -> list[Any]:
    """Return cookies for another look: whose session it is, and not in which language they read."""
    return [cookie for cookie in cookies if cookie["name"] != "django_language"]


def barriers(page: Page) -> list[str]:
    """Return what axe-core finds against WCAG 2.2 AA, badly set Chinese, and whether the page is too wide."""
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[dict[str, Any]]
    found, wide = page.evaluate(
        """async rules => {
            // What passed is not worked out, and no style sheet is loaded once more: no rule of these asks for either.
            const options = {runOnly: rules, reporter: 'no-passes', preload: false};
            const { scrollWidth, clientWidth } = document.documentElement;
            return [(await axe.run(document, options)).violations, scrollWidth - clientWidth];
        }""",
        RULES,
    )
    problems = [
        f"{violation['id']}: {violation['help']}: " + " | ".join(node["html"][:160] for node in violation["nodes"][:3])
        for violation in found
    ]
    problems += [f"a space after Chinese punctuation: {text}" for text in page.evaluate(SPACED)]
    if wide > 0:
        problems.append(f"the page is {wide} px wider than the screen")
    return problems


def walk(page: Page, look: Look, addresses: Iterable[str], errors: list[str]) -> None:
    """Look at page after page: each answers 200, in the language and theme asked for, and has no barrier."""
    # Into each page as it opens: handed over by `evaluate` every time, it would take longer than its work does.
    page.context.add_init_script(AXE)
    expected = {"lang": "zh-Hans" if look.language == "zh" else "en", "theme": look.theme}
    for address in addresses:
        response = page.goto(address)
        assert response is not None, address
        if response.status != 200:
            errors.append(f"{address}: {response.status}")
        shown = page.evaluate(
            "({lang: document.documentElement.lang, theme: document.documentElement.dataset.bsTheme})"
        )
        assert shown == expected, address
        errors.extend(f"{address}: {problem}" for problem in barriers(page))

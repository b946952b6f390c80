"""Pictures of every page and state in every look, into a folder: `python -m tests.e2e.screenshots DIR [WORD ...]`.

Words keep only the pictures whose names contain one of them.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.browsing import Look, launch, open_page, sign_in, without_language
from tests.e2e.people import open_mail
from tests.e2e.stack import ROOT, Stack, running_stack
from tests.e2e.staffing import staff_cookies
from tests.e2e.test_buying import pay
from tests.e2e.test_every_page import ACCOUNT, CONSOLE, ONE_OF, PUBLIC, STAFF, STAFF_ONE
from tests.e2e.test_money import confirm_it_is_me, save_card
from tests.stripe_standin import PAID

LOOKS = [Look(*look) for look in itertools.product(("en", "zh"), ("light", "dark"), (1280, 390))]
# Pages around signing up and in that no link of the signed-in leads to.
ENTRANCE = ["/accounts/confirm-email/", "/accounts/password/reset/done/", "/accounts/password/reset/key/done/",
            "/accounts/inactive/", "/accounts/confirm-email/wrong/", "/accounts/password/reset/key/1-wrong/",
            "/nowhere/"]  # fmt: skip
LIVED_ONE_OF = {"webhooks": "main tbody a", "billing": "main a[href*='/billing/payments/']"}
SETTING_UP = "import django; django.setup(); from tests.e2e import history as it; it.main()"
FAILING = """
import sys, django; django.setup()
from django.template.loader import render_to_string
from django.utils.translation import override
with override(sys.argv[1]): print(render_to_string("500.html"))
"""


@dataclass(frozen=True)
class Lived:
    """The organization with weeks behind it: its address, who signs in, and the invitation that waits for somebody."""

    console: str
    email: str
    password: str
    viewer: dict[str, str]
    invitation: str


def slug(path: str) -> str:
    """Return a file's name for an address."""
    return re.sub(r"[^a-z0-9]+", "-", path).strip("-") or "first"


def save(page: Page, file: Path, *, whole: bool = True) -> None:
    """Save a picture of the whole page as it is now, or of what the screen shows of it."""
    page.wait_for_load_state("load")
    if "/dev/mail/" in page.url:  # a mail runs no script, not even one that waits
        page.screenshot(path=file, full_page=whole)
        return
    page.wait_for_selector(".htmx-request", state="detached")
    page.evaluate(
        "document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 30))))"
    )
    page.screenshot(path=file, full_page=whole)


def in_the_product(stack: Stack, code: str, *words: str) -> str:
    """Run Python beside the product, and return what it printed."""
    env = os.environ | {
        "DEVELOPMENT": "1",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": stack.demo["database_url"],
        "REDIS_URL": stack.demo["redis_url"],
        "BASE_URL": stack.base_url,
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def live(stack: Stack, browser: Browser, errors: list[str]) -> Lived:
    """Make the organization with weeks behind it, and do what only people do: buy, invite, listen."""
    made: dict[str, Any] = json.loads(in_the_product(stack, SETTING_UP).splitlines()[-1])
    console = f"{stack.base_url}/o/{made['organization']}"
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, **made["admin"])
        page.goto(f"{console}/billing/top-up/")
        page.locator(".package-card button[type=submit]").first.click()
        pay(page, PAID)
        page.wait_for_url("**/billing/payments/**")
        save_card(page, console, made["admin"]["password"], PAID)
        page.wait_for_url("**/billing/cards/**")
        page.goto(f"{console}/members/invite/")
        page.fill("input[name=email]", "wei.zhang@helio.example")
        page.locator("main form [type=submit]").last.click()
        page.goto(f"{console}/webhooks/new/")
        page.fill("input[name=name]", "ERP")
        page.fill("input[name=url]", "https://erp.helio.example/tokensight/alerts?plant=suzhou&line=1")
        page.locator("main form [type=submit]").last.click()
        invitation = mailed(page, stack, "wei.zhang@helio.example", "/invitations/")
    return Lived(console, made["admin"]["email"], made["admin"]["password"], made["viewer"], invitation)


def mailed(page: Page, stack: Stack, address: str, link: str) -> str:
    """Return a link from the newest mail to an address."""
    open_mail(page, stack, address)
    return str(page.locator(f"main a[href*='{link}']").first.get_attribute("href"))


def playground(page: Page, stack: Stack, _: Lived) -> None:
    """Run a sample board."""
    page.goto(f"{stack.organization}/playground/")
    page.click("[data-sample] >> nth=2")
    page.click("#run:enabled")
    page.wait_for_selector("#result svg [data-box]", timeout=60_000)
    page.evaluate("scrollTo(0, 0)")


def palette(page: Page, stack: Stack, _: Lived) -> None:
    """Open the command palette."""
    page.goto(f"{stack.organization}/")
    page.keyboard.press("Control+k")


def drawer(page: Page, stack: Stack, _: Lived) -> None:
    """Open the sidebar, which is a drawer on a phone; on a desk, the menu of organizations."""
    page.goto(f"{stack.organization}/members/")
    if page.locator("[data-open-side]").is_visible():
        page.click("[data-open-side]")
    else:
        page.click(".switcher summary")


def account_menu(page: Page, stack: Stack, _: Lived) -> None:
    """Open the menu of the person."""
    page.goto(f"{stack.organization}/members/")
    page.locator(".top details.menu summary").last.click()


def revoking(page: Page, stack: Stack, _: Lived) -> None:
    """Ask for a sub-token to be revoked."""
    page.goto(f"{stack.organization}/sub-tokens/")
    page.locator("main tbody a").first.click()
    page.locator("[data-open-dialog=revoke]").click()


def editing(page: Page, stack: Stack, _: Lived) -> None:
    """Change a sub-token's policy."""
    page.goto(f"{stack.organization}/sub-tokens/")
    page.goto(f"{stack.base_url}{page.locator('main tbody a').first.get_attribute('href')}edit/")


def secret(page: Page, stack: Stack, _: Lived) -> None:
    """Make a sub-token and see its secret."""
    page.goto(f"{stack.organization}/sub-tokens/new/")
    page.fill("input[name=name]", "Line 2")
    page.fill("input[name=tokens]", "12.5")
    page.locator("main form [type=submit]").last.click()
    page.wait_for_selector("#secret-value")


def refused(page: Page, stack: Stack, _: Lived) -> None:
    """Ask for more Tokens than there are."""
    page.goto(f"{stack.organization}/sub-tokens/new/")
    page.fill("input[name=name]", "Line 3")
    page.fill("input[name=tokens]", "99999999")
    page.locator("main form [type=submit]").last.click()
    page.wait_for_selector(".invalid-feedback, .message.bad")


def splitting(page: Page, stack: Stack, _: Lived) -> None:
    """Split Tokens into sub-tokens, with the preview."""
    page.goto(f"{stack.organization}/splitting/")
    page.locator("main a.btn-primary").first.click()
    page.fill("input[name=tokens]", "10")
    page.fill("input[name=count]", "3")
    page.fill("input[name=stem]", "Camera")
    page.wait_for_selector("#split-preview table")


def sharing(page: Page, _: Stack, lived: Lived) -> None:
    """Move a share, and see what would happen."""
    page.goto(f"{lived.console}/splitting/")
    page.locator(".share-name a").first.click()
    page.locator("input[type=range]").first.focus()
    for _press in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#preview table")


def usage_of_two(page: Page, _: Stack, lived: Lived) -> None:
    """Usage by two dimensions, stacked."""
    page.goto(f"{lived.console}/usage/?by=day&also=sub_token")


def nothing_found(page: Page, _: Stack, lived: Lived) -> None:
    """Filter a list for what is not there."""
    page.goto(f"{lived.console}/calls/?status=cancelled")


def auto_top_up(page: Page, _: Stack, lived: Lived) -> None:
    """Confirm an automatic top-up before it is turned on."""
    page.goto(f"{lived.console}/billing/auto-top-up/")
    page.fill("input[name=threshold]", "100")
    page.fill("input[name=ceiling]", "500")
    page.locator("main form [type=submit]").last.click()
    page.wait_for_load_state()
    confirm_it_is_me(page, lived.password)


def failing(page: Page, stack: Stack, _: Lived) -> None:
    """The page that stands where the product fails."""
    language = "zh-hans" if page.evaluate("document.documentElement.lang").startswith("zh") else "en"
    body = in_the_product(stack, FAILING, language)
    page.route("**/failing/", lambda route: route.fulfill(status=500, body=body, content_type="text/html"))
    page.goto(f"{stack.base_url}/failing/")
    page.unroute("**/failing/")


def mails(page: Page, stack: Stack, _: Lived) -> None:
    """What the portal sent."""
    page.goto(f"{stack.base_url}/dev/mail/")


def mail(page: Page, stack: Stack, _: Lived) -> None:
    """One mail, as text."""
    page.goto(f"{stack.base_url}/dev/mail/")
    page.locator("main tbody a").first.click()


def mail_as_shown(page: Page, stack: Stack, lived: Lived) -> None:
    """One mail, as the mail program shows it."""
    mail(page, stack, lived)
    page.goto(f"{page.url}html/")


STATES: dict[str, Callable[[Page, Stack, Lived], None]] = {
    "state-playground": playground,
    "state-revoking": revoking,
    "state-editing": editing,
    "state-secret": secret,
    "state-refused": refused,
    "state-splitting": splitting,
    "state-sharing": sharing,
    "state-usage-of-two": usage_of_two,
    "state-nothing-found": nothing_found,
    "state-auto-top-up": auto_top_up,
    "state-failing": failing,
    "state-mails": mails,
    "state-mail": mail,
    "state-mail-as-shown": mail_as_shown,
    "state-palette": palette,
    "state-drawer": drawer,
    "state-account-menu": account_menu,
}
# What lies over the page is shown as the screen shows it.
OVER_THE_PAGE = {"state-palette", "state-drawer", "state-account-menu", "state-revoking"}


class Pictures:
    """Takes the pictures of one look that are wanted."""

    def __init__(self, page: Page, directory: Path, look: Look, words: list[str]) -> None:
        self.page, self._directory, self._look, self._words = page, directory, look, words

    def wanted(self, name: str) -> bool:
        """Tell whether a picture of that name is."""
        return not self._words or any(word in name for word in self._words)

    def take(self, name: str, reach: Callable[[], Any], *, whole: bool = True) -> None:
        """Reach a page, and save its picture. One that cannot be reached is told, and the others are taken."""
        if not self.wanted(name):
            return
        try:
            reach()
            save(self.page, self._directory / f"{name}-{self._look}.png", whole=whole)
        except Exception as error:
            print(f"{name}-{self._look}: {str(error).splitlines()[0]}", flush=True)

    def addresses(self, prefix: str, base: str, paths: list[str]) -> None:
        """Take the pages at addresses."""
        for path in paths:
            self.take(f"{prefix}-{slug(path)}", lambda path=path: self.page.goto(base + path))  # type: ignore[misc]

    def linked(self, prefix: str, console: str, links: dict[str, str]) -> None:
        """Take one of what each list lists."""
        for name, link in links.items():

            def follow(name: str = name, link: str = link) -> None:
                self.page.goto(f"{console}/{name}/")
                self.page.locator(link).first.click()

            self.take(f"{prefix}-{slug(name)}", follow)


def look_at(pictures: Pictures, stack: Stack, lived: Lived, look: Look) -> None:
    """Save the pictures of one look."""
    page = pictures.page
    pictures.addresses("public", stack.base_url, [*PUBLIC, *ENTRANCE])
    pictures.take("public-invitation", lambda: page.goto(lived.invitation))
    sign_in(page, stack.base_url, stack.demo["admin"]["email"], stack.demo["admin"]["password"])
    for name, reach in STATES.items():
        if reach not in {sharing, usage_of_two, nothing_found, auto_top_up}:
            pictures.take(name, lambda reach=reach: reach(page, stack, lived), whole=name not in OVER_THE_PAGE)  # type: ignore[misc]
    if pictures.wanted("empty"):
        page.goto(f"{stack.base_url}/organizations/new/")
        page.fill("input[name=name]", f"Empty {look}")
        page.locator("main form [type=submit]").last.click()
        page.wait_for_url("**/o/empty-**")
        pictures.addresses("empty", page.url.rstrip("/"), [path for path in CONSOLE if "/new/" not in path])
    page.context.clear_cookies()
    sign_in(page, stack.base_url, lived.email, lived.password)
    for name, reach in STATES.items():
        if reach in {sharing, usage_of_two, nothing_found, auto_top_up}:
            pictures.take(name, lambda reach=reach: reach(page, stack, lived))  # type: ignore[misc]
    pictures.addresses("console", lived.console, CONSOLE)
    pictures.linked("one-of", lived.console, ONE_OF | LIVED_ONE_OF)
    pictures.take("one-of-refund", lambda: refund(page, lived))
    pictures.addresses("account", stack.base_url, ACCOUNT)
    page.context.clear_cookies()
    sign_in(page, stack.base_url, **lived.viewer)
    pictures.addresses("viewer", lived.console, ["/", "/sub-tokens/", "/members/", "/webhooks/new/"])


def refund(page: Page, lived: Lived) -> None:
    """Ask for money back."""
    page.goto(f"{lived.console}/billing/")
    page.locator(LIVED_ONE_OF["billing"]).first.click()
    page.goto(f"{page.url.partition('?')[0]}refund/")


def look_as_staff(pictures: Pictures, stack: Stack) -> None:
    """Save the pictures of the staff console in one look."""
    page = pictures.page
    page.goto(f"{stack.base_url}/staff/?q=helio")
    one = page.locator("main tbody a").first.get_attribute("href")
    pictures.addresses("staff", stack.base_url, STAFF)
    pictures.addresses("staff-one", f"{stack.base_url}{one}", STAFF_ONE)
    pictures.linked("staff-event", f"{stack.base_url}/staff", {"payments/events": "main tbody a"})


def main(directory: Path, words: list[str]) -> None:
    """Start the product, look at all pages, and leave the pictures in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with running_stack() as stack, sync_playwright() as playwright:
        browser = launch(playwright)
        lived = live(stack, browser, errors)
        for look in LOOKS:
            with open_page(browser, look, errors) as page:
                look_at(Pictures(page, directory, look, words), stack, lived, look)
        if not words or "staff" in words:
            cookies = staff_cookies(browser, stack)
            for look in LOOKS:
                with open_page(browser, look, errors) as page:
                    page.context.add_cookies(without_language(cookies))
                    look_as_staff(Pictures(page, directory, look, words), stack)
        browser.close()
    print(f"{len(list(directory.glob('*.png')))} pictures in {directory}")
    for error in errors:
        print(error)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"), sys.argv[2:])

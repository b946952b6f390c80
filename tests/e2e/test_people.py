"""People in a real browser: a passkey of a virtual authenticator, codes of an app, sessions and an invitation."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import Look, barriers, open_page, sign_in
from tests.e2e.people import PASSWORD, open_mail, sign_up
from tests.e2e.stack import Stack
from tests.factories.second_factors import code_of


def reauthenticate(page: Page) -> None:
    """Type the password once more where the page asks for it."""
    if "/reauthenticate/" in page.url:
        page.fill("input[name=password]", PASSWORD)
        page.locator("main form").first.locator("button[type=submit]").click()


def add_authenticator(page: Page) -> str:
    """Give the browser a passkey of its own, which says that the person was there."""
    client = page.context.new_cdp_session(page)
    client.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    return str(client.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"])


def test_a_passkey_is_added_and_signs_in_without_a_password(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_up(page, stack, "passkey@copperline.example")
        add_authenticator(page)
        page.goto(f"{stack.base_url}/accounts/second-factor/webauthn/add/")
        reauthenticate(page)
        page.wait_for_url("**/webauthn/add/")
        page.fill("input[name=name]", "Laptop")
        page.check("input[name=passwordless]")
        assert barriers(page) == []
        page.click("#passkey-add")
        page.wait_for_url("**/recovery-codes/")
        assert len(re.findall(r"\b\d{8}\b", page.locator("#recovery-codes").inner_text())) == 10
        page.goto(f"{stack.base_url}/accounts/second-factor/webauthn/")
        expect(page.locator("main tbody")).to_contain_text("Laptop")
        expect(page.locator("main tbody")).to_contain_text("without a password")

        page.click("summary[aria-label='Your account']")
        page.click("text=Sign out")
        page.goto(f"{stack.base_url}/accounts/login/")
        page.click("#passkey-login")
        page.wait_for_url("**/o/**")
        expect(page.locator(".side")).to_be_visible()

        # The password alone is not enough any more; password and passkey are.
        page.click("summary[aria-label='Your account']")
        page.click("text=Sign out")
        page.goto(f"{stack.base_url}/accounts/login/")
        page.fill("input[name=login]", "passkey@copperline.example")
        page.fill("input[name=password]", PASSWORD)
        page.locator("main form").first.locator("button[type=submit]").click()
        page.wait_for_url("**/second-factor/authenticate/")
        assert barriers(page) == []
        page.click("#passkey-use")
        page.wait_for_url("**/o/**")
    assert errors == []


def test_an_app_with_codes_and_an_organization_that_requires_it(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "dark", 390), errors) as page:
        sign_up(page, stack, "codes@copperline.example")
        organization = re.findall(r"/o/[^/]+", page.url)[0]
        page.goto(f"{stack.base_url}/accounts/second-factor/totp/activate/")
        reauthenticate(page)
        page.wait_for_url("**/totp/activate/")
        assert barriers(page) == []
        key = page.locator("#totp-key").inner_text()
        page.fill("input[name=code]", code_of(key))
        page.click("main button[type=submit]")
        page.wait_for_url("**/recovery-codes/")
        page.goto(f"{stack.base_url}{organization}/security/")
        page.click("text=Require a second factor")
        expect(page.locator("main")).to_contain_text("A second factor is required now.")
        assert barriers(page) == []
    assert errors == []


def test_an_invitation_is_accepted_by_a_new_person(stack: Stack, browser: Browser) -> None:
    errors: list[str] = []
    admin, email = stack.demo["admin"], "nova@copperline.example"
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_in(page, stack.base_url, admin["email"], admin["password"])
        page.goto(f"{stack.organization}/members/invite/")
        page.fill("input[name=email]", email)
        page.select_option("select[name=role]", "viewer")
        page.click("main button[type=submit]")
        expect(page.locator("main")).to_contain_text(email)
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        open_mail(page, stack, email)
        page.locator("main a[href*='/invitations/']").first.click()
        assert barriers(page) == []
        page.click("main a:has-text('Make an account')")
        page.fill("input[name=name]", "Nova")
        page.fill("input[name=password1]", PASSWORD)
        page.click("main button[type=submit]")
        page.wait_for_url("**/invitations/**")
        page.click("main button:has-text('Join')")
        page.wait_for_url("**/o/**")
        expect(page.locator("main")).to_contain_text("Welcome to")
    assert errors == []

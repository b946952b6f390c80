"""Somebody of the platform's staff, as a person becomes one: signed up, with a second factor, named on the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from playwright.sync_api import Browser

from tests.e2e.browsing import Look, open_page, without_language
from tests.e2e.people import PASSWORD, sign_up
from tests.e2e.stack import ROOT, Stack
from tests.totp import code_of

EMAIL = "staff@tokensight.example"


def staff_cookies(browser: Browser, stack: Stack) -> list[Any]:
    """Make somebody new one of the staff, and return the cookies of the signed-in session.

    The session is to be shared: a code works once, and the next one comes half a minute later.
    """
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        sign_up(page, stack, EMAIL)
        page.goto(f"{stack.base_url}/accounts/second-factor/totp/activate/")
        if "reauthenticate" in page.url:
            page.fill("input[name=password]", PASSWORD)
            page.click("main button[type=submit]")
        key = page.locator("#totp-key").inner_text().strip()
        page.fill("input[name=code]", code_of(key))
        page.locator("main form [type=submit]").last.click()
        page.wait_for_url("**/recovery-codes/**")
        env = os.environ | {
            "DEVELOPMENT": "1",
            "DATABASE_URL": stack.demo["database_url"],
            "REDIS_URL": stack.demo["redis_url"],
        }
        subprocess.run([sys.executable, "manage.py", "staff", "add", EMAIL], cwd=ROOT, env=env, check=True)
        return without_language(page.context.cookies())

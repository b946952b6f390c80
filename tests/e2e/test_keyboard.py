"""The main ways with no pointer at hand: signing in, making a sub-token, splitting, revoking; each stop is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.browsing import Look, open_page, sign_in
from tests.e2e.stack import Stack

DESK = Look("en", "dark", 1280)
SHOWN = """() => {
    const element = document.activeElement;
    const seen = ({ outlineStyle, boxShadow }) => outlineStyle !== 'none' || boxShadow !== 'none';
    return element === document.body || seen(getComputedStyle(element));
}"""


@pytest.fixture
def page(stack: Stack, browser: Browser) -> Iterator[Page]:
    """An empty page, on which nothing may go wrong."""
    errors: list[str] = []
    with open_page(browser, DESK, errors) as opened:
        yield opened
    assert errors == []


def go_to(page: Page, target: Locator, *, most: int = 60) -> None:
    """Press Tab until an element has the focus. Every stop on the way is inside the screen's reach, and seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        assert page.evaluate(SHOWN), page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{most} times Tab did not reach {target}")


def test_somebody_signs_in(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.base_url}/accounts/login/")
    go_to(page, page.locator("input[name=login]"))
    page.keyboard.type(stack.demo["admin"]["email"])
    go_to(page, page.locator("input[name=password]"), most=1)
    page.keyboard.type(stack.demo["admin"]["password"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/o/**")
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    # What comes next is in the content, not in the sidebar.
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")


def test_a_sub_token_is_made_and_revoked(page: Page, stack: Stack) -> None:
    sign_in(page, stack.base_url, **stack.demo["admin"])
    page.goto(f"{stack.organization}/sub-tokens/")
    main = page.locator("main")
    go_to(page, main.get_by_role("link", name="New sub-token"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/sub-tokens/new/")
    go_to(page, page.locator("input[name=name]"))
    page.keyboard.type("By keyboard")
    go_to(page, page.locator("input[name=tokens]"), most=4)
    page.keyboard.type("1.5")
    page.keyboard.press("Enter")
    page.wait_for_selector("#secret-value")
    go_to(page, main.locator("[data-copy]").first)
    go_to(page, main.get_by_role("link", name="Its page"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/sub-tokens/[0-9a-f-]{36}/$"))

    opener = page.locator("[data-open-dialog=revoke]")
    go_to(page, opener)
    page.keyboard.press("Enter")
    dialog = page.locator("#revoke")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.locator("input[name=confirm_name]")).to_be_focused()
    # The focus stays in the dialog.
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    dialog.locator("input[name=confirm_name]").focus()
    page.keyboard.type("By keyboard")
    go_to(page, dialog.locator("[data-confirm-button]"), most=3)
    page.keyboard.press("Enter")
    expect(main).to_contain_text("By keyboard is revoked")


def test_tokens_are_split(page: Page, stack: Stack) -> None:
    sign_in(page, stack.base_url, **stack.demo["admin"])
    page.goto(f"{stack.organization}/splitting/")
    go_to(page, page.get_by_role("link", name="Split into sub-tokens"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/split/")
    for name, text in (("tokens", "2"), ("count", "2"), ("stem", "Key")):
        go_to(page, page.locator(f"input[name={name}]"))
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
    expect(page.locator("#split-preview")).to_contain_text("Key 2")
    go_to(page, page.get_by_role("button", name="Make the sub-tokens"))
    page.keyboard.press("Enter")
    expect(page.locator("#secrets")).to_have_value(re.compile("tsk_"))


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_whom_motion_is_too_much(page: Page, stack: Stack, motion: str) -> None:
    sign_in(page, stack.base_url, **stack.demo["admin"])
    page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 390, "height": 860})
    page.goto(f"{stack.organization}/")
    # In one breath: an animation that has ended is not told of any more.
    longest = page.evaluate("""() => {
        document.querySelector('[data-open-side]').click();
        const ends = document.getAnimations().map((one) => one.effect.getComputedTiming().endTime);
        return Math.max(0, ...ends.filter(isFinite));
    }""")
    assert (longest <= 1) is (motion == "reduce")

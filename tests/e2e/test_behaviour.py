"""What the pages do by themselves: keys, failures, the end of a session, phones, paper."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import Look, barriers, open_page, sign_in
from tests.e2e.stack import Stack

DESK, PHONE = Look("en", "light", 1280), Look("en", "dark", 390)


@pytest.fixture
def errors() -> list[str]:
    return []


@pytest.fixture
def page(stack: Stack, browser: Browser, errors: list[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of the demo organization's admin, in the look that the test asks for, or on a desk."""
    with open_page(browser, getattr(request, "param", DESK), errors) as opened:
        sign_in(opened, stack.base_url, stack.demo["admin"]["email"], stack.demo["admin"]["password"])
        yield opened


def test_what_bars_somebody_is_noticed(browser: Browser, errors: list[str]) -> None:
    with open_page(browser, PHONE, errors) as page:
        page.set_content(
            "<html lang=en><title>Bad</title><main><img src=data:,><p style='color: #888; background: #777'>Unread</p>"
            "<div style='width: 500px'>Wide</div></main>"
        )
        found = " ".join(barriers(page))
    assert "image-alt" in found
    assert "color-contrast" in found
    assert "px wider than the screen" in found


def test_a_slash_goes_to_the_filter_and_stays_a_slash_inside_it(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.organization}/sub-tokens/")
    page.keyboard.press("/")
    expect(page.locator("input[name=q]")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("input[name=q]")).to_have_value("/")


def test_a_fragment_that_fails_says_so(page: Page, stack: Stack) -> None:
    # A note goes away after a while: here not before it was read.
    page.add_init_script(
        "{ const later = setTimeout; window.setTimeout = (run, ms = 0) => (ms < 8000 ? later(run, ms) : 0); }"
    )
    page.goto(f"{stack.organization}/playground/")
    page.wait_for_selector("#program-title")
    page.route("**/playground/quote/**", lambda route: route.fulfill(status=500))
    page.select_option("select[name=img_size]", index=0)
    expect(page.locator("#toasts")).to_contain_text("That did not work")
    assert barriers(page) == []
    page.unroute("**/playground/quote/**")
    page.route("**/playground/quote/**", lambda route: route.abort())
    page.select_option("select[name=img_size]", index=1)
    expect(page.locator("#toasts")).to_contain_text("did not reach the server")


def test_who_was_signed_out_meanwhile_is_sent_to_sign_in(page: Page, stack: Stack, errors: list[str]) -> None:
    page.goto(f"{stack.organization}/members/")
    page.context.clear_cookies()
    page.evaluate("document.body.dispatchEvent(new Event('balance-moved'))")
    page.wait_for_url("**/accounts/login/**")
    expect(page.locator("h1")).to_have_text("Sign in")
    assert errors == []


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_on_a_phone_rows_are_stacked_under_their_columns_names(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.organization}/calls/")
    row = page.locator("main tbody tr").first
    tokens = row.locator("[data-label=Tokens]")
    expect(tokens).to_be_visible()
    status = row.locator("[data-label=Status]")
    upper, lower = status.bounding_box(), tokens.bounding_box()
    assert upper is not None
    assert lower is not None
    assert upper["y"] < lower["y"]
    assert upper["x"] == lower["x"]
    expect(row).to_have_role("row")
    expect(tokens).to_have_role("cell")


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_the_drawer_opens_closes_and_gives_the_focus_back(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.organization}/")
    opener = page.locator("[data-open-side]")
    opener.click()
    expect(page.locator(".side-link").first).to_be_visible()
    assert barriers(page) == []
    page.keyboard.press("Escape")
    expect(page.locator(".side-link").first).to_be_hidden()
    expect(opener).to_be_focused()


@pytest.mark.parametrize("page", [Look("en", "dark", 1280)], indirect=True)
def test_on_paper_the_content_is_dark_on_white_and_alone(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.organization}/ledger/")
    page.emulate_media(media="print")
    expect(page.locator(".side")).to_be_hidden()
    expect(page.locator(".top")).to_be_hidden()
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.locator("main table.data")).to_be_visible()
    expect(page.locator(".panel").first).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.locator("body")).to_have_css("color", "rgb(0, 0, 0)")

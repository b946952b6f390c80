"""The samples of the API reference do what they say, copied off the page and run against the server that shows them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.browsing import Look, open_page
from tests.e2e.stack import ROOT, Stack


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Any:
    """Run a copied sample where the secrets are in the environment and a board lies beside; return what it printed."""
    shutil.copy(ROOT / "static/images/board.webp", tmp_path / "board.jpg")
    secrets = {"TOKEN": stack.demo["sub_tokens"][0]["secret"], "MANAGEMENT_KEY": stack.demo["management_key"]}

    def run(*command: str) -> str:
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | secrets, check=True, capture_output=True, text=True, timeout=90
        ).stdout

    return run


def test_samples_that_were_copied_off_the_page_work(stack: Stack, browser: Browser, shell: Any) -> None:
    errors: list[str] = []
    with open_page(browser, Look("en", "light", 1280), errors) as page:
        page.goto(f"{stack.base_url}/api/calls/")
        found = json.loads(shell("bash", "-c", page.locator("#detect-curl").inner_text()))
        assert found["count"] == len(found["predictions"]) > 0
        assert found["usage"]["tokens"] > 0
        page.locator("#detect summary", has_text="Python").click()
        again = shell(sys.executable, "-c", page.locator("#detect-python").inner_text())
        assert "'cached': True" in again

        page.goto(f"{stack.base_url}/api/sub-tokens/")
        page.locator("#create_sub_token summary", has_text="Python").click()
        made = shell(sys.executable, "-c", page.locator("#create_sub_token-python").inner_text())
        assert "tsk_" in made
        listed = json.loads(shell("bash", "-c", page.locator("#sub_tokens-curl").inner_text()))
        assert "Line 1" in {one["name"] for one in listed["data"]}
    assert errors == []

"""Every report in README.md has a test that names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
LISTED = re.findall(r"^\| ([\w./-]+(?: PR)?#\d+) \|", (Path(__file__).parent / "README.md").read_text(), re.MULTILINE)
# An owner stands for the numbers that follow it too: "litellm#3738, #3113".
NAMED = re.compile(r"(?:(?P<owner>[\w/-]+)(?: PR)?)?#(?P<number>\d+)")


def names(text: str) -> Iterator[tuple[str, str]]:
    """Return the reports that a text names, as (owner, number)."""
    owner = ""
    for found in NAMED.finditer(text):
        if found["owner"] not in (None, "PR"):
            owner = found["owner"]
        yield owner, found["number"]


def told(path: Path) -> Iterator[tuple[str, str]]:
    """Return the reports that the tests of a file name, or the file as a whole if it has tests."""
    module = ast.parse(path.read_text())
    tests = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    for node in [module, *tests] if tests else []:
        yield from names(ast.get_docstring(node) or "")


@pytest.fixture(scope="module")
def tested() -> set[tuple[str, str]]:
    files = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    return {name for path in files for name in told(path)}


def test_the_list_is_read() -> None:
    assert len(LISTED) == len(set(LISTED)) > 40


@pytest.mark.parametrize("report", LISTED)
def test_a_test_names_it(report: str, tested: set[tuple[str, str]]) -> None:
    (name,) = names(report)
    assert name in tested, f"no test names {report}"


def test_one_that_nobody_tests_would_be_missed(tested: set[tuple[str, str]]) -> None:
    assert ("litellm", "1") not in tested

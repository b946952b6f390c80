"""Every template compiles, and so does every one that it names: also those that only a rare state of a row reaches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import TemplateDoesNotExist
from django.template.loader import get_template

FOLDER = Path(settings.BASE_DIR) / "templates"
TEMPLATES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.suffix in {".html", ".txt"})
NAMED = re.compile(r"""{%\s*(?:include|extends)\s+["']([^"']+)["']""")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_compiles_and_names_only_what_is_there(name: str) -> None:
    get_template(name)
    for named in NAMED.findall((FOLDER / name).read_text()):
        get_template(named)


def test_one_that_is_not_there_would_be_missed() -> None:
    assert len(TEMPLATES) > 100
    with pytest.raises(TemplateDoesNotExist):
        get_template("billing/_nowhere.html")

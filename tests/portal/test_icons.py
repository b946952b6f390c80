"""Every icon that a page names is in the sprite: a missing one would be an empty space."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from portal.navigation import SECTIONS

ROOT = Path(settings.BASE_DIR)
ICONS = ROOT / "static" / "vendor" / "icons"
NAMED = re.compile(r"""\{%\s*icon\s+["']([\w-]+)["']|\b(?:action_)?icon=["']([\w-]+)["']""")


def drawn() -> set[str]:
    return set(re.findall(r'<symbol id="([\w-]+)"', (ICONS / "icons.svg").read_text()))


def test_the_sprite_holds_the_names_of_its_list() -> None:
    assert drawn() == set((ICONS / "names.txt").read_text().split())


def test_pages_name_only_icons_that_are_drawn() -> None:
    named = {
        first or second: path.name
        for path in (ROOT / "templates").rglob("*.html")
        for first, second in NAMED.findall(path.read_text())
    }
    named |= {page.icon: "the sidebar" for section in SECTIONS for page in section.pages}
    assert len(named) > 30
    assert {name: where for name, where in named.items() if name not in drawn()} == {}

"""Tags: an organization's own labels of its calls and sub-tokens, name to value, by which costs are attributed."""

from __future__ import annotations

import re
from typing import Any

MAX_TAGS = 16
MAX_NAME = 40
MAX_VALUE = 120
NAME = re.compile(r"[A-Za-z0-9_.:-]{1,40}")


def checked_tags(value: Any) -> dict[str, str]:
    """Return `value` when it is an object of tags, or raise ValueError that says why it is none."""
    if not isinstance(value, dict) or len(value) > MAX_TAGS:
        raise ValueError(f"This must be an object of at most {MAX_TAGS} texts.")
    for name, text in value.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"A tag's name has 1 to {MAX_NAME} characters of A-Z a-z 0-9 _ . : -")
        if not isinstance(text, str) or len(text) > MAX_VALUE or not text.isprintable():
            raise ValueError(f"A tag's value is a text of at most {MAX_VALUE} printable characters.")
    return value

"""How the API document's own text is shown."""

from __future__ import annotations

import json
import re
from typing import Any

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString

register = template.Library()
CODE = re.compile(r"`([^`\n]+)`")


@register.filter
def inline(text: str) -> SafeString:
    """Return a line of the document: escaped, what stands in backticks as code."""
    return SafeString(CODE.sub(r"<code>\1</code>", escape(text)))


@register.filter
def prose(text: str) -> SafeString:
    """Return text of the document with its paragraphs; an empty line parts them."""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n") if part.strip())
    return SafeString("".join(f"<p>{inline(paragraph)}</p>" for paragraph in paragraphs))


@register.filter
def as_json(value: Any) -> str:
    """Return an example as it is sent."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)

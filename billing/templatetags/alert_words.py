"""Alerts in words, for pages and mails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from billing.alert_words import Words, words

register = template.Library()


@register.simple_tag(name="alert_words")
def in_words(alert: Mapping[str, Any]) -> Words:
    """Return what an alert says, in the active language; `alert` is what `billing.services.alerts.told_alert` gives."""
    return words(**alert)

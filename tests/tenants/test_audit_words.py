"""Everything that is recorded can be read by people."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from billing.enums import AlertChannel, AlertRule
from billing.services.sub_token_life import CHANGEABLE
from tenants.models import AuditEvent
from tenants.views.audit_words import ACTIONS, ALERTS, CHANNELS, FACTS, changes, words_of

ROOMS = ("portal", "tenants", "billing", "detection", "workers")
NAME = re.compile(r"[a-z_]+\.[a-z_]+")


def recorded() -> Iterator[tuple[str, str]]:
    """Return the actions that the code hands to `action=`, with their files."""
    for room in ROOMS:
        for path in (Path(settings.BASE_DIR) / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.keyword) and node.arg == "action":
                    for part in ast.walk(node.value):
                        if isinstance(part, ast.Constant) and NAME.fullmatch(str(part.value)):
                            yield part.value, path.name


def facts() -> Iterator[tuple[str, str]]:
    """Return the facts that the code writes out in `before=` and `after=`, with their files."""
    for room in ROOMS:
        for path in (Path(settings.BASE_DIR) / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.keyword) and node.arg in {"before", "after"}:
                    for part in ast.walk(node.value):
                        for key in part.keys if isinstance(part, ast.Dict) else ():
                            if isinstance(key, ast.Constant):
                                yield str(key.value), path.name


def test_every_fact_that_is_recorded_has_a_name() -> None:
    found = dict(facts())
    assert len(found) > 15
    named = {*found, *CHANGEABLE, "levels", "error_run", "rules_off", "url", "enabled", "quiet_from", "subscriptions"}
    assert named - FACTS.keys() == set()


def test_every_action_that_is_recorded_has_words() -> None:
    found = dict(recorded())
    assert len(found) > 20
    assert {action: file for action, file in found.items() if action not in ACTIONS} == {}


def test_moved_tokens_and_alerts_are_told_as_people_write_them() -> None:
    shared = AuditEvent(action="pool.rearranged", after={"changes": {"Line 1": 46_286, "Line 2": -1_500_000}})
    assert [fact.after for fact in changes(shared)] == ["Line 1: +46.286, Line 2: −1,500.000"]
    off = ["grant_used:mail", "unusual_burn:inbox"]
    chosen = AuditEvent(action="alerts.preferences", after={"not_wanted": off, "rule": "sub_token_used"})
    assert [(fact.label, fact.after) for fact in changes(chosen)] == [
        ("Not told of", "A grant is nearly used (Mail), Unusually many Tokens are spent (Portal)"),
        ("Alert", "A sub-token's Tokens are nearly used"),
    ]


def test_every_alert_has_words_in_the_log() -> None:
    assert {rule: str(words) for rule, words in ALERTS.items()} == {rule.value: rule.label for rule in AlertRule}
    assert {name: str(words) for name, words in CHANNELS.items()} == {one.value: one.label for one in AlertChannel}


def test_stored_words_are_told_in_words() -> None:
    event = AuditEvent(action="pool.opened", after={"mode": "capped", "role": "owner", "second_factor_required": True})
    assert words_of(event) == "Opened a team's pool"
    assert [(fact.label, fact.after) for fact in changes(event)] == [
        ("Where its Tokens are", "Drawn from its parent, up to a quota"),
        ("Role", "Owner"),
        ("Second factor", "Required"),
    ]

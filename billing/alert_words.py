"""What an alert says to a person: what happened, what to do, and where, in the language that is active."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from billing.enums import AlertRule

FULL = 100


@dataclass(frozen=True)
class Words:
    """An alert in words. `path` is the page of the portal that the one button (`button`) leads to.

    `text` is what happened and what to do; Chinese sentences stand without a space between them.
    """

    title: str
    happened: str
    todo: str
    text: str
    button: str
    path: str


def in_utc(moment: datetime) -> str:
    """Return a moment for mails and files, whose reader's zone nobody knows."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def words(
    *,
    rule: str,
    level: int | None,
    subject_kind: str,
    subject_id: uuid.UUID | str,
    subject_name: str,
    facts: Mapping[str, Any],
    slug: str,
    when: Callable[[datetime], str] = in_utc,
) -> Words:
    """Return the words of an alert of the organization at `slug`.

    `when` writes a moment; where it writes HTML that is safe, as pages do, the words are such HTML.

    `facts` by rule, amounts in mtok, times ISO 8601: used_mtok, whole_mtok (of the shares); limit (hour, day, month,
    total), plan (it is the plan's), resets_at, refused (a call was); remaining_mtok, expires_at; failures; burned_mtok,
    usual_mtok; tokens_mtok, amount (of money, in words), state (open, won, lost). What is missing is a dash.
    """
    said = {
        "name": subject_name or "–",
        "level": level,
        "used": _tokens(facts.get("used_mtok")),
        "whole": _tokens(facts.get("whole_mtok")),
        "left": _tokens(_left(facts)),
        "moment": _moment(facts.get("expires_at") or facts.get("resets_at"), when),
        "failures": facts.get("failures", "–"),
        "burned": _tokens(facts.get("burned_mtok")),
        "usual": _tokens(facts.get("usual_mtok")),
        "span": _span(str(facts.get("limit", ""))),
        "tokens": _tokens(facts.get("tokens_mtok")),
        "amount": facts.get("amount", "–"),
    }
    ends = "resets_at" not in facts or facts["resets_at"] is not None
    texts = _refused(AlertRule(rule), ends) if facts.get("refused") else _texts(AlertRule(rule), level == FULL, ends)
    if rule == AlertRule.PAYMENT_DISPUTED:
        texts = _disputed(str(facts.get("state", "")))
    path = _path(AlertRule(rule), subject_kind, str(subject_id), slug)
    if facts.get("plan"):
        texts = _of_the_plan(texts, refused=bool(facts.get("refused")), full=level == FULL)
        path = reverse("plan", args=[slug])
    title, happened, todo, button = texts
    return Words(
        _filled(title, said),
        _filled(happened, said),
        _filled(todo, said),
        _filled(_joined(happened, todo), said),
        _filled(button, said),
        path,
    )


def _filled(text: str, said: Mapping[str, Any]) -> str:
    if not isinstance(said["moment"], SafeString):
        return text % said
    return SafeString(escape(text) % {name: conditional_escape(value) for name, value in said.items()})


def _of_the_plan(texts: tuple[str, str, str, str], *, refused: bool, full: bool) -> tuple[str, str, str, str]:
    """Return the words for a ceiling of the plan's, which no limit of the organization's own can raise."""
    title = _("%(name)s has used %(level)s%% of its plan's Tokens per hour")
    if full:
        title = _("%(name)s has used its plan's Tokens per hour")
    if refused:
        title = _("Calls are refused: %(name)s has used its plan's Tokens per hour")
    return (
        title,
        texts[1],
        _("Wait until then, take a higher plan, or buy a boost for some hours; above it calls are refused."),
        _("Open the plan"),
    )


def _refused(rule: AlertRule, ends: bool) -> tuple[str, str, str, str]:
    """Return the words for the end of something that was noticed because a call was refused."""
    _title, _happened, todo, button = _texts(rule, True, ends)
    if rule == AlertRule.LIMIT_USED:
        title = _("Calls are refused: %(name)s is at its limit of Tokens %(span)s")
        happened = _("%(used)s of %(whole)s Tokens are used, too few are left for a call that came.")
        return title, _with_end(happened, ends), todo, button
    title = _("Calls are refused: %(name)s has too few Tokens left")
    return title, _("A call came for which too few Tokens are left."), todo, button


def _with_end(happened: str, ends: bool) -> str:
    """Add when the limit begins anew, if it ever does."""
    return _joined(happened, _("The limit begins anew: %(moment)s.")) if ends else happened


def _joined(first: str, second: str) -> str:
    return f"{first}{'' if first.endswith('。') else ' '}{second}"


def _texts(rule: AlertRule, full: bool, ends: bool) -> tuple[str, str, str, str]:
    shares = _("%(used)s of %(whole)s Tokens are used, %(left)s are left.")
    match rule:
        case AlertRule.GRANT_USED:
            return (
                _("A grant is used up: %(name)s") if full else _("%(level)s%% of a grant is used: %(name)s"),
                shares,
                _("Calls go on as long as other grants have Tokens. Get more before the last one is used."),
                _("Get more Tokens"),
            )
        case AlertRule.POOL_USED:
            return (
                _("The team %(name)s has used all its Tokens")
                if full
                else _("The team %(name)s has used %(level)s%% of its Tokens"),
                shares,
                _("Give the team more Tokens or a higher quota; without them its calls are refused."),
                _("Open the teams"),
            )
        case AlertRule.SUB_TOKEN_USED:
            return (
                _("The sub-token %(name)s has used all its Tokens")
                if full
                else _("The sub-token %(name)s has used %(level)s%% of its Tokens"),
                shares,
                _("Give it more Tokens or a higher quota; without them its calls are refused."),
                _("Open the sub-token"),
            )
        case AlertRule.LIMIT_USED:
            return (
                _("%(name)s has reached its limit of Tokens %(span)s")
                if full
                else _("%(name)s has used %(level)s%% of its Tokens %(span)s"),
                _with_end(shares, ends),
                _("Wait until then, or raise the limit; above it calls are refused.")
                if ends
                else _("Raise the limit; above it calls are refused."),
                _("Open the limits"),
            )
        case AlertRule.TOKENS_EXHAUSTED:
            return (
                _("%(name)s has no Tokens left"),
                _("Calls that draw on the organization's Tokens are refused."),
                _("Get more Tokens; calls are accepted again at once."),
                _("Get more Tokens"),
            )
        case AlertRule.GRANT_EXPIRING:
            return (
                _("A grant expires soon: %(name)s"),
                _("%(left)s Tokens of it are left and expire on %(moment)s."),
                _("Use them before, or plan without them. What is held by running calls is not lost."),
                _("Open the grants"),
            )
        case AlertRule.SUB_TOKEN_EXPIRING:
            return (
                _("The sub-token %(name)s ends soon"),
                _("It ends on %(moment)s, and its calls are refused from then on."),
                _("Extend it, or give what uses it another one before."),
                _("Open the sub-token"),
            )
        case AlertRule.ERRORS_IN_A_ROW:
            return (
                _("The calls of %(name)s fail"),
                _("Its last %(failures)s calls have failed one after the other. Failed calls cost nothing."),
                _("Look at the errors of its last calls."),
                _("Open the calls"),
            )
        case AlertRule.PAYMENT_DISPUTED:
            return _disputed("")
        case AlertRule.DEBT_INCURRED:
            return (
                _("%(name)s owes %(tokens)s Tokens"),
                _("They were spent, and their money went back. Calls are refused until that is settled."),
                _("Top up: the next purchase settles it first, and calls are accepted again at once."),
                _("See what is owed"),
            )
        case AlertRule.UNUSUAL_BURN:
            return (
                _("%(name)s spends unusually many Tokens"),
                _("%(burned)s Tokens today; a usual day of the last 14 has %(usual)s."),
                _("See which calls they are. If they are not yours, rotate or revoke the sub-token."),
                _("Open the calls"),
            )


def _disputed(state: str) -> tuple[str, str, str, str]:
    """Return the words for a dispute that was opened, won or lost."""
    if state == "won":
        return (
            _("The dispute about %(name)s was decided for us"),
            _("%(tokens)s Tokens are thawed, with their expiry as it was."),
            _("Nothing is to be done."),
            _("See the dispute"),
        )
    if state == "lost":
        return (
            _("The dispute about %(name)s was lost"),
            _("%(amount)s went back to the card holder. What is left of its %(tokens)s Tokens is taken."),
            _("What was spent of them is owed: the next top-up settles that first."),
            _("See the dispute"),
        )
    return (
        _("A payment is disputed: %(name)s"),
        _("A bank takes %(amount)s back. What is left of its %(tokens)s Tokens is frozen until that is decided."),
        _("If you did not mean it, ask the card holder to withdraw the dispute. Other Tokens are spent as ever."),
        _("See the dispute"),
    )


def _path(rule: AlertRule, subject_kind: str, subject_id: str, slug: str) -> str:
    if rule in {AlertRule.ERRORS_IN_A_ROW, AlertRule.UNUSUAL_BURN}:
        return reverse("calls", args=[slug]) + (f"?sub_token={subject_id}" if subject_kind == "sub_token" else "")
    if rule == AlertRule.LIMIT_USED:
        return reverse("limits", args=[slug])
    if rule in {AlertRule.PAYMENT_DISPUTED, AlertRule.DEBT_INCURRED}:
        return reverse("refunds", args=[slug])
    if subject_kind == "sub_token":
        return reverse("sub_token", args=[slug, subject_id])
    if rule == AlertRule.POOL_USED:
        return reverse("teams", args=[slug])
    return reverse("grants", args=[slug])


def _left(facts: Mapping[str, Any]) -> int | None:
    if "remaining_mtok" in facts:
        return facts["remaining_mtok"]
    if "whole_mtok" in facts and "used_mtok" in facts:
        return max(0, facts["whole_mtok"] - facts["used_mtok"])
    return None


def _tokens(mtok: int | None) -> str:
    if mtok is None:
        return "–"
    whole, thousandths = divmod(mtok, 1000)
    return f"{whole:,}" + (f".{thousandths:03d}".rstrip("0") if thousandths else "")


def _moment(text: str | None, when: Callable[[datetime], str]) -> str:
    return when(datetime.fromisoformat(text)) if text else "–"


def _span(limit: str) -> str:
    return {"hour": _("per hour"), "day": _("per day"), "month": _("per month"), "total": _("in all")}.get(limit, "")

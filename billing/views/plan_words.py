"""How people read what a plan gives and allows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from billing.models import Plan
from tenants.wording import listed

MONTHLY = gettext_lazy("Tokens per month")
HOURLY = gettext_lazy("Tokens per hour")
RATE = gettext_lazy("Requests per second")
CALLS = gettext_lazy("Calls at a time")
WEIGHT = gettext_lazy("Share of busy workers")
LIFE = gettext_lazy("Longest life of a sub-token")
MODELS = gettext_lazy("Models")
# The boosts that an installation begins with; an operator's own are shown as they are called.
FIRST_BOOSTS = (gettext_noop("Double for 4 hours"), gettext_noop("Five times for a day"))


@dataclass(frozen=True)
class PlanLine:
    """One thing that a plan gives or allows, in words."""

    what: str | Promise
    value: str


def _monthly(plan: Plan) -> str:
    if plan.monthly_mtok:
        return token_words(plan.monthly_mtok)
    # The plan that everybody begins with gives none; one that is not sold here gives what was agreed on.
    return _("none") if plan.initial or plan.prices.exists() else _("By agreement")


def plan_lines(plan: Plan) -> list[PlanLine]:
    """Return everything that a plan gives and allows, in the order in which plans are compared."""
    return [
        PlanLine(MONTHLY, _monthly(plan)),
        PlanLine(HOURLY, token_words(plan.tokens_per_hour_mtok)),
        PlanLine(RATE, number_words(plan.requests_per_second)),
        PlanLine(CALLS, number_words(plan.concurrency)),
        PlanLine(WEIGHT, f"× {plan.weight}"),
        PlanLine(LIFE, _("%(days)d days") % {"days": plan.sub_token_days}),
        PlanLine(MODELS, listed(plan.models) if plan.models else _("all")),
    ]


def plan_differences(before: Plan, after: Plan) -> list[tuple[str | Promise, str, str]]:
    """Return what differs between two plans: what it is, and how it reads in either."""
    pairs = zip(plan_lines(before), plan_lines(after), strict=True)
    return [(old.what, old.value, new.value) for old, new in pairs if old.value != new.value]


def token_words(mtok: int | None) -> str:
    """Return an amount of Tokens, or that there is no limit."""
    if mtok is None:
        return _("no limit")
    whole, thousandths = divmod(mtok, 1000)
    return f"{whole:,}" + (f".{thousandths:03d}" if thousandths else "")


def number_words(number: Decimal | int | None) -> str:
    """Return a ceiling, or that there is none."""
    if number is None:
        return _("no limit")
    # As everywhere here, in groups of three, also in Chinese.
    return f"{number.normalize():,f}" if isinstance(number, Decimal) else f"{number:,}"

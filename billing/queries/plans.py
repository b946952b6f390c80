"""Plans, and which one an organization is on.

Plans are the platform's and need no scope; what is an organization's is read in the scope of the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from billing.errors import PlanUnknown
from billing.models import Boost, BoostOffer, Plan, Subscription

# Of an organization without a plan, which has no Tokens either.
LONGEST_LIFE_DAYS = 365


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What an organization's plan allows its calls; None or an empty tuple binds nothing. A boost is reckoned in.

    `changes_at` is when a boost ends or begins: until then they hold.
    """

    key: str
    name: str
    slug: str
    requests_per_second: float | None
    burst: int | None
    concurrency: int | None
    models: tuple[str, ...]
    weight: float
    changes_at: datetime | None

    @classmethod
    def of(cls, found: dict[str, Any]) -> PlanTerms:
        """Return the terms that `billing_plan_terms` says."""
        factor = Decimal(str(found["factor"]))
        rate, changes_at = found["requests_per_second"], found["changes_at"]
        return cls(
            key=found["key"],
            name=found["name"],
            slug=found["slug"],
            requests_per_second=None if rate is None else float(Decimal(str(rate)) * factor),
            burst=_times(found["burst"], factor),
            concurrency=_times(found["concurrency"], factor),
            models=tuple(found["models"]),
            weight=float(found["weight"]),
            changes_at=datetime.fromisoformat(changes_at) if changes_at else None,
        )

    @property
    def upgrade_url(self) -> str:
        return upgrade_url(self.slug)


def upgrade_url(slug: str) -> str:
    """Return the page on which an organization changes its plan."""
    return f"{settings.BASE_URL}/o/{slug}/billing/plan/"


def plans_listed() -> QuerySet[Plan]:
    """Return the plans that the public sees, from the lowest, with their prices."""
    return Plan.objects.filter(active=True, listed=True).order_by("position").prefetch_related("prices")


def find_plan(key: str) -> Plan:
    """Return a plan by its key. Raises PlanUnknown."""
    plan = Plan.objects.filter(key=key).first()
    if plan is None:
        raise PlanUnknown("There is no such plan.")
    return plan


def initial_plan() -> Plan:
    """Return the plan on which new organizations are, and to which others fall back."""
    return Plan.objects.get(initial=True)


def subscription() -> Subscription | None:
    """Return the plan of the organization in scope; None before it has a wallet."""
    return Subscription.objects.select_related("plan", "next_plan", "pending_plan").first()


def longest_life_days() -> int:
    """Return how many days a sub-token of the organization in scope may live."""
    found = Subscription.objects.values_list("plan__sub_token_days", flat=True).first()
    return LONGEST_LIFE_DAYS if found is None else found


def boost_offers(currency: str | None = None) -> QuerySet[BoostOffer]:
    """Return the boosts on sale, in the order in which they are offered."""
    found = BoostOffer.objects.filter(active=True).order_by("position", "currency", "id")
    return found.filter(currency=currency) if currency else found


def boosts_ahead(now: datetime) -> list[Boost]:
    """Return the boosts of the organization in scope that run or are to come, the earliest first."""
    return list(Boost.objects.filter(ends_at__gt=now).order_by("starts_at"))


def _times(number: int | None, factor: Decimal) -> int | None:
    return None if number is None else max(1, int(number * factor))

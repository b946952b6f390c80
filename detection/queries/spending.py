"""What calls cost and how they went, added up. Everything here needs the organization's scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.db.models import Sum

from detection.models import OrganizationDay


@dataclass(frozen=True)
class ModelBurn:
    """What was charged for calls of one model (mtok), and how many they were."""

    model: str
    mtok: int
    calls: int


def burn_by_model(first_day: date, limit: int | None = None) -> list[ModelBurn]:
    """Return the models that calls finished on that day (UTC) or later were charged for, the dearest first."""
    rows = (
        OrganizationDay.objects.filter(day__gte=first_day, charged_mtok__gt=0)
        .values("model_version__model__name")
        .annotate(mtok=Sum("charged_mtok"), calls=Sum("calls"))
        .order_by("-mtok", "model_version__model__name")[:limit]
    )
    return [ModelBurn(row["model_version__model__name"], row["mtok"], row["calls"]) for row in rows]

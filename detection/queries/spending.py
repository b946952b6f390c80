"""What calls cost and how they went, added up. Everything here needs the organization's scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Sum

from detection.models import Job


@dataclass(frozen=True)
class ModelBurn:
    """What was charged for calls of one model (mtok), and how many they were."""

    model: str
    mtok: int
    calls: int


def burn_by_model(since: datetime, limit: int | None = None) -> list[ModelBurn]:
    """Return the models that calls since then were charged for, the dearest first."""
    rows = (
        Job.objects.filter(created_at__gte=since, charged_mtok__gt=0)
        .values("model_version__model__name")
        .annotate(mtok=Sum("charged_mtok"), calls=Count("id"))
        .order_by("-mtok", "model_version__model__name")[:limit]
    )
    return [ModelBurn(row["model_version__model__name"], row["mtok"], row["calls"]) for row in rows]

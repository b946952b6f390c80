"""Codes for tests, made through the service."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Any

from django.utils import timezone

from billing.enums import CodeBenefit
from billing.models import Code
from billing.queries.codes import miscounted_codes
from billing.services.code_sets import CodeTerms, MadeCodes, make_codes
from tenants.scope import platform_scope

_numbers = count(1)


def make_code_set(*, now: datetime | None = None, **terms: Any) -> MadeCodes:
    """Make a set, of one code of 50 Tokens unless told otherwise."""
    if "percent" not in terms:
        terms.setdefault("tokens_mtok", 50_000)
    number = next(_numbers)
    return make_codes(
        terms=CodeTerms(**{"name": f"Set {number}", "benefit": CodeBenefit.TOKENS} | terms),
        made_by="sam@tokensight.example",
        reason="For a test",
        idempotency_key=f"set-{number}",
        now=now or timezone.now(),
    )


def make_code(**terms: Any) -> str:
    """Make a set of one code, and return the code."""
    return make_code_set(**terms).codes[0]


def uses(made: MadeCodes) -> list[int]:
    """Return how often each code of a set was used."""
    with platform_scope("test"):
        return list(Code.objects.filter(code_set=made.code_set).order_by("id").values_list("uses", flat=True))


def assert_codes_clean() -> None:
    """Fail unless no code has more uses than it counts."""
    with platform_scope("test"):
        assert miscounted_codes() == []

"""Bounding how often somebody may try codes that work for nobody.

With 105 random bits there is nothing to guess; the bound keeps a broken script, or somebody who hopes, from asking for
ever. It counts in PostgreSQL, per person over all of their organizations and per organization over all of its members,
so that neither another organization nor an emptied Redis begins it anew.
"""

from __future__ import annotations

import math
import uuid
from datetime import datetime, timedelta

from django.db.models import QuerySet

from billing.errors import TooManyGuesses
from billing.models import CodeGuess
from tenants.actors import Actor
from tenants.scope import organization_scope, platform_scope

WINDOW = timedelta(hours=1)
OF_A_PERSON, OF_AN_ORGANIZATION = 10, 30
KEPT = timedelta(days=1)


def check_guesses(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Raise TooManyGuesses when this person or this organization has tried too much in the last hour.

    Looks through the platform's door: a person is counted wherever they are a member.
    """
    with platform_scope("count guesses of codes"):
        lately = CodeGuess.objects.filter(created_at__gt=now - WINDOW)
        _refuse(lately.filter(actor=str(actor)), OF_A_PERSON, now)
        _refuse(lately.filter(organization_id=organization_id), OF_AN_ORGANIZATION, now)


def note_guess(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> None:
    """Count one more code that did not work. Opens its own scope; call it outside of what is rolled back."""
    with organization_scope(organization_id):
        CodeGuess.objects.create(organization_id=organization_id, actor=str(actor), created_at=now)


def forget_guesses(*, now: datetime) -> int:
    """Delete what is too old to count, and return how much. Through the platform's door."""
    with platform_scope("forget guesses of codes"):
        return CodeGuess.objects.filter(created_at__lt=now - KEPT).delete()[0]


def _refuse(guesses: QuerySet[CodeGuess], most: int, now: datetime) -> None:
    # The one that has to grow old before there is room again.
    oldest = guesses.order_by("-created_at").values_list("created_at", flat=True)[most - 1 : most].first()
    if oldest is not None:
        raise TooManyGuesses(max(1, math.ceil((oldest + WINDOW - now).total_seconds())))

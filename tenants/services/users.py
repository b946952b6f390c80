"""What a person does or gets, whichever organization they are in."""

from __future__ import annotations

from datetime import datetime

from tenants.models import User


def take_trial(*, user: User, now: datetime) -> bool:
    """Return whether the person gets trial Tokens now: once in their life, also when two requests race.

    Locks the person's row until the transaction ends.
    """
    taken = User.objects.filter(id=user.id, trial_taken_at=None).update(trial_taken_at=now) == 1
    if taken:
        user.trial_taken_at = now
    return taken

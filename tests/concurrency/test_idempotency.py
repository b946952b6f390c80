"""What asks another service is done once for each key, however many send it in the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.utils import timezone

from tenants.errors import KeyInUse
from tenants.models import Organization
from tenants.services.idempotency import do_once_apart
from tests.concurrency.racing import race

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db")]
CALLERS = 8


@pytest.mark.parametrize("same_key", [True, False], ids=["once", "control: a key each does it as often"])
def test_work_apart_from_transactions_is_done_once(alpha: Organization, same_key: bool) -> None:
    done: list[str] = []

    def asker(key: str) -> Callable[[], str]:
        def work() -> tuple[int, str]:
            done.append(key)
            time.sleep(0.3)
            return 200, "{}"

        def ask() -> str:
            try:
                outcome = do_once_apart(
                    organization_id=alpha.id, key=key, route="POST /x", request_hash="h", work=work, now=timezone.now()
                )
            except KeyInUse:
                return "told to wait"
            return "replayed" if outcome.replayed else "done"

        return ask

    answers = race([asker("k" if same_key else f"k{number}") for number in range(CALLERS)])
    assert len(done) == answers["done"] == (1 if same_key else CALLERS)
    assert asker("k" if same_key else "k0")() == "replayed"

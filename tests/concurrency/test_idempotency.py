"""What asks another service is done once for each key, however many send it in the same moment."""

from __future__ import annotations

import threading
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
    """With one key the work ends only when all others were told to wait; with a key each when all are at work."""
    done: list[str] = []
    told, all_at_work = threading.Semaphore(0), threading.Barrier(CALLERS)

    def asker(key: str) -> Callable[[], str]:
        def work() -> tuple[int, str]:
            done.append(key)
            if same_key:
                assert all(told.acquire(timeout=60) for _ in range(CALLERS - 1))
            else:
                all_at_work.wait(timeout=60)
            return 200, "{}"

        def ask() -> str:
            try:
                outcome = do_once_apart(
                    organization_id=alpha.id, key=key, route="POST /x", request_hash="h", work=work, now=timezone.now()
                )
            except KeyInUse:
                told.release()
                return "told to wait"
            return "replayed" if outcome.replayed else "done"

        return ask

    answers = race([asker("k" if same_key else f"k{number}") for number in range(CALLERS)])
    assert answers == ({"done": 1, "told to wait": CALLERS - 1} if same_key else {"done": CALLERS})
    assert len(done) == answers["done"]
    assert asker("k" if same_key else "k0")() == "replayed"

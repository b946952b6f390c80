"""What load balancers and supervisors ask: is this process alive, and can it serve?"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from detection.services.redis import client
from portal.queries import live_workers

log = structlog.get_logger(__name__)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as this process answers at all."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, Redis, a worker and a loaded model are there, else 503 with what is missing.

    Where no model is to be kept warm, a worker that could load one will do.

    `{"status": "ready"|"not_ready", "checks": {"database"|"redis"|"worker"|"model": "ok"|"unavailable"}}`
    """
    checks = {name: "ok" if _passes(name, check) else "unavailable" for name, check in _CHECKS.items()}
    ready = all(outcome == "ok" for outcome in checks.values())
    return JsonResponse(
        {"status": "ready" if ready else "not_ready", "checks": checks},
        status=200 if ready else 503,
        headers={"Cache-Control": "no-store"},
    )


def _passes(name: str, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (DatabaseError, RedisError) as error:
        # The reason may name hosts and roles: it goes to the log, not to the caller.
        log.warning("not_ready", check=name, reason=str(error))
        return False


def _database() -> bool:
    """A standby, or one that was made read-only, answers and takes no call."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only')")
        return bool(cursor.fetchone() == ("off",))


_CHECKS: dict[str, Callable[[], bool]] = {
    "database": _database,
    "redis": lambda: bool(client().ping()),
    "worker": lambda: bool(live_workers()),
    "model": lambda: any(worker.get("models") or worker.get("warm") for worker in live_workers().values()),
}

"""The Celery tasks, by the names that the web calls them: thin doors to what does the work."""

from __future__ import annotations

import threading
import uuid
from datetime import datetime
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.db import connections
from django.utils import timezone

from billing.services import expiry, holds
from billing.services.last_used import write_last_used
from billing.services.verify import verify_ledger
from detection.services import queue, spare_inputs
from detection.services.error_runs import notice_error_runs
from detection.services.verify_usage import verify_usage
from tenants.beside import Beside
from tenants.queries.audit_chain import ChainReport
from tenants.services.audit import seal_events
from tenants.services.audit_verify import verify_audit
from tenants.services.idempotency import forget_old_answers
from workers import standby
from workers.machine import machine
from workers.runner import serve

log = structlog.get_logger(__name__)

_night = threading.Lock()
_errors = Beside("error-runs", lambda: notice_error_runs(now=timezone.now()))


@shared_task(name="workers.run_jobs")
def run_jobs(version_id: str, img_size: int) -> None:
    """Answer a doorbell: run what waits for a model version at an image size (px), and what is rung for after that."""
    serve(machine(), uuid.UUID(version_id), img_size)


@shared_task(name="workers.maintain")
def maintain() -> None:
    """Every two seconds: give lost jobs to other workers, end what is overdue, ring for what nobody heard, and seal
    what was recorded into the audit log's chains.

    What fails is logged and keeps none of the rest from being done.
    """
    now = timezone.now()
    for step in (
        queue.requeue_lost,
        queue.fail_overdue,
        holds.expire_overdue_holds,
        queue.ring_for_waiting,
        _sweep_spare_inputs,
        seal_events,
    ):
        try:
            step(now=now)
        except Exception:
            log.exception("maintenance_failed", step=step.__name__)


def _sweep_spare_inputs(*, now: datetime) -> None:
    spare_inputs.sweep()


@shared_task(name="workers.expire")
def expire() -> None:
    """Every minute: move what is left of expired grants out of the accounts, and write when sub-tokens were used."""
    expiry.expire_grants(now=timezone.now())
    write_last_used()


@shared_task(name="workers.notice_error_runs")
def notice_errors() -> None:
    """Every half minute: look for sub-tokens whose calls fail one after the other, beside the scheduler."""
    _errors.start()


@shared_task(name="workers.nightly")
def nightly() -> None:
    """Every night: begin the night's work beside the scheduler, which does one task at a time and must not wait for it.

    It is made of short transactions that may be repeated, so a scheduler that stops leaves the rest to the next night.
    """
    if not _night.acquire(blocking=False):
        log.warning("night_work_still_running")
        return
    threading.Thread(target=_work_at_night, name="night", daemon=True).start()


def _work_at_night() -> None:
    """Forget old idempotent answers; recompute every balance, the usage and every audit chain, and say what is off."""
    try:
        forget_old_answers(timezone.now())
        report = verify_ledger(now=timezone.now())
        if not report.passed:
            slugs = [off.slug for off in report.off]
            log.error("ledger_off", discrepancies=report.discrepancy_count, organizations=slugs)
        usage_off = verify_usage(now=timezone.now())
        if usage_off:
            log.error("usage_off", organizations=list(usage_off))
        audit = verify_audit(now=timezone.now(), each=_note_end)
        if not audit.passed:
            log.error("audit_log_off", findings=audit.finding_count, organizations=list(audit.off))
    except Exception:
        log.exception("night_work_failed")
    finally:
        connections.close_all()
        _night.release()


def _note_end(chain: ChainReport) -> None:
    """Write where a chain ends to the log, which is kept elsewhere than the database."""
    organization = str(chain.organization_id)
    log.info("audit_chain", organization=organization, sequence=chain.sequence, hash=chain.hash)


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    if _runs_jobs(sender.app):
        machine().start()
        standby.start(machine())


@worker_shutting_down.connect
def _finish_batches(**_: Any) -> None:
    machine().stopping.set()


@worker_shutdown.connect
def _stop(sender: Any, **_: Any) -> None:
    if _runs_jobs(sender.app):
        machine().stop()


def _runs_jobs(app: Any) -> bool:
    return "inference" in app.amqp.queues.consume_from

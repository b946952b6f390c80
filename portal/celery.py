"""The Celery application: doorbells for the workers, and the clock of the scheduler.

A message only says "look at the queue"; the job rows are the queue. So messages need no results, no retries and no late
acknowledgement, and one that is lost or doubled does no harm.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging, task_prerun
from django.conf import settings
from django.db import close_old_connections
from kombu.transport.redis import Transport
from redis.exceptions import OutOfMemoryError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

# A Redis that is full is as good as away: the worker tries again, where Celery would end it for good.
Transport.connection_errors += (OutOfMemoryError,)


def broker_url(redis_url: str) -> str:
    """Return a Redis URL as Celery's transport writes it: unix:///path?db=0 is redis+socket:///path?virtual_host=0."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.path}?virtual_host={database}"


def _every(seconds: float, task: str) -> dict[str, object]:
    # A round that the scheduler could not start in time is skipped: the next one does the same work.
    return {"task": task, "schedule": seconds, "options": {"queue": "maintenance", "expires": seconds}}


app = Celery(
    "tokensight",
    broker=broker_url(settings.REDIS_URL),
    include=["billing.tasks", "detection.tasks", "portal.tasks", "tenants.tasks", "workers.tasks"],
)
# Also for threads other than the one that imports this.
app.set_default()
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_backend=None,
    task_ignore_result=True,
    task_default_queue="inference",
    task_routes={"workers.run_jobs": {"queue": "inference"}, "*": {"queue": "maintenance"}},
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 300, "socket_timeout": 10, "socket_connect_timeout": 5},
    # Threads, because the libraries release the interpreter while they work, and one model in memory serves them all.
    worker_pool="threads",
    worker_concurrency=settings.WORKER_THREADS,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    # In a pool of threads Celery would connect to the database anew for every task, which takes longer than the task.
    CELERY_DB_REUSE_MAX=sys.maxsize,
    beat_schedule={
        "maintain": _every(2.0, "workers.maintain"),
        "expire": _every(60.0, "workers.expire"),
        "keep-partitions": _every(600.0, "detection.keep_partitions"),
        "admit-waiting": _every(1.0, "detection.admit_waiting"),
        "send-mail": _every(5.0, "tenants.send_mail"),
        "warn-of-expiring-grants": _every(600.0, "billing.warn_of_expiring_grants"),
        "remind-of-ends": _every(60.0, "billing.remind_of_ends"),
        "raise-crossings": _every(2.0, "billing.raise_crossings"),
        "send-webhooks": _every(5.0, "billing.send_webhooks"),
        "process-stripe-events": _every(5.0, "billing.process_stripe_events"),
        "run-auto-top-ups": _every(2.0, "billing.run_auto_top_ups"),
        "sweep-codes": _every(600.0, "billing.sweep_codes"),
        "finish-refunds": _every(10.0, "billing.finish_refunds"),
        "send-digests": _every(60.0, "billing.send_digests"),
        "keep-plans": _every(30.0, "billing.keep_plans"),
        "notice-error-runs": _every(30.0, "workers.notice_error_runs"),
        "notice-unusual-burn": _every(300.0, "billing.notice_unusual_burn"),
        "reconcile-payments": {
            "task": "billing.reconcile_payments",
            "schedule": crontab(hour=2, minute=27),
            "options": {"queue": "maintenance"},
        },
        "forget-stripe-events": {
            "task": "billing.forget_stripe_events",
            "schedule": crontab(hour=4, minute=7),
            "options": {"queue": "maintenance"},
        },
        "forget-alerts": {
            "task": "billing.forget_alerts",
            "schedule": crontab(hour=3, minute=57),
            "options": {"queue": "maintenance"},
        },
        "forget-mail": {
            "task": "tenants.forget_mail",
            "schedule": crontab(hour=3, minute=47),
            "options": {"queue": "maintenance"},
        },
        "erase-organizations": {
            "task": "portal.erase_organizations",
            "schedule": crontab(minute=7),
            "options": {"queue": "maintenance"},
        },
        "sum-up-weeks": {
            "task": "detection.sum_up_weeks",
            "schedule": crontab(hour=2, minute=37),
            "options": {"queue": "maintenance"},
        },
        "nightly": {
            "task": "workers.nightly",
            "schedule": crontab(hour=3, minute=17),
            "options": {"queue": "maintenance"},
        },
    },
    timezone="UTC",
)


@task_prerun.connect
def _drop_dead_connections(**_: object) -> None:
    """Let a task begin with a connection that works, or none."""
    close_old_connections()


@setup_logging.connect
def _keep_logging_as_settings_say(**options: object) -> None:
    """Keep Celery from replacing the log format: being connected is enough."""

"""Prometheus metrics: what each request took, counted across all web processes, and the state of queue and ledger.

Labels never name a tenant: the numbers are the platform's.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.http.response import HttpResponseBase
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from portal.queries import live_workers
from tenants.scope import platform_scope

REQUEST_SECONDS = Histogram(
    "tokensight_request_seconds",
    "Time from the first middleware to the answer.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# Both counts run on partial indexes over unfinished jobs, so they stay quick however long the log of jobs grows.
_STATE_SQL = """
SELECT (SELECT count(*) FROM detection_job WHERE status = 'queued'),
       (SELECT count(*) FROM detection_job WHERE status = 'running'),
       (SELECT extract(epoch FROM now() - min(coalesce(admitted_at, created_at)))
        FROM detection_job WHERE status = 'queued'),
       (SELECT coalesce(sum(posted_mtok), 0) FROM billing_account WHERE kind = 'consumed'),
       (SELECT coalesce(sum(held_mtok), 0) FROM billing_lot)
"""


class RequestMetrics:
    """Observe how long each request takes, by route (never by path: those have ids in them)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        method = request.method if request.method in _METHODS else "other"
        REQUEST_SECONDS.labels(method, match.route if match else "unknown", str(response.status_code)).observe(
            time.perf_counter() - started
        )
        return response


class PlatformCollector(Collector):
    """Reads the queue's and the ledger's state when asked."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. Takes no locks."""
        with platform_scope("metrics"), connection.cursor() as cursor:
            cursor.execute(_STATE_SQL)
            queued, running, oldest, captured, held = cursor.fetchone()
        jobs = GaugeMetricFamily("tokensight_jobs", "Unfinished jobs.", labels=["state"])
        jobs.add_metric(["queued"], queued)
        jobs.add_metric(["running"], running)
        yield jobs
        yield _gauge("tokensight_queue_oldest_seconds", "Age of the job that waits longest.", float(oldest or 0))
        yield CounterMetricFamily("tokensight_tokens_captured", "Tokens spent since the beginning.", _tokens(captured))
        yield _gauge("tokensight_tokens_held", "Tokens held for unfinished jobs.", _tokens(held))
        yield _gauge("tokensight_workers", "Workers that have reported in the last seconds.", len(live_workers()))


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer `GET /metrics`, to who bears METRICS_TOKEN; without such a token to everybody in development only."""
    if not _allowed(request):
        return HttpResponseNotFound()
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)
        own = b""
    else:
        own = generate_latest(REGISTRY)
    registry.register(PlatformCollector())
    return HttpResponse(own + generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _allowed(request: HttpRequest) -> bool:
    if not settings.METRICS_TOKEN:
        return bool(settings.DEVELOPMENT)
    given = request.headers.get("Authorization", "").encode()
    return secrets.compare_digest(given, f"Bearer {settings.METRICS_TOKEN}".encode())


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value)


def _tokens(mtok: Any) -> float:
    return int(mtok) / 1000

"""How the product logs: one structured line per event, JSON in production, and never a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAMES = re.compile(r"(?i)(authorization|x-auth-token|password|secret|api_?key|cookie|credential)")
_SECRET_VALUES = (
    (re.compile(r"\b(tsk_|tsm_|whsec_|[sr]k_(?:live|test)_)([0-9A-Za-z]{4})[0-9A-Za-z+/=_\-]+"), r"\1\2…"),
    # What lets a browser finish a payment at Stripe.
    (re.compile(r"\b((?:pi|seti|cs|src)_[0-9A-Za-z_]+?_secret_)[0-9A-Za-z]+"), r"\1…"),
    (re.compile(r"(?i)\b(bearer )\S{8,}"), r"\1…"),
    (re.compile(r"(\w+://[^\s:/@]*:)[^\s@]+@"), r"\1…@"),
    # Links from mails: whoever has one first has the account.
    (re.compile(r"(/accounts/(?:password/reset/key|confirm-email)/)[^\s/\"'?]+"), r"\1…"),
)
_HIDDEN = "…"
_PROBE = re.compile(r" /(healthz|readyz|metrics)\b")


def scrub(value: Any) -> Any:
    """Return `value` with every secret in it cut short, however deep it lies."""
    if isinstance(value, str):
        for pattern, replacement in _SECRET_VALUES:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, dict):
        return {
            key: _HIDDEN if _SECRET_NAMES.search(str(key)) and item is not None else scrub(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [scrub(item) for item in value]
    return value


class _NotAProbe(logging.Filter):
    """Keeps the questions of load balancers and Prometheus, several a second, out of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None or not _PROBE.search(record.getMessage())


def _scrub_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("request", None)  # Django's, which only prints as its type; the message has the path already
    for key in list(event):
        # structlog's own record of the call is not printed, and must stay what it is.
        if not key.startswith("_"):
            event[key] = _HIDDEN if _SECRET_NAMES.search(key) and event[key] is not None else scrub(event[key])
    return event


# One list for the life of the process: a logger that was used keeps hold of it, also when this is configured anew.
_processors: list[structlog.types.Processor] = []


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def logging_settings(*, pretty: bool, level: str) -> dict[str, Any]:
    """Configure structlog, and return the LOGGING that sends the standard library's records the same way."""
    shared: list[structlog.types.Processor] = [
        *([] if pretty else [structlog.stdlib.add_logger_name]),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    _processors[:] = [
        structlog.stdlib.filter_by_level,
        *shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_processors,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer = (
        structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0) if pretty else structlog.processors.JSONRenderer()
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _scrub_event, renderer],
            }
        },
        "filters": {"not_a_probe": {"()": _NotAProbe}},
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "structured",
                "filters": ["not_a_probe"],
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # Below this level Stripe's library writes what is sent and answered.
            "stripe": {"level": "WARNING"},
            # One line per request is the access log's business.
            "django.server": {"handlers": [], "propagate": False},
            "django.request": {"level": "ERROR"},
            "gunicorn.error": {"handlers": ["stdout"], "level": level, "propagate": False},
            "gunicorn.access": {"handlers": ["stdout"], "level": "INFO", "propagate": False},
            # Every doorbell and every round of the scheduler would be three lines that say nothing.
            "celery.beat": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
        },
    }

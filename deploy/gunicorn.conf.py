"""How gunicorn serves the web side; HOST, PORT and WEB_* are read from the environment."""

import gc
import os
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from prometheus_client import multiprocess

from portal.logs import logging_settings

bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104 a container's own address
worker_class = "gthread"
workers = int(os.environ.get("WEB_WORKERS", "2"))
# A thread waits where a call waits for its result, so this bounds the calls in flight per process.
threads = int(os.environ.get("WEB_THREADS", "16"))
timeout = 60
graceful_timeout = 10
keepalive = 30
max_requests = int(os.environ.get("WEB_MAX_REQUESTS", "0"))
max_requests_jitter = max_requests // 10
# Who the client is decides tenants/client_ip.py alone, from TRUSTED_PROXIES.
forwarded_allow_ips = ""
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 only heartbeats, and never on a slow disk

# Loaded once and shared by the processes, and before the first caller waits for it.
preload_app = True

development = os.environ.get("DEVELOPMENT", "").lower() in {"1", "true", "yes", "on"}
logconfig_dict = logging_settings(pretty=development, level=os.environ.get("LOG_LEVEL", "INFO"))
errorlog = "-"
access_log_format = "%(m)s %(U)s %(s)s %(M)s ms"


class NoAccessLog(Logger):
    """Writes no line for a request: with a logging configuration of our own, gunicorn would even without a file."""

    def access(self, resp: object, req: object, environ: object, request_time: object) -> None:
        """Do nothing."""


if os.environ.get("WEB_ACCESS_LOG", "1") == "1":
    accesslog = "-"
else:
    logger_class = NoAccessLog


def when_ready(server: Arbiter) -> None:
    """Leave what was loaded before the fork to itself: it stays, and looking through it stops a process for a while."""
    gc.collect()
    gc.freeze()


def child_exit(server: Arbiter, worker: Worker) -> None:
    """Take a dead process out of the gauges of the living."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)

"""What a call costs beside the inference: request time minus engine time, with an engine that takes none.

    python -m benchmarks.overhead [--seconds 6] [--rounds 3]

The real stack: gunicorn, PostgreSQL with fsync on, Redis and a Celery worker, with the load generator on the same
machine. Caches are bypassed; every call is admitted, queued, decoded, settled and charged.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.clients import percentile, post, run_clients
from benchmarks.stack import running_stack, verify_ledger
from benchmarks.table import print_table

CLIENTS = (1, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with running_stack(install, {"ALLOW_NULL_ENGINE": "1", "INFERENCE_BATCH_SIZE": "16"}) as stack:
        path = "/v1/detect?model=null-n"
        for label, size in (("64 px", 64), ("640 px", 640)):
            request = post(path, photo(size), "image/jpeg", stack.secret)
            run_clients(stack.port, [request], clients=8, seconds=3)
            measure(stack.port, request, label, options.seconds, options.rounds)
        verify_ledger()


def install(directory: Path) -> None:
    from detection.enums import Engine
    from detection.services.catalogue import register_version

    metadata = {
        "name": "null-n", "version": "1", "task": "detect", "letter": "n", "family": "Null", "sha256": "",
        "classes": ["everything"], "default_img_size": 640, "stride": 32, "end_to_end": True,
    }  # fmt: skip
    register_version(metadata, path="", engine=Engine.NULL)


def photo(size: int) -> bytes:
    """Return a JPEG of `size` x `size` px with about as much detail as a photograph."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (size // 4, size // 4, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((size, size), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def measure(port: int, request: bytes, label: str, seconds: float, rounds: int) -> None:
    full = {
        clients: [run_clients(port, [request], clients=clients, seconds=seconds) for _ in range(rounds)]
        for clients in CLIENTS
    }
    best = max(statistics.median(run.rate for run in runs) for runs in full.values())
    half = [run_clients(port, [request], clients=16, seconds=seconds, rate=best / 2) for _ in range(rounds)]
    rows = [
        [
            name,
            f"{statistics.median(run.rate for run in runs):.0f}",
            *(f"{percentile([o for run in runs for o in run.overheads()], p) * 1000:.1f}" for p in (50, 99)),
        ]
        for name, runs in [
            *((f"{clients} client{'s' * (clients > 1)}, full load", full[clients]) for clients in CLIENTS),
            ("half load, by the clock", half),
        ]
    ]
    print_table(
        f"overhead, picture of {label} ({len(request) // 1000} kB), {os.cpu_count()} CPUs",
        ["", "requests/s", "p50 ms", "p99 ms"],
        rows,
    )


if __name__ == "__main__":
    main()

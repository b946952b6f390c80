"""Images per second through the whole product, beside the bare engine and beside FastAPI with ultralytics.

    python -m benchmarks.serve [--seconds 10] [--rounds 3] [--img-size 640]

One model (yolo26n, built here, untrained: it computes as much as a trained one), the same pictures, the same machine,
turn by turn. The bare engine is our own in one process: decode, infer, filter, in a loop.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.clients import Run, post, run_clients
from benchmarks.stack import free_port, running_stack, start, verify_ledger, wait_until_answers
from benchmarks.table import print_table

CLIENTS = 8
PICTURES = Path("detection/catalog/pcb-defect-n/samples")
NAME = "yolo26n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--img-size", type=int, default=640)
    options = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(PICTURES.glob("*.jpg"))]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensight-weights-")))
        # In a process of its own: this one is to stay lean.
        subprocess.run([sys.executable, "-m", "benchmarks.weights", str(folder), NAME], check=True)
        plain = start_plain(stack, folder, options.img_size)
        bare = start_bare(stack, folder, options.img_size, pictures)
        ours = stack.enter_context(running_stack(lambda data: install(data, folder), {"WARM_MODELS": NAME}))
        path = f"/v1/detect?model={NAME}&img_size={options.img_size}"
        calls = [post(path, picture, "image/jpeg", ours.secret) for picture in pictures]
        plain_calls = [post("/detect", picture, "image/jpeg") for picture in pictures]
        ways = {
            "bare engine loop, 1 process": lambda seconds: bare_run(bare, seconds),
            f"Tokensight, {CLIENTS} clients": lambda seconds: run_clients(
                ours.port, calls, clients=CLIENTS, seconds=seconds
            ),
            f"FastAPI + ultralytics, {CLIENTS} clients": lambda seconds: run_clients(
                plain, plain_calls, clients=CLIENTS, seconds=seconds
            ),
        }
        runs: dict[str, list[Run]] = {name: [] for name in ways}
        for way in ways.values():
            way(2)
        for _ in range(options.rounds):
            for name, way in ways.items():
                runs[name].append(way(options.seconds))
        report(runs, options.img_size)
        verify_ledger()


def report(runs: dict[str, list[Run]], img_size: int) -> None:
    rates = {name: statistics.median(run.rate for run in of) for name, of in runs.items()}
    bare, ours, plain = rates.values()
    rows = []
    for name, of in runs.items():
        pooled = Run(latencies=[latency for run in of for latency in run.latencies])
        latencies = [f"{pooled.percentile(percent):.0f}" for percent in (50, 99)]
        rows.append([name, f"{rates[name]:.1f}", *latencies, f"{rates[name] / bare:.2f}"])
    title = f"serve, {NAME} at {img_size} px, {os.cpu_count()} CPUs, median of {len(of)} interleaved rounds"
    print_table(title, ["", "images/s", "p50 ms", "p99 ms", "of bare"], rows)
    print(f"  Tokensight has {ours / bare:.2f} of the bare engine and {ours / plain:.2f} times FastAPI + ultralytics")


def install(data: Path, folder: Path) -> None:
    """Put the exported model where pulled models live, and into the catalogue."""
    from detection.services.catalogue import register_version

    metadata = json.loads((folder / "metadata.json").read_text())
    target = data / "models" / NAME / metadata["version"] / "model.onnx"
    target.parent.mkdir(parents=True)
    target.write_bytes((folder / "model.onnx").read_bytes())
    register_version(metadata, path=str(target.relative_to(data / "models")))


def start_plain(stack: ExitStack, folder: Path, img_size: int) -> int:
    """Start the FastAPI server and return its port."""
    port = free_port()
    environment = {
        **os.environ,
        "PLAIN_WEIGHTS": str(folder / f"{NAME}.pt"),
        "PLAIN_THREADS": str(len(os.sched_getaffinity(0))),
        "PLAIN_IMG_SIZE": str(img_size),
    }
    command = (sys.executable, "-m", "uvicorn", "benchmarks.plain_server:app", "--port", str(port), "--no-access-log")
    start(stack, command, environment, folder / "plain.log")
    wait_until_answers(f"http://127.0.0.1:{port}/ready", folder / "plain.log")
    return port


def start_bare(stack: ExitStack, folder: Path, img_size: int, pictures: list[bytes]) -> Connection:
    """Start the process of the bare loop; it runs for as many seconds as it is sent, and answers with latencies."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=bare_loop, args=(theirs, folder, img_size, pictures), daemon=True
    )
    process.start()
    stack.callback(process.join, 5)
    stack.callback(ours.close)
    theirs.close()
    return ours


def bare_run(bare: Connection, seconds: float) -> Run:
    bare.send(seconds)
    taken, latencies = bare.recv()
    return Run(seconds=taken, latencies=latencies)


def bare_loop(pipe: Connection, folder: Path, img_size: int, pictures: list[bytes]) -> None:
    import cv2
    import numpy as np

    from workers.engines.base import ModelFile
    from workers.engines.onnx import OnnxEngine
    from workers.nms import select

    metadata: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    file = folder / "model.onnx"
    model = ModelFile(
        path=file,
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        class_count=len(metadata["classes"]),
        end_to_end=metadata["end_to_end"],
        stride=metadata["stride"],
        default_img_size=metadata["default_img_size"],
    )
    engine = OnnxEngine(model, threads=len(os.sched_getaffinity(0)))
    engine.warm_up(img_size)
    while True:
        try:
            seconds = pipe.recv()
        except EOFError:
            return
        latencies: list[float] = []
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            start = time.perf_counter()
            content = np.frombuffer(pictures[len(latencies) % len(pictures)], np.uint8)
            image = cv2.imdecode(content, cv2.IMREAD_COLOR)
            select(engine.infer([image], img_size, confidence=0.25)[0], confidence=0.25, iou=0.7, max_det=300)
            latencies.append(time.perf_counter() - start)
        pipe.send((time.perf_counter() - began, latencies))


if __name__ == "__main__":
    main()

"""The whole product for a browser: the same processes as `make run`, on a port and a data folder of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.migrated import fill_data_folder
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 240
# Where the tests' own servers are; the stack brings its own.
FOREIGN = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "ONCE", "MAKELEVEL", "BASE_URL")


@dataclass(frozen=True)
class Stack:
    """A running product, and what demo.json says about it."""

    base_url: str
    demo: dict[str, Any]

    @property
    def organization(self) -> str:
        """The address of the demo organization's console, without the slash at its end."""
        return f"{self.base_url}/o/{self.demo['organization']}"


@contextmanager
def running_stack(migrated_dump: Path | None = None) -> Iterator[Stack]:
    """Start everything, wait until the sample job went through, and stop it without a trace.

    With a dump of a migrated database its server has that already.
    """
    directory = Path(tempfile.mkdtemp(prefix="tokensight-e2e-"))
    _compile(ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po")
    log = directory / "log"
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    env |= {"TOKENSIGHT_DATA_DIR": str(directory / "data"), "PORT": str(free_port())}
    # A worker that gets no processor for a while is not dead.
    env["JOB_LEASE_SECONDS"] = "60"
    if migrated_dump:
        fill_data_folder(directory / "data", migrated_dump)
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "portal.local"], cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait(process, log)
        demo = json.loads((directory / "data" / "demo.json").read_text())
        yield Stack(demo["base_url"], demo)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=READY_SECONDS)
        shutil.rmtree(directory, ignore_errors=True)


def _compile(catalogue: Path) -> None:
    """Compile a catalogue, at once for whoever reads it meanwhile."""
    compiled = catalogue.with_suffix(f".{os.getpid()}.mo")
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", "compile"]
    subprocess.run([*command, "-i", str(catalogue), "-o", str(compiled)], check=True)
    compiled.replace(catalogue.with_suffix(".mo"))


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "Ready after" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The product did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.3)

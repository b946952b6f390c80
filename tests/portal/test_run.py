"""`make run`, as a person or a script uses it: the contract of the one command, with real processes."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.local.machine import make_data_directory
from portal.local.report import Failure
from tests.portal.families import family, gone
from tests.portal.folders import server_folder
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300


def start(data: Path, port: int, **env: str) -> subprocess.Popen[str]:
    """Start `make run` in a process group of its own, as a shell does, with nothing of the test's own settings."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("DATABASE", "REDIS", "PYTEST"))
    }
    for name in ("DEVELOPMENT", "DJANGO_SETTINGS_MODULE", "TOKENSIGHT_DATA_DIR", "MAKEFLAGS", "MAKELEVEL", "ONCE"):
        inherited.pop(name, None)
    venv = sys.prefix
    return subprocess.Popen(
        # The environment stands already; what must not happen is that a test installs something.
        ["make", "-o", f"{venv}/.base", "run", f"VENV={venv}"],
        cwd=ROOT,
        # A worker that gets no processor for a while is not dead.
        env={**inherited, "JOB_LEASE_SECONDS": "60", "TOKENSIGHT_DATA_DIR": str(data), "PORT": str(port), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    return output


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Read what it prints until a line has `text` in it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def demo_of(data: Path) -> dict[str, Any]:
    return json.loads((data / "demo.json").read_text())


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[Path, str]]:
    """A data folder after one complete `ONCE=1 make run`, and what that printed."""
    with server_folder() as folder:
        data = folder / "data"
        process = start(data, free_port(), ONCE="1")
        output = finish(process)
        assert process.returncode == 0, output
        yield data, output


def test_once_finds_the_defects_bills_them_and_verifies_the_ledger(house: tuple[Path, str]) -> None:
    data, output = house
    assert "board-01.jpg through POST /v1/detect" in output
    assert "not found" not in output
    assert "left" in output
    assert (data / "demo.json").stat().st_mode & 0o777 == 0o600


def test_the_demo_file_has_what_scripts_rely_on(house: tuple[Path, str]) -> None:
    demo = demo_of(house[0])
    for organization in (demo, demo["other"]):
        assert organization["base_url"].startswith("http://localhost:")
        assert organization["organization"]
        assert set(organization["admin"]) == {"email", "password"}
        assert organization["management_key"].startswith("tsm_")
        assert organization["sub_tokens"]
        for sub_token in organization["sub_tokens"]:
            assert set(sub_token) == {"name", "secret", "tokens"}
            assert sub_token["secret"].startswith("tsk_")
    assert demo["organization"] != demo["other"]["organization"]
    assert demo["database_url"].startswith("postgresql://tokensight_app@")
    assert demo["redis_url"]


def test_a_second_run_keeps_its_secrets_its_data_and_its_processes_until_ctrl_c(house: tuple[Path, str]) -> None:
    data, port = house[0], free_port()
    before = demo_of(data)
    process = start(data, port)
    try:
        wait_for(process, "Ctrl-C stops everything.")
        demo = demo_of(data)
        assert demo == {
            **before,
            "base_url": f"http://localhost:{port}",
            "stripe_url": demo["stripe_url"],
            "other": {**before["other"], "base_url": f"http://localhost:{port}"},
        }
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=PATIENCE) as response:
            assert json.load(response)["status"] == "ready"
        with urllib.request.urlopen(f"{demo['stripe_url']}/", timeout=PATIENCE) as response:
            assert "no money moves" in response.read().decode()

        another = start(data, free_port())
        refusal = [line for line in finish(another).splitlines() if not line.startswith("make: ")]
        assert another.returncode != 0
        assert len(refusal) == 1
        assert "already runs on" in refusal[0]

        next(member for member, words in family(process.pid).items() if "worker@%h" in words).kill()
        wait_for(process, "starting it again")
        wait_for(process, "worker@")

        everybody = family(process.pid)
        assert {"postgres", "redis-server"} <= {words.split()[0] for words in everybody.values()}
        os.killpg(process.pid, signal.SIGINT)
        output = finish(process)
        assert "Stopped." in output
        assert "Traceback" not in output
        assert gone(everybody), everybody
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            finish(process)


def test_killing_the_supervisor_takes_everything_with_it(house: tuple[Path, str]) -> None:
    process = start(house[0], free_port())
    wait_for(process, "Ctrl-C stops everything.")
    everybody = family(process.pid)
    next(member for member, words in everybody.items() if words.endswith("-m portal.local")).kill()
    assert gone(everybody), everybody
    finish(process)


def test_killing_make_stops_everything_cleanly(house: tuple[Path, str]) -> None:
    process = start(house[0], free_port())
    wait_for(process, "Ctrl-C stops everything.")
    everybody = family(process.pid)
    process.kill()
    assert gone(everybody), everybody
    assert "Stopped." in finish(process)


def test_a_taken_port_is_told_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = start(tmp_path / "data", port)
        lines = [line for line in finish(process).splitlines() if not line.startswith("make: ")]
    assert process.returncode != 0
    assert lines == [f"Failed: Port {port} is taken by another program. Choose another: PORT={port + 1} make run"]
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_data_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(tmp_path / "file" / "data", free_port())
    lines = [line for line in finish(process).splitlines() if not line.startswith("make: ")]
    assert process.returncode != 0
    assert len(lines) == 1
    assert "Give another folder: TOKENSIGHT_DATA_DIR=" in lines[0]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    """Files of no more than nothing are what a full disk allows: they can be made, and not written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(Failure, match="Nothing can be written to"):
            make_data_directory(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert make_data_directory(tmp_path) == tmp_path

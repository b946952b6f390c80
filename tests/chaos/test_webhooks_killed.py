"""A short storm over the webhooks, in a process of its own; docs/proof.md has the numbers of a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.test_everything_killed import OURS
from tests.migrated import DUMP


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_events_delivered_while_everything_is_killed_credit_each_payment_once(
    migrated_dump: Path,
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | {DUMP: str(migrated_dump)}
    command = [sys.executable, "-m", "tests.chaos.webhooks", "--deliveries", "120", "--kills", "3"]
    storm = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    print(storm.stdout, storm.stderr)
    assert storm.returncode == 0
    assert "Grants equal payments to the minor unit." in storm.stdout

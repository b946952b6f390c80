"""A short storm over the real stack, in a process of its own; docs/proof.md has the numbers of a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.migrated import DUMP

ROUNDS = 3
# Where this test's own servers are, which the storm must leave alone.
OURS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "TOKENSIGHT_DATA_DIR")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_killed_at_random_loses_nothing(migrated_dump: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | {DUMP: str(migrated_dump)}
    command = [sys.executable, "-m", "tests.chaos.rounds", "--rounds", str(ROUNDS), "--callers", "4"]
    storm = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=580, check=False)
    print(storm.stdout, storm.stderr)
    assert storm.returncode == 0
    assert "Nothing lost, nothing charged twice, nothing held." in storm.stdout

"""`make bench`: every benchmark, one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("serve", "overhead", "ledger", "admission", "tags", "dashboard")


def main() -> int:
    """Run them all; return 1 if one failed."""
    commands = {name: [sys.executable, "-m", f"benchmarks.{name}"] for name in BENCHMARKS}
    failed = [name for name, command in commands.items() if subprocess.run(command, check=False).returncode]
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

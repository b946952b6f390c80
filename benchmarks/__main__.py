"""Every benchmark, or those that are named, one after the other, each in a process of its own: `make bench`."""

from __future__ import annotations

import argparse
import subprocess
import sys

BENCHMARKS = ("serve", "overhead", "ledger", "admission", "tags", "dashboard")


def main() -> int:
    """Run them; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all without any")
    names = parser.parse_args().names
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    commands = {name: [sys.executable, "-m", f"benchmarks.{name}"] for name in names or BENCHMARKS}
    failed = [name for name, command in commands.items() if subprocess.run(command, check=False).returncode]
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

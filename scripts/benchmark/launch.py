"""Run a command; print its wall time, its peak memory and its output as JSON.

    python scripts/benchmark/launch.py python -c "import torch"

A process of its own and a small one, because the kernel counts what a process held
before it became another program, and a child begins as a copy of its parent: measured
from a process that has torch in it, no command would ever seem to need less than that.
Memory is what is resident, pages of mapped files that were touched included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

# Linux counts in kilobytes, macOS in bytes.
UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Run the command line's arguments."""
    start = time.perf_counter()
    done = subprocess.run(sys.argv[1:], capture_output=True, encoding="utf-8")
    report = {
        "seconds": time.perf_counter() - start,
        "bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * UNIT,
        "status": done.returncode,
        "output": done.stdout,
        "errors": done.stderr,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()

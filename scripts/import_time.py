"""What it costs to import minidistil, beside torch, which it stands on.

Each figure is the median of the wall time of several fresh processes. The programs take
turns, so that a busy moment of the machine falls on all of them alike.

    python scripts/import_time.py --rounds 9
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import click

EVERYTHING = "[getattr(minidistil, name) for name in minidistil.__all__]"
PROGRAMS = {
    "python alone": ["-c", "pass"],
    "import minidistil": ["-c", "import minidistil"],
    "minidistil --help": ["-m", "minidistil", "--help"],
    "import torch": ["-c", "import torch"],
    "import torch, minidistil and all its names": [
        "-c",
        f"import torch, minidistil; {EVERYTHING}",
    ],
}


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
def main(rounds: int) -> None:
    """Time the programs, and print what each costs."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(rounds):
        for name, arguments in PROGRAMS.items():
            seconds[name].append(time_program(arguments))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        click.echo(f"{median:7.3f} s  (best {min(seconds[name]):.3f})  {name}")
    first, second = list(PROGRAMS)[-2:]
    click.echo(f"{medians[second] - medians[first]:7.3f} s  beyond torch")


def time_program(arguments: list[str]) -> float:
    """Run Python in a process of its own; the seconds that it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

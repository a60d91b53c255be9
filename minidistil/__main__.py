"""``python -m minidistil`` is the ``minidistil`` command."""

from __future__ import annotations

from minidistil.cli import main

main(prog_name="minidistil")

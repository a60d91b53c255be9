"""What `minidistil.weights` offers: its functions, its README and what imports cost."""

from __future__ import annotations

import doctest
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from minidistil import weights
from minidistil.cli import main

ROOM = Path(weights.__file__).parent
README = (ROOM / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("$ ")
]


def test_the_package_alone_imports_neither_torch_nor_the_hub_library():
    program = """
import sys, minidistil.weights
assert not {"torch", "huggingface_hub", "safetensors"} & sys.modules.keys()
minidistil.weights.inspect
assert "torch" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", weights.__all__)
def test_every_public_name_is_a_function_of_that_name(name):
    assert inspect.isfunction(getattr(weights, name))
    assert getattr(weights, name).__name__ == name
    assert name in dir(weights)


def test_no_module_hides_a_function():
    modules = {path.stem for path in ROOM.glob("*.py")}
    assert not modules & {*weights.__all__}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'inspct'"):
        getattr(weights, "insp" + "ct")


def test_the_docstring_is_run_too():
    assert doctest.testmod(weights).failed == 0
    assert doctest.testmod(weights).attempted > 0


def test_every_command_is_in_the_readme():
    named = {shlex.split(command)[2] for command in COMMANDS}
    assert named == {*main.commands["weights"].commands}

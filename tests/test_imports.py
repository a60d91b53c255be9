"""What is imported when, and so what an import costs.

`scripts/import_time.py` measures the seconds; they depend on the machine, and these
lists do not.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import minidistil

HEAVY = (
    "torch",
    "tokenizers",
    "huggingface_hub",
    "safetensors",
    "numpy",
    "click",
    "tqdm",
    "transformers",
    "httpx",
    "requests",
    "urllib3",
    "aiohttp",
)
EVERYTHING = "import minidistil; [getattr(minidistil, n) for n in minidistil.__all__]"


def heavy_after(program: str) -> set[str]:
    """Return which of `HEAVY` a fresh Python has loaded after running a program."""
    report = (
        f"import json, sys; print(json.dumps([*set({HEAVY}) & sys.modules.keys()]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def command(*arguments: str) -> str:
    return f"""
from minidistil.cli import main
try:
    main({list(arguments)})
except SystemExit as end:
    assert end.code == 0
"""


def test_the_package_alone_imports_nothing_heavy():
    assert heavy_after("import minidistil") == set()


def test_a_configuration_imports_nothing_heavy():
    program = "from minidistil import AutoConfig; AutoConfig.from_pretrained('tiny')"
    assert heavy_after(program) == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["classify", "--help"]], ids=" ".join
)
def test_help_imports_click_alone(arguments):
    assert heavy_after(command(*arguments)) == {"click"}


def test_a_tokenizer_does_without_torch():
    program = """
from minidistil import AutoTokenizer
assert AutoTokenizer.from_pretrained('tiny')('Hello')['input_ids'] == [101, 7592, 102]
"""
    assert heavy_after(program) == {"tokenizers"}


def test_the_python_backend_does_without_tokenizers():
    program = """
from minidistil import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained('tiny', backend='python')
assert tokenizer('Hello')['input_ids'] == [101, 7592, 102]
"""
    assert heavy_after(program) == set()


def test_all_names_together_import_little_beside_torch():
    torch = heavy_after("import torch")
    more = {"safetensors", "tokenizers"}  # AddedToken is a class of tokenizers
    assert heavy_after(f"import torch; {EVERYTHING}") <= torch | more


def test_every_public_name_is_there():
    for name in minidistil.__all__:
        assert getattr(minidistil, name) is not None
        assert name in dir(minidistil)
        assert name in vars(minidistil), "found at once the second time"


def test_what_a_type_checker_sees_is_what_is_there():
    """The names under TYPE_CHECKING and those of `__getattr__` are two lists."""
    tree = ast.parse(Path(minidistil.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = set()
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, "only so is it exported"
                seen.add(alias.name)
        else:
            assert isinstance(node, ast.Assign)
            seen |= {target.id for target in node.targets}
    assert seen == set(minidistil.__all__)


def test_the_courses_names_are_the_classes_themselves():
    assert minidistil.AutoTokenizer is minidistil.DistilBertTokenizer
    assert minidistil.AutoModel is minidistil.DistilBertModel
    head = "ForQuestionAnswering"
    ours = getattr(minidistil, f"DistilBert{head}")
    assert getattr(minidistil, f"AutoModel{head}") is ours


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'AutoModl'"):
        getattr(minidistil, "Auto" + "Modl")
    with pytest.raises(ImportError):
        exec("from minidistil import AutoModl")

"""``minidistil weights``: list, inspect, load, verify and convert checkpoints."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections import Counter
from typing import Any

import click

from minidistil.cli.options import (
    DEVICE,
    JSON,
    PRECISIONS,
    SOURCE,
    choice,
    command,
    flag,
    layer_numbers,
    option,
)
from minidistil.cli.output import print_json, print_line, print_warning

_FLOATS = ("float32", "float16", "bfloat16", "float64")
_SHOWN = 8  # lines of a longer list
_LAYER = re.compile(r"^(.*?\blayer\.\d+)\..+")  # transformer.layer.1 and what is in it


@click.group(short_help="List, inspect, load, verify and convert checkpoints.")
def weights() -> None:
    """List, inspect, load, verify and convert checkpoints."""


@command(
    "The official checkpoints, and which are here.",
    flag("--offline", "Do not ask the hub; show a dated list."),
    JSON,
    name="list",
)
def list_command(offline: bool, as_json: bool) -> None:
    """List the official checkpoints: task, size, licence, and whether in the cache."""
    from minidistil.weights.catalogue import AS_OF, official_checkpoints

    listing = official_checkpoints(local_files_only=offline)
    for each in listing.checkpoints:
        if as_json:
            as_of = AS_OF if listing.offline else "now"
            print_json({**dataclasses.asdict(each), "as_of": as_of})
            continue
        size = f"{each.bytes / 1e6:4.0f} MB"
        line = f"{each.repo:60} {each.task:20} {each.language:12} {size}"
        print_line(f"{line}  {each.licence:10} {'in the cache' * each.cached}".rstrip())
    if listing.offline and not as_json:
        print_warning(f"As of {AS_OF}; the hub: {listing.offline}.")


@command("What is in a checkpoint, from its header alone.", *SOURCE, JSON)
def inspect(source: str, revision: str | None, as_json: bool) -> None:
    """Show what is in SOURCE: 'tiny', a folder, a hub repository, or one file.

    Only headers are read; of a repository on the hub, only they are fetched.
    """
    from minidistil.weights.inspection import inspect as look_into

    found = look_into(source, revision=revision)
    report = found.to_dict()
    if as_json:
        print_json(report)
        return
    tensors = Counter(tensor["file"] for tensor in report["tensors"])
    for file in report["files"]:
        print_line(
            f"{file['name']}: {file['bytes']:,} bytes, {tensors[file['name']]} "
            f"tensors, numbers from byte {file['data_starts_at']:,}, metadata "
            f"{file['metadata']}"
        )
    _print_title("tensors")
    known = any(tensor["loads_into"] for tensor in report["tensors"])
    for tensor in report["tensors"]:
        name, place = tensor["name"], tensor["loads_into"]
        into = f"  -> {place or 'nothing'}" if known and place != name else ""
        print_line(
            f"  {name:58} {tensor['dtype']:5} {tuple(tensor['shape'])!s:14} "
            f"{tensor['bytes']:12,} bytes{into}"
        )
    _print_title("parameters")
    for module, count in {**report["modules"], "in all": report["parameters"]}.items():
        print_line(f"  {module:58} {count:14,}")
    _print_title(f"head: {', '.join(report['heads']) or 'none'}")
    if found.config is None:
        print_line(f"no class can load it: {found.config_problem}")
        return
    _print_title(f"meant for {found.kind}; it loads as")
    for each in found.loadings:
        print_line(f"  {each.kind:38} {each.loads}")
        if each.kind != found.kind and not each.reason:
            continue
        problems = each.fit.problems.values() if each.fit else ()
        texts = [*filter(None, [each.reason]), *(problem.text for problem in problems)]
        for text in texts[:_SHOWN]:
            print_line(f"    {text}")
        if len(texts) > _SHOWN:
            print_line(f"    … and {len(texts) - _SHOWN} more; --json has all")


def _print_title(title: str) -> None:
    print_line()
    print_line(title)


@command(
    "Load a checkpoint step by step, and show each step.",
    *SOURCE,
    click.argument("text", required=False),
)
def load(source: str, revision: str | None, text: str | None) -> None:
    """Load SOURCE one step at a time, and ask it about TEXT."""
    from minidistil.weights.stepwise import SENTENCE, load_step_by_step

    sentence = SENTENCE if text is None else text
    steps = load_step_by_step(source, sentence, revision=revision)
    for number, step in enumerate(steps, start=1):
        title = f"Step {number}: {step.title}"
        for line in (title, "-" * len(title), *step.lines, ""):
            print_line(line)


@command(
    "Check that a checkpoint gives the right numbers here.",
    *SOURCE,
    choice(
        "--precision", PRECISIONS, "What the engine computes in.", default="float32"
    ),
    choice("--dtype", _FLOATS, "What the model computes in.", default="float32"),
    choice(
        "--attention attn_implementation",
        ("sdpa", "eager"),
        "How the model attends.",
        default="sdpa",
    ),
    DEVICE,
    option(
        "--known-as",
        "The hub repository that a folder is a copy of: compare with what was "
        "published of it.",
        metavar="REPOSITORY",
    ),
    JSON,
    failed=2,  # 1 would say that the checkpoint is wrong
)
def verify(source: str, dtype: str, as_json: bool, **options: Any) -> None:
    """Check SOURCE: its file's hash, its published answers, the engine against float64.

    The exit status is 0 if all is right, 1 if something is wrong, and 2 if SOURCE could
    not be checked.
    """
    import torch

    from minidistil.weights.verification import verify as check

    found = check(source, dtype=getattr(torch, dtype), **options)
    if as_json:
        print_json({**dataclasses.asdict(found), "right": found.right})
    else:
        print_line(f"{found.source}: {found.kind}, {found.computing}")
        for one in found.checks:
            print_line(f"{one.status:8} {one.name}")
            for line in one.detail.splitlines():
                print_line(f"{'':8} {line}")
        print_line("right" if found.right else "WRONG")
    sys.exit(0 if found.right else 1)


@command(
    "Write a checkpoint anew, as safetensors.",
    *SOURCE,
    click.argument("folder", type=click.Path(file_okay=False)),
    choice("--dtype", _FLOATS, "What the weights become."),
    option(
        "--prefix/--no-prefix",
        "Whether the encoder's tensors are called distilbert.NAME.  [default: if there "
        "is a head]",
        default=None,
    ),
    flag("--drop-heads", "Leave only the encoder."),
    option("--drop", "Leave a tensor or a module out.", metavar="NAME", multiple=True),
    option(
        "--rename",
        "Rename a tensor or a module; nothing after = removes a prefix.",
        metavar="OLD=NEW",
        multiple=True,
    ),
    option(
        "--layers",
        "Keep some layers, such as 0,2,4,7,9,11, or every-second: the start of a "
        "distillation.",
        metavar="LIST",
    ),
    JSON,
)
def convert(
    source: str,
    folder: str,
    dtype: str | None,
    rename: tuple[str, ...],
    layers: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write SOURCE into FOLDER as safetensors in today's names.

    SOURCE may be a DistilBERT or a BERT, as safetensors or as pytorch_model.bin, of
    which only tensors are read, and that by torch 2.10 or later alone: older ones could
    be made to run code in it. FOLDER may be SOURCE.
    """
    names = [each.partition("=") for each in rename]
    if any(not old or not equals for old, equals, _ in names):
        raise click.UsageError(
            "--rename takes OLD=NEW, such as score=classifier, or PREFIX= to remove one"
        )
    import torch

    from minidistil.weights.conversion import convert as write

    made = write(
        source,
        folder,
        dtype=None if dtype is None else getattr(torch, dtype),
        rename={old: new for old, _, new in names},
        layers=_layers(layers),
        **options,
    )
    if as_json:
        print_json({**vars(made), "folder": str(made.folder)})
        return
    print_line(
        f"{made.folder}: {made.kind}, {made.tensors} tensors, {made.parameters:,} "
        f"parameters in {made.dtype}"
    )
    # Of a layer, by its name alone.
    parts = Counter(_LAYER.sub(r"\1", name) for name in made.left_out)
    for part, tensors in parts.items():
        count = f", {tensors} tensors" if tensors > 1 else ""
        print_line(f"left out: {part}{count}")


def _layers(given: str | None) -> str | list[int] | None:
    if given is None or given == "every-second":
        return given
    return layer_numbers(given, also=", or every-second")


for each in (list_command, inspect, load, verify, convert):
    weights.add_command(each)

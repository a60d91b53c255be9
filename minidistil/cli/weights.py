"""``minidistil weights``: list, inspect, load, verify and convert checkpoints."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from minidistil.cli.common import json_option, printable, told

if TYPE_CHECKING:
    from minidistil.weights.inspection import Inspection, Loading
    from minidistil.weights.verification import Verification

_FLOATS = ("float32", "float16", "bfloat16", "float64")
_SHOWN = 8  # lines of a longer list
_LAYER = re.compile(r"^(.*?\blayer\.\d+)\..+")  # transformer.layer.1 and what is in it


@click.group(short_help="List, inspect, load, verify and convert checkpoints.")
def weights() -> None:
    """List, inspect, load, verify and convert checkpoints."""


def _source_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add SOURCE and --revision."""
    source = click.argument("source")
    revision = click.option(
        "--revision", help="Branch, tag or commit of the hub repository."
    )
    return source(revision(command))


def _say(text: str = "") -> None:
    click.echo(printable(text))


def _title(text: str) -> None:
    click.echo()
    _say(text)


class _NotVerifiedError(click.ClickException):
    """`verify` could not check: neither right (0) nor wrong (1)."""

    exit_code = 2


# list


@weights.command("list", short_help="The official checkpoints, and which are here.")
@click.option("--offline", is_flag=True, help="Do not ask the hub; show a dated list.")
@json_option
def list_command(offline: bool, as_json: bool) -> None:
    """List the official checkpoints: task, size, licence, and whether in the cache."""
    import dataclasses

    from minidistil.weights.catalogue import AS_OF, official_checkpoints

    listing = official_checkpoints(local_files_only=offline)
    if as_json:
        for each in listing.checkpoints:
            as_of = AS_OF if listing.offline else "now"
            click.echo(json.dumps({**dataclasses.asdict(each), "as_of": as_of}))
        return
    for each in listing.checkpoints:
        _say(
            f"{each.repo:60} {each.task:20} {each.language:12} "
            f"{each.bytes / 1e6:4.0f} MB  {each.licence:10} "
            f"{'in the cache' if each.cached else ''}".rstrip()
        )
    if listing.offline:
        click.echo(f"As of {AS_OF}; the hub: {listing.offline}.", err=True)


# inspect


@weights.command(short_help="What is in a checkpoint, from its header alone.")
@_source_argument
@json_option
def inspect(source: str, revision: str | None, as_json: bool) -> None:
    """Show what is in SOURCE: 'tiny', a folder, a hub repository, or one file.

    Only headers are read; of a repository on the hub, only they are fetched.
    """
    with told(source):
        from minidistil.weights.inspection import inspect as look_into

        found = look_into(source, **_where(revision))
        if as_json:
            click.echo(json.dumps(found.to_dict()))
            return
        _show_inspection(found)


def _where(revision: str | None) -> dict[str, Any]:
    return {} if revision is None else {"revision": revision}


def _show_inspection(found: Inspection) -> None:
    for header in found.headers:
        _say(
            f"{header.file.name}: {header.size:,} bytes, {len(header.tensors)} "
            f"tensors, numbers from byte {header.data_start:,}, metadata "
            f"{header.metadata}"
        )
    loading = found.loading
    placed = loading.fit.placed if loading and loading.fit else {}
    _title("tensors")
    for entry in found.tensors:
        place = placed.get(entry.name)
        into = "" if place == entry.name else f"  -> {place or 'nothing'}"
        _say(
            f"  {entry.name:58} {entry.dtype:5} {entry.shape!s:14} "
            f"{entry.size:12,} bytes{into if placed else ''}"
        )
    _title("parameters")
    for module, count in found.modules.items():
        _say(f"  {module:58} {count:14,}")
    _say(f"  {'in all':58} {sum(found.modules.values()):14,}")
    _title(f"head: {', '.join(found.heads) or 'none'}")
    if found.config is None:
        _say(f"no class can load it: {found.config_problem}")
        return
    _title(f"meant for {found.kind}; it loads as")
    for each in found.loadings:
        _say(f"  {each.kind:38} {each.loads}")
        if each.kind == found.kind or each.reason:
            _show_problems(each)


def _show_problems(loading: Loading) -> None:
    texts = [loading.reason] if loading.reason else []
    if loading.fit:
        texts += [problem.text for problem in loading.fit.problems.values()]
    for text in texts[:_SHOWN]:
        _say(f"    {text}")
    if len(texts) > _SHOWN:
        _say(f"    … and {len(texts) - _SHOWN} more; --json has all")


# load


@weights.command(short_help="Load a checkpoint step by step, told as it is done.")
@_source_argument
@click.argument("text", required=False)
def load(source: str, revision: str | None, text: str | None) -> None:
    """Load SOURCE one step at a time, and ask it about TEXT."""
    with told(source):
        from minidistil.weights.stepwise import SENTENCE, load_step_by_step

        steps = load_step_by_step(
            source, SENTENCE if text is None else text, **_where(revision)
        )
        for number, step in enumerate(steps, start=1):
            title = f"Step {number}: {step.title}"
            _say(title)
            _say("-" * len(title))
            for line in step.lines:
                _say(line)
            _say()


# verify


@weights.command(short_help="Check that a checkpoint gives the right numbers here.")
@_source_argument
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="What the engine computes in.",
)
@click.option(
    "--dtype",
    type=click.Choice(_FLOATS),
    default="float32",
    show_default=True,
    help="What the model computes in.",
)
@click.option(
    "--attention",
    type=click.Choice(["sdpa", "eager"]),
    default="sdpa",
    show_default=True,
    help="How the model attends.",
)
@click.option("--device", default="cpu", show_default=True, help="Such as cuda or mps.")
@click.option(
    "--known-as",
    metavar="REPOSITORY",
    help="The hub repository that a folder is a copy of: compare with what was "
    "published of it.",
)
@json_option
def verify(
    source: str,
    revision: str | None,
    precision: str,
    dtype: str,
    attention: str,
    device: str,
    known_as: str | None,
    as_json: bool,
) -> None:
    """Check SOURCE: its file's hash, its published answers, the engine against float64.

    The exit status is 0 if all is right, 1 if something is wrong, and 2 if SOURCE could
    not be checked.
    """
    try:
        with told(source):
            import torch

            from minidistil.weights.verification import verify as check

            found = check(
                source,
                precision=precision,
                dtype=getattr(torch, dtype),
                device=device,
                attn_implementation=attention,
                known_as=known_as,
                **_where(revision),
            )
    except click.ClickException as error:
        raise _NotVerifiedError(error.message) from error
    except Exception as error:
        # A status of 1 would say that the checkpoint is wrong.
        raise _NotVerifiedError(f"{type(error).__name__}: {error}") from error
    _show_verification(found, as_json)
    sys.exit(0 if found.right else 1)


def _show_verification(found: Verification, as_json: bool) -> None:
    if as_json:
        import dataclasses

        click.echo(json.dumps({**dataclasses.asdict(found), "right": found.right}))
        return
    _say(f"{found.source}: {found.kind}, {found.computing}")
    for check in found.checks:
        _say(f"{check.status:8} {check.name}")
        for line in check.detail.splitlines():
            _say(f"{'':8} {line}")
    _say("right" if found.right else "WRONG")


# convert


@weights.command(short_help="Write a checkpoint anew, as safetensors.")
@_source_argument
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--dtype", type=click.Choice(_FLOATS), help="What the weights become.")
@click.option(
    "--prefix/--no-prefix",
    default=None,
    help="Whether the encoder's tensors are called distilbert.…  [default: if there "
    "is a head]",
)
@click.option("--drop-heads", is_flag=True, help="Leave only the encoder.")
@click.option(
    "--drop", metavar="NAME", multiple=True, help="Leave a tensor or a module out."
)
@click.option(
    "--rename", metavar="OLD=NEW", multiple=True, help="Rename a tensor or a module."
)
@click.option(
    "--layers",
    metavar="LIST",
    help="Keep some layers, such as 0,2,4,7,9,11, or every-second: the start of a "
    "distillation.",
)
@json_option
def convert(
    source: str,
    revision: str | None,
    folder: str,
    dtype: str | None,
    prefix: bool | None,
    drop_heads: bool,
    drop: tuple[str, ...],
    rename: tuple[str, ...],
    layers: str | None,
    as_json: bool,
) -> None:
    """Write SOURCE into FOLDER as safetensors in today's names.

    SOURCE may be a DistilBERT or a BERT, as safetensors or as pytorch_model.bin, of
    which only tensors are read, and that by torch 2.10 or later alone: older ones could
    be made to run code in it. FOLDER may be SOURCE.
    """
    names = [each.partition("=") for each in rename]
    if any(not old or not new for old, _, new in names):
        raise click.UsageError("--rename takes OLD=NEW, such as score=classifier")
    with told(source):
        import torch

        from minidistil.weights.conversion import convert as write

        made = write(
            source,
            folder,
            dtype=None if dtype is None else getattr(torch, dtype),
            prefix=prefix,
            drop_heads=drop_heads,
            drop=drop,
            rename={old: new for old, _, new in names},
            layers=_layers(layers),
            **_where(revision),
        )
    if as_json:
        click.echo(json.dumps({**vars(made), "folder": str(made.folder)}))
        return
    _say(
        f"{made.folder}: {made.kind}, {made.tensors} tensors, {made.parameters:,} "
        f"parameters in {made.dtype}"
    )
    # Of a layer, by its name alone.
    parts = Counter(_LAYER.sub(r"\1", name) for name in made.left_out)
    for part, tensors in parts.items():
        _say(f"left out: {part}" + (f", {tensors} tensors" if tensors > 1 else ""))


def _layers(given: str | None) -> str | list[int] | None:
    if given is None or given == "every-second":
        return given
    try:
        return [int(number) for number in given.split(",")]
    except ValueError:
        raise click.UsageError(
            f"--layers takes numbers such as 0,2,4, or every-second, not {given!r}"
        ) from None

"""``minidistil weights publish``: a checkpoint on the hub, with a card."""

from __future__ import annotations

from typing import Any

import click

from minidistil.cli.options import JSON, command, flag, option
from minidistil.cli.output import print_json, print_line


@command(
    "Put a checkpoint on the hub, with a generated card.",
    click.argument("folder"),
    click.argument("repo"),
    option("--revision", "The branch, made if need be.  [default: main]"),
    flag("--dry-run", "Check all, show the card, send nothing."),
    option(
        "--private/--public",
        "Who may see REPO.  [default: what the hub says, or as it is]",
        default=None,
    ),
    option(
        "--metric metrics",
        "A figure for the card, such as accuracy=0.91; may be repeated.",
        multiple=True,
        metavar="NAME=NUMBER",
    ),
    option("--licence", "For the card, such as apache-2.0."),
    option("--message", "What the commit says.", default="Add a DistilBERT checkpoint"),
    JSON,
)
def publish(
    folder: str,
    repo: str,
    dry_run: bool,
    metrics: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Publish the checkpoint in FOLDER to the hub repository REPO.

    It is loaded and verified first. A README.md that somebody wrote, in FOLDER or in
    REPO, is kept; files of an earlier checkpoint that would be read with the new one
    are removed from REPO. The token is the one of `hf auth login`, or HF_TOKEN.
    """
    from minidistil.weights.publishing import publish as send

    figures = dict(map(_figure, metrics))
    done = send(folder, repo, metrics=figures, dry_run=dry_run, **options)
    if as_json:
        record = {"repo": repo, "files": done.files, "removed": done.removed}
        print_json({**record, "card": done.card, "url": done.url})
        return
    for name, size in done.files.items():
        print_line(f"{size:13,} bytes  {name}")
    for name in done.removed:
        print_line(f"{'removed':>20}  {name}")
    if done.card is None:
        print_line("README.md: kept, it was not generated")
    elif dry_run:
        for line in ("", *done.card.splitlines()):
            print_line(line)
    print_line(f"published: {done.url}" if done.url else "dry run: nothing was sent")


def _figure(metric: str) -> tuple[str, float]:
    name, _, value = metric.rpartition("=")
    try:
        figure = float(value)
    except ValueError:
        name = ""
    if not name:
        raise click.BadParameter(f"{metric!r} is not NAME=NUMBER, as accuracy=0.9")
    return name, figure

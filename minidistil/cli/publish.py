"""``minidistil weights publish``: a checkpoint on the hub, with a card."""

from __future__ import annotations

import json

import click

from minidistil.cli.common import json_option, printable, told


@click.command(short_help="Put a checkpoint on the hub, with a generated card.")
@click.argument("folder")
@click.argument("repo")
@click.option("--revision", help="The branch, made if need be.  [default: main]")
@click.option("--dry-run", is_flag=True, help="Check all, show the card, send nothing.")
@click.option(
    "--private/--public",
    default=None,
    help="Who may see REPO.  [default: what the hub says, or as it is]",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A figure for the card, such as accuracy=0.91; may be repeated.",
)
@click.option("--licence", help="For the card, such as apache-2.0.")
@click.option("--message", help="What the commit says.")
@json_option
def publish(
    folder: str,
    repo: str,
    revision: str | None,
    dry_run: bool,
    private: bool | None,
    metrics: tuple[str, ...],
    licence: str | None,
    message: str | None,
    as_json: bool,
) -> None:
    """Publish the checkpoint in FOLDER to the hub repository REPO.

    It is loaded and verified first. A README.md that somebody wrote, in FOLDER or in
    REPO, is kept; files of an earlier checkpoint that would be read with the new one
    are removed from REPO. The token is the one of `hf auth login`, or HF_TOKEN.
    """
    with told(folder):
        from minidistil.weights.publishing import publish as send

        done = send(
            folder,
            repo,
            revision=revision,
            private=private,
            metrics=_figures(metrics),
            licence=licence,
            dry_run=dry_run,
            **({} if message is None else {"message": message}),
        )
    if as_json:
        record = {"repo": repo, "files": done.files, "removed": done.removed}
        click.echo(json.dumps({**record, "card": done.card, "url": done.url}))
        return
    for name, size in done.files.items():
        click.echo(f"{size:13,} bytes  {printable(name)}")
    for name in done.removed:
        click.echo(f"{'removed':>20}  {printable(name)}")
    if done.card is None:
        click.echo("README.md: kept, it was not generated")
    elif dry_run:
        click.echo("")
        for line in done.card.splitlines():
            click.echo(printable(line))
    click.echo(f"published: {done.url}" if done.url else "dry run: nothing was sent")


def _figures(metrics: tuple[str, ...]) -> dict[str, float]:
    figures = {}
    for metric in metrics:
        name, _, value = metric.rpartition("=")
        try:
            figures[name] = float(value)
        except ValueError:
            name = ""
        if not name:
            raise click.BadParameter(f"{metric!r} is not NAME=NUMBER, as accuracy=0.9")
    return figures

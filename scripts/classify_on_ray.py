"""A label and a score for each row of a Parquet table, computed by a cluster.

    python scripts/classify_on_ray.py s3://bucket/reviews s3://bucket/labelled --gpus 1

It runs on the cluster that RAY_ADDRESS names, or on this machine. Each 16,384 rows of
SOURCE (a file, folder or glob) become a file of TARGET (a folder), whole or not at all.
If an actor dies, another takes over; else the same command goes on with what is left.
"""

import json
from uuid import uuid4

import click
from fsspec.core import url_to_fs
from pyarrow import BufferOutputStream, concat_tables, parquet
from ray.data import ActorPoolStrategy, from_items

from minidistil.cli.output import LibraryCommand
from minidistil.tables.annotating import check
from minidistil.tables.annotator import Annotator
from minidistil.tables.settings import differences
from minidistil.tables.sources import open_source


class Classifier:
    """What an actor is: a model, which makes of a piece of SOURCE a file of TARGET."""

    def __init__(self, source, target, size, options):
        self.source, self.target, self.size = open_source(source), target, size
        self.annotate = Annotator("text-classification", **options)

    def __call__(self, piece):
        """Read the rows from ``piece["row"]`` on, answer them, and write them."""
        tables, rows = [], self.source.rows(skip=piece["row"])
        while sum(map(len, tables)) < self.size and (some := next(rows, None)):
            tables.append(some.table)
        table = self.annotate(concat_tables(tables)[: self.size])
        parquet.write_table(table, content := BufferOutputStream())
        put(self.target, piece["name"], content.getvalue().to_pybytes())
        return {"empty": table["label"].null_count}


def put(target, name, content):
    """Write a file whole or not at all; readers leave out names that begin with _."""
    storage, folder = url_to_fs(target)
    storage.makedirs(folder, exist_ok=True)
    storage.pipe_file(unfinished := f"{folder}/_{uuid4()}", content)
    storage.mv(unfinished, f"{folder}/{name}")


def begin(target, settings, restart):
    """Return the names of the files that are done, with the same settings as now."""
    storage, folder = url_to_fs(target)
    note = f"{folder}/_settings.json"
    if restart and storage.exists(note):
        storage.rm(folder, recursive=True)
    if not storage.exists(note):
        if storage.find(folder):
            raise click.ClickException(f"{target} holds other files: name a new folder")
        put(target, "_settings.json", json.dumps(settings).encode())
    if changes := differences(json.loads(storage.cat_file(note)), settings):
        what = f"{target} was begun otherwise; --restart removes what it holds:"
        raise click.ClickException("\n- ".join([what, *changes]))
    sizes = storage.du(folder, total=False).items()
    return {path.rpartition("/")[2] for path, size in sizes if size}


@click.command(cls=LibraryCommand, help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("source")
@click.argument("target")
@click.option("--column", default="text", show_default=True)
@click.option("--model", default="tiny", show_default=True)
@click.option("--precision", default="float32", show_default=True)
@click.option("--batch-size", "size", type=click.IntRange(1), default=16384)
@click.option("--actors", type=int, help="[default: as many as there is room for]")
@click.option("--cpus", default=1, show_default=True, help="Cores of each actor.")
@click.option("--gpus", default=0.0, show_default=True, help="GPUs of each actor.")
@click.option("--restart", is_flag=True, help="Empty TARGET and begin anew.")
def main(source, target, size, actors, cpus, gpus, restart, **options):
    """Let Ray compute what is missing."""
    table = open_source(source)
    if table.format != "parquet":
        raise click.ClickException(f"{source} is {table.format}, expected Parquet")
    check("text-classification", table, None, options["column"])
    done = begin(target, {**options, "rows": size, "input": table.identity()}, restart)
    rows = {f"rows-{row:012}.parquet": row for row in range(0, table.total, size)}
    pieces = [{"row": rows[name], "name": name} for name in rows if name not in done]
    click.echo(f"{table.total:,} rows, {len(rows):,} files, {len(pieces):,} missing")
    if pieces:
        given = [source, target, size, {**options, "device": "cuda" if gpus else "cpu"}]
        how = {"fn_constructor_args": given, "num_cpus": cpus, "num_gpus": gpus}
        plan = from_items(pieces, override_num_blocks=len(pieces))
        done = plan.map(Classifier, compute=ActorPoolStrategy(size=actors), **how)
        click.echo(f"{sum(each['empty'] for each in done.iter_rows()):,} were empty")
    put(target, "_SUCCESS", b"")


if __name__ == "__main__":
    main()

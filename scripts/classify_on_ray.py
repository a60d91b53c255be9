"""A label and a score for each row of a Parquet table, computed by a cluster.

    python scripts/classify_on_ray.py s3://bucket/reviews s3://bucket/labelled --gpus 1

It runs on the cluster that RAY_ADDRESS names, or else on this machine. SOURCE is a file
or a folder, TARGET a folder: where every machine finds them and fsspec can open them.
``ray.data.read_csv(…).write_parquet(…)`` makes Parquet of other formats.

Ray hands out pieces of the table to actors, each with its own model. A piece is some
rows of one file. Its part of TARGET has those rows in its name, and has the name once it
is whole: names are in the order of rows, and to compute a piece twice does no harm. If
an actor dies, Ray gives its piece to a new one. If this program dies, the same command
goes on with what is missing. (Ray's own checkpoints would need a column of unique ids.)
"""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from uuid import uuid4

import click
import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from fsspec.core import url_to_fs


class Classifier:
    """What an actor is: a model, which makes parts of TARGET of pieces of SOURCE."""

    def __init__(self, source, target, threads, options):
        import torch

        from minidistil.tables.annotator import Annotator

        torch.set_num_threads(threads)  # else each actor would take all cores
        self.source, self.target = source, target
        self.annotate = Annotator("text-classification", **options)

    def __call__(self, piece):
        table = self.annotate(read(self.source, **piece))
        pq.write_table(table, sink := pa.BufferOutputStream())
        put(self.target, piece["part"], sink.getvalue().to_pybytes())
        return {"empty": table["label"].null_count}


def read(storage, path, start, stop, **_):
    """Read some rows of a file; a row group, which may be large, in small batches."""
    with pq.ParquetFile(path, filesystem=storage) as file:
        groups = range(file.num_row_groups)
        ends = [0, *accumulate(file.metadata.row_group(i).num_rows for i in groups)]
        groups = [i for i in groups if ends[i] < stop and start < ends[i + 1]]
        row, rows = ends[groups[0]], []
        for batch in file.iter_batches(1024, row_groups=groups):
            rows.append(batch[max(start - row, 0) : max(stop - row, 0)])
            if (row := row + len(batch)) >= stop:
                break
        return pa.Table.from_batches(rows, file.schema_arrow)


def put(storage, path, content):
    """Write a file whole or not at all; readers leave out names that begin with _."""
    folder, _, name = path.rpartition("/")
    storage.makedirs(f"{folder}/_unfinished", exist_ok=True)
    storage.pipe_file(unfinished := f"{folder}/_unfinished/{uuid4()}", content)
    storage.mv(unfinished, path)


def begin(storage, target, settings, restart):
    """Note what parts are made of, or refuse to go on with what is made otherwise."""
    note = f"{target}/_settings.json"
    if restart and storage.exists(note):
        storage.rm(target, recursive=True)
    if not storage.exists(note):
        put(storage, note, json.dumps(settings, indent=1).encode())
    old = json.loads(storage.cat_file(note))
    both = [(key, old.get(key), settings.get(key)) for key in {**old, **settings}]
    changes = [f"{key}: {was}, now {now}" for key, was, now in both if was != now]
    if changes:
        what = f"{target} was begun with something else (--restart begins anew):"
        raise click.ClickException("\n  ".join([what, *changes[:10]]))


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("source")
@click.argument("target")
@click.option("--column", default="text", show_default=True)
@click.option("--model", default="tiny", show_default=True)
@click.option("--precision", default="float32", show_default=True)
@click.option("--batch-size", default=16384, show_default=True, help="Rows of a piece.")
@click.option("--actors", type=int, help="[default: as many as there is room for]")
@click.option("--cpus", default=1, show_default=True, help="Cores of each actor.")
@click.option("--gpus", default=0.0, show_default=True, help="GPUs of each actor.")
@click.option("--restart", is_flag=True, help="Empty TARGET and begin anew.")
def main(source, target, batch_size, actors, cpus, gpus, restart, **options):
    """Let Ray compute the pieces that are missing."""
    (storage, source), (store, target) = url_to_fs(source), url_to_fs(target)
    settings, pieces, before = {**options, "batch_size": batch_size}, [], 0
    paths = [p for p in sorted(storage.find(source)) if "/_" not in p and "/." not in p]
    footers = ThreadPoolExecutor().map(
        lambda p: pq.read_metadata(p, filesystem=storage), paths
    )
    for path, footer in zip(paths, footers, strict=True):
        settings[path] = f"{footer.num_rows} rows, {storage.ukey(path)}"
        for start in range(0, footer.num_rows, batch_size):
            stop = min(start + batch_size, footer.num_rows)
            part = f"{target}/rows-{before + start:012}-{before + stop - 1:012}.parquet"
            pieces.append({"path": path, "start": start, "stop": stop, "part": part})
        before += footer.num_rows
    begin(store, target, settings, restart)
    sizes = {
        path: file["size"] for path, file in store.find(target, detail=True).items()
    }
    missing = [piece for piece in pieces if not sizes.get(piece["part"])]
    click.echo(f"{before:,} rows in {len(pieces):,} pieces, {len(missing):,} missing")
    if missing:
        device = "cuda" if gpus else "cpu"
        done = ray.data.from_items(missing, override_num_blocks=len(missing)).map(
            Classifier,
            fn_constructor_args=[storage, store, cpus, {**options, "device": device}],
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        empty = sum(each["empty"] for each in done.iter_rows())
        click.echo(f"{empty:,} texts were empty")
    put(store, f"{target}/_SUCCESS", b"")


if __name__ == "__main__":
    main()

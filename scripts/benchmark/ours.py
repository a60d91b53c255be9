"""minidistil's engine and pipeline, on CPUs and GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from contestant import Contestant, Place, Run, from_answers, from_rows
from workloads import Workload

if TYPE_CHECKING:
    from minidistil import Engine


def engine(precision: str) -> Contestant:
    """Our engine, on ids that lie end to end."""

    def load(folder: Path, place: Place) -> Run:
        import torch

        from minidistil import Engine

        torch.set_num_threads(place.threads)
        return on_ids(
            Engine.from_pretrained(folder, precision=precision, device=place.device)
        )

    return Contestant("minidistil engine", precision, load, from_rows)


def on_ids(engine: Engine) -> Run:
    """Give flat ids to an engine, in the order in which texts arrive; it sorts them."""
    import torch

    from minidistil.engine.sequences import Sequences

    def run(work: Workload, _: int) -> Any:
        return engine.start(Sequences(*map(torch.from_numpy, work.flat)))()

    return run


def pipeline(precision: str) -> Contestant:
    """Our pipeline, on texts as they arrive."""

    def load(folder: Path, place: Place) -> Run:
        import torch

        from minidistil import pipeline

        torch.set_num_threads(place.threads)
        classify = pipeline(
            "text-classification",
            model=folder,
            precision=precision,
            device=place.device,
            truncation="head",
        )
        return lambda work, _: classify(work.texts)

    return Contestant("minidistil pipeline", precision, load, from_answers)

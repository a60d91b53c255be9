"""transformers: its model and its pipeline, on CPUs and GPUs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from contestant import Contestant, Place, Run, from_answers, from_batches
from workloads import Workload

NEEDS = ("transformers",)


def model(precision: str, sizes: tuple[int, ...], **options: Any) -> Contestant:
    """The model, with the attention that it chooses itself, on sorted batches.

    Args:
        precision: The type of its weights; on a CPU, half of it is autocast's.
        sizes: Positions in a batch, padding counted.
        options: Of `torch.compile`, if it is to be compiled.
    """

    def load(folder: Path, place: Place) -> Run:
        import torch
        from transformers import AutoModelForSequenceClassification

        torch.set_num_threads(place.threads)
        dtype = getattr(torch, precision)
        # What its users turn on where they have no GPU.
        cast = not place.is_gpu and dtype != torch.float32
        found = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32 if cast else dtype
        )
        found = found.eval().to(place.device)
        if options:
            found = torch.compile(found, **options)
        run = partial(_run, found, place.device)
        if not cast:
            return run

        def run_cast(work: Workload, size: int) -> list[Any]:
            # Around all batches: cast weights are kept until the context ends.
            with torch.autocast("cpu", dtype=dtype):
                return run(work, size)

        return run_cast

    return Contestant(
        "transformers compiled" if options else "transformers model",
        precision,
        load,
        from_batches,
        sizes,
        "tokens",
        NEEDS,
        compiles=bool(options),
    )


def _run(model: Any, device: str, work: Workload, size: int) -> list[Any]:
    import torch

    with torch.inference_mode():
        # All are sent before the first is computed, as a copy waits for what was
        # started before it; all results are fetched in the end, for the same reason.
        batches = [
            (
                torch.from_numpy(each.ids).to(device),
                torch.from_numpy(each.mask).to(device),
            )
            for each in work.batches(size)
        ]
        logits = [
            model(input_ids=ids, attention_mask=mask).logits for ids, mask in batches
        ]
        return [each.float().cpu() for each in logits]


def pipeline(precision: str, sizes: tuple[int, ...]) -> Contestant:
    """The pipeline, on texts as they arrive."""

    def load(folder: Path, place: Place) -> Run:
        import torch
        from transformers import pipeline

        torch.set_num_threads(place.threads)
        classify = pipeline(
            "text-classification",
            model=str(folder),
            dtype=getattr(torch, precision),
            device=place.device,
        )
        return lambda work, size: classify(work.texts, batch_size=size, truncation=True)

    return Contestant(
        "transformers pipeline", precision, load, from_answers, sizes, "texts", NEEDS
    )

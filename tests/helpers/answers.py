"""Answers of our pipelines beside those of transformers' pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from torch import Tensor


def reference_pipeline(
    task: str, head: str, folder: Path, limit: int | None = None, **options: Any
) -> Any:
    """Transformers' pipeline for a task, as in ``TextClassification``, on a folder.

    ``limit`` is how many tokens its tokenizer takes for the most that a text can have.
    """
    length = {} if limit is None else {"model_max_length": limit}
    return getattr(transformers, f"{task}Pipeline")(
        model=getattr(transformers, f"DistilBert{head}").from_pretrained(folder),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder, **length),
        **options,
    )


def assert_answers(
    ours: Any, theirs: Any, tolerance: float = 1e-6, *, relative: float = 0.0
) -> None:
    """Compare answers: nesting, keys, types and words exactly, numbers nearly.

    Where theirs has numpy's numbers, ours has Python's.
    """
    if isinstance(theirs, list | dict):
        assert type(ours) is type(theirs)
        if isinstance(theirs, dict):
            assert list(ours) == list(theirs)
            ours, theirs = [*ours.values()], [*theirs.values()]
        assert len(ours) == len(theirs)
        for pair in zip(ours, theirs, strict=True):
            assert_answers(*pair, tolerance, relative=relative)
    elif isinstance(theirs, Tensor):
        assert type(ours) is type(theirs)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= tolerance
    else:
        theirs = theirs.item() if hasattr(theirs, "item") else theirs
        assert type(ours) is type(theirs)
        if isinstance(theirs, float):
            theirs = pytest.approx(theirs, abs=tolerance, rel=relative)
        assert ours == theirs

"""``minidistil features``: the vectors of all tokens of each text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.cli.options import TEXTS, pipeline_command, table_options
from minidistil.cli.vectors import give_vectors


@pipeline_command(
    "Turn every token of texts into a vector.",
    inputs=(
        TEXTS,
        *table_options(
            output=", or .safetensors, with a tensor (tokens, numbers) for each text"
        ),
    ),
    default="DistilBERT, cased, as it was pretrained, 263 MB",
    tiny=True,
    # In windows, a token would have several vectors.
    truncations=("head", "head+tail", "error"),
)
def features(**options: Any) -> None:
    """Turn every token of each TEXT, or of each line or row of a file, into a vector.

    [CLS] and [SEP] have theirs too, first and last. The vectors go to a file (-o) or to
    standard output (--json).
    """
    give_vectors(
        "feature-extraction",
        "reading",
        endings=(".safetensors",),
        save=_save,
        name="vectors",
        vectors_of=lambda answer: answer[0],
        return_tensors=True,
        **options,
    )


def _save(_: Any, found: list[Any], path: Path) -> str:
    from minidistil.pipelines import save_features

    save_features(found, path)
    return f"the vectors of {sum(map(len, found))} tokens"

"""``minidistil features``: the vectors of all tokens of each text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import click

from minidistil.cli.options import output_option, pipeline_command
from minidistil.cli.output import is_standard_output, print_json, print_line
from minidistil.cli.texts import texts_or_lines
from minidistil.progress import counting_sequences


@pipeline_command(
    "Turn every token of texts into a vector.",
    output_option(
        "A .safetensors file for all texts: tensors 0, 1, ... of (tokens, numbers)."
    ),
    default="DistilBERT, cased, as it was pretrained, 263 MB",
    tiny=True,
    # In windows, a token would have several vectors.
    truncations=("head", "head+tail", "error"),
)
def features(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn every token of each TEXT, or of each line of a file, into a vector.

    [CLS] and [SEP] have theirs too, first and last. The vectors go to a file (-o) or to
    standard output (--json).
    """
    if as_json == (output is not None):
        raise click.UsageError("give --output or --json, one of them")
    given = texts_or_lines(texts, source)
    from minidistil.pipelines import check_features_file, pipeline, save_features

    if output is not None:
        check_features_file(output)  # before minutes of work
    extract = pipeline("feature-extraction", return_tensors=True, **options)
    with counting_sequences("reading"):
        if output is None:
            for text, (vectors,) in given.answered(extract):
                print_json({"text": text, "vectors": vectors.tolist()})
            return
        found = [vectors for (vectors,) in given.answers(extract)]
    save_features(found, output)
    if not is_standard_output(output):
        print_line(f"{output}: the vectors of {sum(map(len, found))} tokens")

"""``minidistil fill-mask``: words for the masks of each text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minidistil.cli.options import number, option, pipeline_command
from minidistil.cli.output import one_line
from minidistil.cli.tables import print_answers


@pipeline_command(
    "Guess the words behind [MASK].",
    number(
        "-k --top-k",
        "How many words for each mask, the best first.",
        minimum=1,
        default=5,
    ),
    option(
        "-t --target targets",
        "Score this word alone; may be given several times.",
        multiple=True,
    ),
)
def fill_mask(targets: tuple[str, ...], **options: Any) -> None:
    """Guess the words behind each [MASK] of a TEXT, or of each line or row of a file.

    A line is printed for each guess: its score, the word, and the text with it.
    """
    print_answers(
        "fill-mask",
        "filling",
        record=lambda text, answer: {"text": text, "masks": answer and _masks(answer)},
        lines=_lines,
        targets=targets or None,
        **options,
    )


def _masks(answer: list[Any]) -> list[list[dict[str, Any]]]:
    """The guesses for each mask; of one mask the pipeline gives its list alone."""
    return answer if isinstance(answer[0], list) else [answer]


def _lines(_: str, answer: list[Any]) -> Iterator[str]:
    for guesses in _masks(answer):
        for guess in guesses:
            words = f"{guess['token_str']}  {one_line(guess['sequence'])}"
            yield f"{guess['score']:.4f}  {words}"

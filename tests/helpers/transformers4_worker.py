"""Answers questions with transformers 4.57; a line of JSON in, a line of JSON out.

It runs in a process of its own, with that version in its path: see `transformers4`.
"""

from __future__ import annotations

import json
import sys
from functools import cache

import torch
import transformers


@cache
def load(folder, settings):
    assert transformers.__version__.startswith("4.57."), transformers.__version__
    return transformers.QuestionAnsweringPipeline(
        model=transformers.DistilBertForQuestionAnswering.from_pretrained(folder),
        tokenizer=transformers.DistilBertTokenizerFast.from_pretrained(
            folder, **dict(settings)
        ),
    )


def answer(folder, settings, call):
    pipe = load(folder, tuple(sorted(settings.items())))
    inputs = [call.pop("inputs")] if "inputs" in call else []
    if call.pop("by_window", False):
        return by_window(pipe, call)
    return pipe(*inputs, **call)


def by_window(pipe, call):
    """The spans that it considers in each window, none of them added up."""
    windows = []

    def keep(model_outputs, **_):
        windows.extend(model_outputs)
        return []

    options = {
        name: call[name]
        for name in ("max_answer_len", "align_to_words")
        if name in call
    }
    count = call.get("top_k", 1)
    if call.get("align_to_words", True):
        count = 2 * count + 10  # so many it takes, to be aligned
    pipe.postprocess, pipe.get_answer = keep, lambda answers, target: None
    try:
        pipe(**call)
        del pipe.postprocess
        spans = [pipe.postprocess([one], top_k=count, **options) for one in windows]
    finally:
        vars(pipe).pop("postprocess", None)
        del pipe.get_answer
    return [[some] if isinstance(some, dict) else some for some in spans]


def main():
    torch.set_num_threads(1)
    for line in sys.stdin:
        try:
            found = {"answer": answer(**json.loads(line))}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # what Rust raises is no Exception
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

"""A piece of a user's program, run with the names of transformers and with ours.

A snippet is a function whose first argument stands for the library that the user
imports the names of models and tokenizers from. What other libraries bring (`Trainer`
and collators among them) it takes from there in both runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from answers import assert_answers

import minidistil

OURS: Any = minidistil
THEIRS: Any = transformers
# Then two libraries that train draw the same numbers: only the order of the batches.
NO_DROPOUT = {
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "seq_classif_dropout": 0.0,
    "qa_dropout": 0.0,
}
HEADS = {
    "MaskedLM": {},
    "SequenceClassification": {"num_labels": 3},
    "TokenClassification": {"num_labels": 5},
    "QuestionAnswering": {},
    "MultipleChoice": {},
}


def assert_same_results(
    snippet: Callable[..., Any],
    *arguments: Any,
    tolerance: float = 1e-5,
    **options: Any,
) -> Any:
    """Run a snippet on both and compare what it returns; return transformers'."""
    results = []
    for library in (OURS, THEIRS):
        torch.manual_seed(0)
        results.append(snippet(library, *arguments, **options))
    assert_answers(*results, tolerance=tolerance, relative=tolerance)
    return results[1]


def load(library: Any, head: str, folder: Path) -> tuple[Any, Any]:
    """Load a model with that head, such as ``"MaskedLM"``, and its tokenizer."""
    model = getattr(library, f"AutoModelFor{head}" if head else "AutoModel")
    return model.from_pretrained(folder), library.AutoTokenizer.from_pretrained(folder)


def on_a_cpu(folder: Path, **options: Any) -> transformers.TrainingArguments:
    """What a `Trainer` needs to be told to train for a few steps and nothing else."""
    usual = {
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
    }
    return transformers.TrainingArguments(str(folder), **usual | options)


def losses_of(trainer: transformers.Trainer) -> list[float]:
    """The loss of each step, as `Trainer` has logged it."""
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

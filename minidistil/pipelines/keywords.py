"""What `pipeline` takes for each task beside its name and a model, for type checkers.

What the options mean, and their defaults, is said once: by the dataclass of the same
options. ``top_k`` and ``return_tensors`` are in the signatures of `pipeline` where they
decide what form the answers have.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any, TypedDict

import torch

from minidistil.pipelines.base import Pipeline
from minidistil.tokenizer import DistilBertTokenizer


class TaskKeywords(TypedDict, total=False):
    """What every task takes: how to load the model, and `TaskOptions`."""

    tokenizer: str | os.PathLike[str] | DistilBertTokenizer | None
    revision: str | None
    token: str | bool | None
    cache_dir: str | os.PathLike[str] | None
    local_files_only: bool
    precision: str | None
    dtype: torch.dtype | str | None
    device: torch.device | str | int | None
    attn_implementation: str | None
    pipeline_class: type[Pipeline[Any]] | None
    batch_size: int


class TruncationKeywords(TaskKeywords, total=False):
    """With `TruncationOptions`, all that `MultipleChoicePipeline` takes."""

    truncation: str | bool | None
    max_length: int | None


class ClassificationKeywords(TruncationKeywords, total=False):
    """With `ClassificationOptions`, without ``top_k``."""

    function_to_apply: str | None
    padding: object


class EmbeddingKeywords(TruncationKeywords, total=False):
    """With `EmbeddingOptions`."""

    pooling: str
    normalize: bool


class FillMaskKeywords(TruncationKeywords, total=False):
    """With `FillMaskOptions`."""

    top_k: int
    targets: str | Collection[str] | None


class ZeroShotKeywords(TruncationKeywords, total=False):
    """With `ZeroShotOptions`."""

    candidate_labels: str | Collection[str] | None
    hypothesis_template: str
    multi_label: bool


class QuestionKeywords(TaskKeywords, total=False):
    """With `QuestionOptions`, without ``top_k``."""

    doc_stride: int | None
    max_answer_len: int
    max_seq_len: int | None
    max_question_len: int | None
    handle_impossible_answer: bool
    align_to_words: bool
    padding: object


class TokenKeywords(TaskKeywords, total=False):
    """With `TokenOptions`."""

    aggregation_strategy: str
    ignore_labels: Collection[str]
    stride: int | None
    is_split_into_words: bool
    delimiter: str

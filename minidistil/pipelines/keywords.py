"""The names and types of the options, for type checkers.

What they mean, and their defaults, is said once: by the dataclass of the same options.
An option that decides what form the answers have is not here; it is in the signatures
of `__call__` and `pipeline` that have another return type for it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TypedDict

import torch

from minidistil.tokenizer import DistilBertTokenizer


class TaskKeywords(TypedDict, total=False):
    """Of `TaskOptions`."""

    batch_size: int


class TruncationKeywords(TaskKeywords, total=False):
    """Of `TruncationOptions`, all that `MultipleChoicePipeline` takes."""

    truncation: str | bool | None
    max_length: int | None


class ClassificationKeywords(TruncationKeywords, total=False):
    """Of `ClassificationOptions`, without ``top_k``."""

    function_to_apply: str | None
    padding: object


class EmbeddingKeywords(TruncationKeywords, total=False):
    """Of `EmbeddingOptions`."""

    pooling: str
    normalize: bool


class FillMaskKeywords(TruncationKeywords, total=False):
    """Of `FillMaskOptions`."""

    top_k: int
    targets: str | Collection[str] | None


class ZeroShotKeywords(TruncationKeywords, total=False):
    """Of `ZeroShotOptions`, without ``candidate_labels``."""

    hypothesis_template: str
    multi_label: bool


class QuestionKeywords(TaskKeywords, total=False):
    """Of `QuestionOptions`, without ``top_k``."""

    doc_stride: int | None
    max_answer_len: int
    max_seq_len: int | None
    max_question_len: int | None
    handle_impossible_answer: bool
    align_to_words: bool
    padding: object


class TokenKeywords(TaskKeywords, total=False):
    """Of `TokenOptions`."""

    aggregation_strategy: str
    ignore_labels: Collection[str]
    stride: int | None
    is_split_into_words: bool
    delimiter: str


class Loading(TypedDict, total=False):
    """What `pipeline` takes beside a task, a model and options."""

    tokenizer: str | os.PathLike[str] | DistilBertTokenizer | None
    revision: str | None
    token: str | bool | None
    cache_dir: str | os.PathLike[str] | None
    local_files_only: bool
    precision: str | None
    dtype: torch.dtype | str | None
    device: torch.device | str | int | None
    attn_implementation: str | None


class TruncationLoading(TruncationKeywords, Loading, total=False):
    """Both."""


class ClassificationLoading(ClassificationKeywords, Loading, total=False):
    """Both."""


class EmbeddingLoading(EmbeddingKeywords, Loading, total=False):
    """Both."""


class FillMaskLoading(FillMaskKeywords, Loading, total=False):
    """Both."""


class ZeroShotLoading(ZeroShotKeywords, Loading, total=False):
    """Both."""

    candidate_labels: str | Collection[str] | None


class QuestionLoading(QuestionKeywords, Loading, total=False):
    """Both."""


class TokenLoading(TokenKeywords, Loading, total=False):
    """Both."""

"""The tasks by name, and the call that makes a pipeline for one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

import torch

from minidistil.auto import identify
from minidistil.checkpoint.companions import MODULES_FILE
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import CheckpointError
from minidistil.messages import quote
from minidistil.pipelines.answers import ClassificationAnswer, QuestionAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.computing import described, kind_of as model_kind
from minidistil.pipelines.feature_extraction import FeatureExtractionPipeline
from minidistil.pipelines.fill_mask import FillMaskPipeline
from minidistil.pipelines.foreign import FOREIGN_NAMES, for_loading, translated
from minidistil.pipelines.loading import (
    Model,
    check_request,
    load_model,
    load_tokenizer,
)
from minidistil.pipelines.multiple_choice import MultipleChoicePipeline
from minidistil.pipelines.question_answering import QuestionAnsweringPipeline
from minidistil.pipelines.sentence_embeddings import SentenceEmbeddingsPipeline
from minidistil.pipelines.text_classification import TextClassificationPipeline
from minidistil.pipelines.token_classification import TokenClassificationPipeline
from minidistil.pipelines.zero_shot import ZeroShotClassificationPipeline
from minidistil.tokenizer import DistilBertTokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from minidistil.pipelines.keywords import (
        ClassificationKeywords,
        EmbeddingKeywords,
        FillMaskKeywords,
        QuestionKeywords,
        TokenKeywords,
        TruncationKeywords,
        ZeroShotKeywords,
    )

Source = Model | None
# The type of a task's name, for one in a variable.
Task = Literal[
    "feature-extraction",
    "fill-mask",
    "multiple-choice",
    "question-answering",
    "sentence-embeddings",
    "sentiment-analysis",
    "text-classification",
    "token-classification",
    "ner",
    "zero-shot-classification",
]
TASKS: dict[str, type[Pipeline[Any]]] = {
    "feature-extraction": FeatureExtractionPipeline,
    "fill-mask": FillMaskPipeline,
    "multiple-choice": MultipleChoicePipeline,
    "question-answering": QuestionAnsweringPipeline,
    "sentence-embeddings": SentenceEmbeddingsPipeline,
    "sentiment-analysis": TextClassificationPipeline,
    "text-classification": TextClassificationPipeline,
    "token-classification": TokenClassificationPipeline,
    "ner": TokenClassificationPipeline,
    "zero-shot-classification": ZeroShotClassificationPipeline,
}
# What says where a model is loaded from, and how.
LOADING = (
    *("revision", "token", "cache_dir", "local_files_only"),
    *("dtype", "device", "attn_implementation"),
)
# What a model of each class is for, where no task is named: its first task above.
TASK_OF: dict[type[PreTrainedModel], str] = {
    made.kind: made.task for made in reversed(TASKS.values())
}


@overload
def pipeline(
    task: None = None, model: Source = None, **options: Any
) -> Pipeline[Any]: ...
@overload
def pipeline(
    task: Literal["feature-extraction"],
    model: Source = None,
    **options: Unpack[TruncationKeywords],
) -> FeatureExtractionPipeline[list[list[list[float]]]]: ...
@overload
def pipeline(
    task: Literal["feature-extraction"],
    model: Source = None,
    *,
    return_tensors: bool | str,
    **options: Unpack[TruncationKeywords],
) -> FeatureExtractionPipeline[Any]: ...
@overload
def pipeline(
    task: Literal["fill-mask"],
    model: Source = None,
    **options: Unpack[FillMaskKeywords],
) -> FillMaskPipeline: ...
@overload
def pipeline(
    task: Literal["multiple-choice"],
    model: Source = None,
    **options: Unpack[TruncationKeywords],
) -> MultipleChoicePipeline: ...
@overload
def pipeline(
    task: Literal["question-answering"],
    model: Source = None,
    **options: Unpack[QuestionKeywords],
) -> QuestionAnsweringPipeline[QuestionAnswer]: ...
@overload
def pipeline(
    task: Literal["question-answering"],
    model: Source = None,
    *,
    top_k: int,
    **options: Unpack[QuestionKeywords],
) -> QuestionAnsweringPipeline[Any]: ...
@overload
def pipeline(
    task: Literal["sentence-embeddings"],
    model: Source = None,
    **options: Unpack[EmbeddingKeywords],
) -> SentenceEmbeddingsPipeline: ...
@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"],
    model: Source = None,
    **options: Unpack[ClassificationKeywords],
) -> TextClassificationPipeline[ClassificationAnswer]: ...
@overload
def pipeline(
    task: Literal["text-classification", "sentiment-analysis"],
    model: Source = None,
    *,
    top_k: int | None,
    **options: Unpack[ClassificationKeywords],
) -> TextClassificationPipeline[list[ClassificationAnswer]]: ...
@overload
def pipeline(
    task: Literal["token-classification", "ner"],
    model: Source = None,
    **options: Unpack[TokenKeywords],
) -> TokenClassificationPipeline: ...
@overload
def pipeline(
    task: Literal["zero-shot-classification"],
    model: Source = None,
    **options: Unpack[ZeroShotKeywords],
) -> ZeroShotClassificationPipeline: ...
def pipeline(
    task: str | None = None,
    model: Source = None,
    *,
    tokenizer: str | os.PathLike[str] | DistilBertTokenizer | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    precision: str | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | int | None = None,
    attn_implementation: str | None = None,
    pipeline_class: type[Pipeline[Any]] | None = None,
    **options: Any,
) -> Pipeline[Any]:
    """Make a pipeline for a task: ``pipeline("sentiment-analysis", model="tiny")``.

    Args:
        task: One of `TASKS`; "sentiment-analysis" is another name for
            "text-classification", "ner" for "token-classification". By default what
            the model is for; without a model "text-classification".
        model: ``"tiny"``, a folder, a hub repository, or a model or an engine that is
            loaded already; a model may be inside of what peft, ``torch.compile`` or a
            library for training has put around it. By default what the task has as
            ``default``, if any.
        tokenizer: The same; by default the model's.
        revision: With the next three, for hub repositories: see `from_pretrained`.
        token: The hub token.
        cache_dir: The hub cache.
        local_files_only: Never use the network.
        precision: "float32", "bfloat16", "float16" (GPUs only) or "int8" (CPUs): what
            an engine computes in, see `minidistil.engine`. By default "float32"; but a
            loaded model runs itself unless a precision is asked for, and then a copy
            of it is packed.
        dtype: Run the model itself, with weights of this type, without an engine.
        device: Where the model goes: "cuda", "cuda:1", "mps" …; a number counts GPUs,
            -1 is the CPU, "auto" the fastest device that there is.
        attn_implementation: Run the model itself, with ``"sdpa"`` or ``"eager"``.
        pipeline_class: A subclass of the task's pipeline, to be made in its place.
        options: Any of the task's options: ``top_k``, ``truncation``, …; and what
            transformers takes here: ``torch_dtype``, ``device_map`` (of one device)
            and ``model_kwargs``, which say the same under other names, and those that
            make no difference, such as ``framework="pt"`` or ``use_fast``.

    Without ``dtype`` and ``attn_implementation`` the files are mapped: they must not be
    changed in place while the pipeline is used.

    Raises:
        ValueError: for an unknown task, a task without a model, a loaded model without
            a tokenizer, a device that this machine does not have, or a precision for
            what has one already.
        TypeError: for an unknown option.
        CheckpointError: for a checkpoint without the task's head; it says which task
            the checkpoint is for.
    """
    where: dict[str, Any] = {
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    how: dict[str, Any] = {
        "dtype": dtype,
        "device": device,
        "attn_implementation": attn_implementation,
    }
    options, asked = for_loading(options, where | how)
    where, how = ({name: asked[name] for name in some} for some in (where, how))
    if model is not None and not isinstance(model, str | os.PathLike):
        described(model)
    check_request(model, precision, how["dtype"], how["attn_implementation"])
    if task is None and pipeline_class is not None:
        task = pipeline_class.task
    if task is None:
        task = "text-classification" if model is None else _task_of(model, where)
    if task not in TASKS:
        raise ValueError(f"task is {task!r}, expected one of {', '.join(TASKS)}")
    made = _checked(pipeline_class) or TASKS[task]
    # A mistake shows before anything is loaded.
    _check_own(made, options)
    if model is None:
        if made.default is None:
            raise ValueError(f"there is no default model for {task!r}: give model=")
        model, default_revision = made.default
        where["revision"] = where["revision"] or default_revision
    # First, for it is small: what is wrong with it shows at once.
    loaded = load_tokenizer(tokenizer, model, where)
    if isinstance(model, str | os.PathLike):
        own = made.checkpoint_options(options, loaded, source=model, **where)
        options = own | options
    try:
        computing = load_model(model, made.kind, where, precision=precision, **how)
    except CheckpointError as error:
        meant = _task_of(model, where)
        if TASKS[meant].kind is made.kind:
            raise
        raise CheckpointError(
            f"{error}\nA pipeline takes no new head. This checkpoint is for "
            f"pipeline({meant!r})."
        ) from error
    return made(computing, loaded, **options)


def check_options(task: str, options: Mapping[str, Any]) -> None:
    """Check what `pipeline` takes by name, for who will call it later.

    Raises:
        TypeError, ValueError: for what it would refuse before it loads anything.
    """
    given = {name: options.get(name) for name in inspect.signature(pipeline).parameters}
    precision, dtype = given["precision"], given["dtype"]
    check_request(None, precision, dtype, given["attn_implementation"])
    own = {name: value for name, value in options.items() if name not in given}
    own, _ = for_loading(own, {name: given[name] for name in LOADING})
    _check_own(_checked(given["pipeline_class"]) or TASKS[task], own)


def _check_own(made: type[Pipeline[Any]], options: Mapping[str, Any]) -> None:
    """Check the options of a task itself."""
    names = translated(options, made.options_class.names())
    known = [*inspect.signature(pipeline).parameters, *FOREIGN_NAMES]
    made.options_class.check_names(names, *known)
    made.options_class().changed(options)


def _checked(made: object) -> type[Pipeline[Any]] | None:
    """The caller's own class of pipelines, if there is one."""
    if made is None or (isinstance(made, type) and issubclass(made, Pipeline)):
        return made
    raise TypeError(
        f"pipeline_class is {quote(made)}, expected a subclass of a pipeline of "
        f"minidistil, such as TextClassificationPipeline"
    )


def _task_of(model: Model, where: dict[str, Any]) -> str:
    """The task that a model is for."""
    found = None
    if isinstance(model, str | os.PathLike):
        found = identify(model, **where)
        kind = found.kind
    else:
        kind = model_kind(model)
    task = next((TASK_OF[each] for each in TASK_OF if issubclass(kind, each)), None)
    if task is None:
        raise TypeError(f"got a {kind.__name__}, which no task is for: give task=")
    if task == "feature-extraction" and found and found.files.find(MODULES_FILE):
        return "sentence-embeddings"  # sentence-transformers has written it
    return task

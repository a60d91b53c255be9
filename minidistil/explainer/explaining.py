"""One text through the model, with nothing hidden: `explain`, and what it returns."""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, overload

import torch

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.explainer import ablation, attribution, page
from minidistil.explainer.lens import lens as logit_lens
from minidistil.explainer.loaded_model import NOT_SHOWN, LoadedModel, load, take
from minidistil.explainer.reading import Token, read, tokens_in
from minidistil.explainer.recorder import Recording
from minidistil.explainer.trace import ClassifierTrace, MaskedLMTrace, Record
from minidistil.files import write_file
from minidistil.heads import DistilBertForMaskedLM, DistilBertForSequenceClassification
from minidistil.messages import check_flag, quote, unknown_keyword
from minidistil.pipelines import Pipeline
from minidistil.pipelines.base import max_tokens
from minidistil.pipelines.reading import is_many, items_of
from minidistil.tokenizer import DistilBertTokenizer

Texts = list[str] | tuple[str, ...]
Model = str | os.PathLike[str] | PreTrainedModel | Pipeline[Any]


class Shown:
    """What can be shown as a page."""

    @abstractmethod
    def shown(self) -> tuple[Trace, ...]:
        """The traces on the page."""

    def to_html(self, *, patient: bool = False, progress: bool = False) -> str:
        """The page: one HTML document that needs no network; the same every time.

        It makes no request, and its policy lets the browser run its one script only.

        Args:
            patient: Compute attributions and ablations however long that takes; by
                default a page that would take minutes leaves them out, and says so.
            progress: Show a progress bar of these on the terminal.

        Raises:
            ValueError: for no trace.
        """
        return page.html(self.shown(), patient=patient, progress=progress)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        patient: bool = False,
        progress: bool = False,
    ) -> Path:
        """Write the page to a file, whole or not at all, and return its path.

        See `to_html`. The file that a symbolic link leads to is replaced, not the link;
        a pipe or a device gets the page when it is complete.

        Raises:
            ValueError: for no trace.
            OSError: where the file cannot be written.
        """
        document = self.to_html(patient=patient, progress=progress)
        write_file(Path(path), document.encode("utf-8"))
        return Path(path)

    def _repr_html_(self) -> str:
        """The page in a frame, which keeps its styles and keys apart from a notebook's.

        A notebook calls this.
        """
        document = escape(self.to_html(), quote=True)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{document}" title="minidistil" '
            f'style="width: 100%; height: 50rem; border: 0"></iframe>'
        )


class Trace(Record, Shown):
    """Everything that one text was on its way through the model: see `Record`.

    In a notebook it shows itself as the page that `save` writes.
    """

    def shown(self) -> tuple[Trace, ...]:
        """Itself alone."""
        return (self,)

    # The functions take a trace first: here they are its methods.
    attribute = attribution.attribute
    lens = logit_lens
    ablate = ablation.ablate
    ablations = ablation.ablations


class Traces(tuple[Trace, ...], Shown):
    """Several traces, to be compared side by side; shown as one page."""

    def __repr__(self) -> str:
        return f"Traces({len(self)} texts, {[trace.label for trace in self[:10]]})"

    def shown(self) -> tuple[Trace, ...]:
        """All of them."""
        return self


@overload
def explain(
    text: str,
    model: Model | None = None,
    *,
    text_pair: str | None = None,
    padding: bool = False,
    tokenizer: DistilBertTokenizer | None = None,
    **where: Any,
) -> Trace: ...
@overload
def explain(
    text: Texts,
    model: Model | None = None,
    *,
    text_pair: Texts | None = None,
    padding: bool = False,
    tokenizer: DistilBertTokenizer | None = None,
    **where: Any,
) -> Traces: ...
def explain(
    text: str | Texts,
    model: Model | None = None,
    *,
    text_pair: str | Texts | None = None,
    padding: bool = False,
    tokenizer: DistilBertTokenizer | None = None,
    **where: Any,
) -> Trace | Traces:
    """Run the readable model once and keep every number on the way to the label.

    >>> trace = explain("I hate this so much!", "tiny")
    >>> trace.label, [token.text for token in trace.tokens[:3]]
    ('NEGATIVE', ['[CLS]', 'i', 'hate'])
    >>> trace.layer[0].weights.shape  # heads, queries, keys
    torch.Size([8, 8, 8])
    >>> [each.label for each in explain(["Not bad", "I hate this!"], "tiny")]
    ['POSITIVE', 'NEGATIVE']

    Args:
        text: A text, or a list of texts to see side by side. A text that is too long is
            truncated; a warning, and `Reading.left_out`, say by how many tokens.
        model: ``"tiny"``, a folder or a hub repository, with any head; or a model that
            is loaded, with its ``tokenizer``; or a pipeline that was made of such a
            model, not of an engine. By default the course's.
        text_pair: The second text, where a model reads pairs (a question's context);
            for a list of texts a list, one for each.
        padding: Run a list of texts as one batch, padded to one length, with a mask
            that hides the padding; by default they run one by one.
        tokenizer: That of a loaded model; a pipeline has its own.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``: for hub
            repositories, see `from_pretrained`.

    Returns:
        A `Trace` for a text, `Traces` for a list of texts.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`.
        TypeError: for a text that is not a string, or a model that cannot be watched:
            an engine, or one with layers or hooks that the steps would not show.
        ValueError: for an empty list, or not as many second texts as texts; for a
            loaded model without its tokenizer or in training mode; for an argument
            that goes with the other kind of model: ``tokenizer`` with a name,
            ``where`` with a loaded one.
    """
    if isinstance(text, str):
        texts: list[Any] = [text]
        pairs: list[Any] | None = None if text_pair is None else [text_pair]
    else:
        texts = _as_list("text", text, "a string or a list of strings")
        pairs = None if text_pair is None else _as_list("text_pair", text_pair)
    _check_texts(texts, pairs)
    # numpy has strings of its own.
    texts, pairs = [*map(str, texts)], None if pairs is None else [*map(str, pairs)]
    loaded = _load(model, tokenizer, where)
    if check_flag("padding", padding):
        traces = _run(loaded, texts, pairs)
    else:
        traces = [
            trace
            for i, each in enumerate(texts)
            for trace in _run(loaded, [each], pairs and [pairs[i]])
        ]
    _warn_of_truncation(traces, _limit(loaded))
    return traces[0] if isinstance(text, str) else Traces(traces)


def _warn_of_truncation(traces: list[Trace], limit: int) -> None:
    """Warn of all texts that the model does not read to their end: once."""
    readings = [reading for trace in traces for reading in trace.readings]
    cut = [reading for reading in readings if reading.left_out]
    if not cut:
        return
    are = "is" if len(cut) == 1 else "are"
    which = [
        f"{each.left_out} tokens of the text {each.raw[:60]!r} are left out"
        for each in cut[:3]
    ]
    warnings.warn(
        f"{len(cut)} of {len(readings)} texts {are} truncated, as {limit} tokens fit "
        f"into the model: {', '.join(which)}{', …' if len(cut) > 3 else ''}",
        stacklevel=1,
    )


def _limit(loaded: LoadedModel) -> int:
    """The tokens that the model can read at once."""
    return max_tokens(loaded.model.config, loaded.tokenizer)


def compare(
    texts: Iterable[str],
    model: Model | None = None,
    *,
    text_pairs: Iterable[str] | None = None,
    **options: Any,
) -> Traces:
    """Explain several texts, to be seen side by side: `explain` with a list.

    >>> [trace.label for trace in compare(["Not bad", "I hate this!"], "tiny")]
    ['POSITIVE', 'NEGATIVE']

    Args:
        texts: One or more.
        model: As in `explain`.
        text_pairs: The second texts; as many as texts.
        options: ``padding``, ``tokenizer`` and the others of `explain`.

    Raises:
        As `explain`.
    """
    pairs = None if text_pairs is None else _as_list("text_pairs", text_pairs)
    return explain(_as_list("texts", texts), model, text_pair=pairs, **options)


def _as_list(
    name: str, texts: object, expected: str = "a list of strings"
) -> list[Any]:
    if not is_many(texts):
        raise TypeError(f"{name} is {quote(texts)}, expected {expected}")
    return list(items_of(texts))


def _check_texts(texts: list[Any], pairs: list[Any] | None) -> None:
    if not texts:
        raise ValueError("there is no text, expected one or more")
    for text in (*texts, *(pairs or ())):
        if not isinstance(text, str):
            raise TypeError(
                f"a text is {quote(text)} ({type(text).__name__}), expected a string"
            )
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(
            f"the number of second texts is wrong: got {len(pairs)} for {len(texts)}, "
            f"expected one for each"
        )


def _load(
    model: Model | None, tokenizer: DistilBertTokenizer | None, where: dict[str, Any]
) -> LoadedModel:
    known = ("revision", "token", "cache_dir", "local_files_only")
    if unknown := where.keys() - known:
        raise unknown_keyword(unknown, known, "explain")
    if model is None or isinstance(model, str | os.PathLike):
        if tokenizer is not None:
            raise ValueError(
                "a checkpoint has its own tokenizer: leave out tokenizer=, or give the "
                "loaded model with it"
            )
        return load(model, **where)
    if where:
        raise ValueError(
            f"{', '.join(where)} is for the name of a checkpoint, and this model is "
            f"loaded: leave it out"
        )
    return take(model, tokenizer)


def _run(loaded: LoadedModel, texts: list[str], pairs: list[str] | None) -> list[Trace]:
    """Trace some texts as one batch."""
    encoded = loaded.tokenizer(
        texts,
        pairs,
        truncation=True,
        max_length=_limit(loaded),
        padding=True,
        padding_side="right",  # the head of a classifier reads the first token
        return_offsets_mapping=True,
    )
    # Some of the heads that are not shown do not take one text.
    watched = loaded.model.encoder if type(loaded.model) in NOT_SHOWN else loaded.model
    ids, mask = (
        torch.tensor(encoded[name], device=loaded.model.device)
        for name in ("input_ids", "attention_mask")
    )
    recording = Recording(watched, ids, mask)
    traces = []
    for row, text in enumerate(texts):
        tokens = tokens_in(encoded, row)
        # An empty second text counts as none, to the tokenizer too.
        both = [text, pairs[row]] if pairs and pairs[row] else [text]
        readings = (
            read(loaded.tokenizer, each, sum(token.reading == i for token in tokens))
            for i, each in enumerate(both)
        )
        blocks = (recording.block(i, row) for i in range(loaded.model.config.n_layers))
        trace = Trace(
            tuple(readings),
            tokens,
            recording.embeddings(row),
            tuple(blocks),
            *_head(loaded, recording, row, tokens),
            loaded,
        )
        traces.append(trace)
    return traces


def _head(
    loaded: LoadedModel, recording: Recording, row: int, tokens: tuple[Token, ...]
) -> tuple[ClassifierTrace | MaskedLMTrace | None, str]:
    """What the head computed, or why that is not shown."""
    if isinstance(loaded.model, DistilBertForSequenceClassification):
        return recording.classifier(row), ""
    if not isinstance(loaded.model, DistilBertForMaskedLM):
        return None, NOT_SHOWN[type(loaded.model)]
    mask = loaded.tokenizer.mask_token_id
    masks = tuple(i for i, token in enumerate(tokens) if token.id == mask)
    if masks:
        return recording.masked_lm(row, masks), ""
    written = loaded.tokenizer.mask_token
    return None, f"there is no {written} among the tokens read, so no word is predicted"

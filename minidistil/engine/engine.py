"""`Engine`: the model's results, several times sooner."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, overload

import torch
from torch import Tensor

from minidistil.auto import identify
from minidistil.checkpoint.pretrained import PreTrainedModel, usable_device
from minidistil.checkpoint.tensors import all_finite
from minidistil.checkpoint.wrappers import expected_model, unwrapped, what_it_is
from minidistil.engine.as_model import check_arguments, model_itself, padded_batch
from minidistil.engine.batches import Batch, batches, check_sequences, to_integers
from minidistil.engine.encoder import (
    ALL_ROWS,
    FastEncoder,
    WantedRows,
    require_plain_layer,
)
from minidistil.engine.heads import HEADS
from minidistil.engine.operators import FLOAT32, without_autocast
from minidistil.engine.precision import check_precision, has_packed_form, plan
from minidistil.messages import check_integer
from minidistil.outputs import ModelOutput
from minidistil.progress import sequences_read

_NOTHING = nullcontext()


class Engine:
    """A model packed for speed: token ids in, logits out.

    What each kind of model returns for a sequence of T ids, all of it float32:

    - sequence classification: logits, (C,)
    - multiple choice: the score of one choice, (1,)
    - token classification: logits, (T, C)
    - question answering: logits of a start and of an end, (T, 2)
    - masked language modelling: logits, (T, V), which is 62 MB for 512 tokens
    - the bare encoder: hidden states, (T, D)

    Of the last four, ``positions`` chooses the tokens that are wanted, and the last
    block and the head are not computed for the others.

    An engine is a copy: later changes to the model, or to its configuration, do not
    change it. Nothing in it changes, so that threads can share it. It can be copied and
    pickled: the weights then go as plain tensors, once, and are packed again where they
    arrive.

    Attributes:
        config: A copy of the model's.
        kind: The model's class.
        precision: What it computes in.
        kernels: "onednn", or "torch" where that is missing or slower.
        device: Where it computes.
        dtype: The type of its results, float32.
        training: False: it only infers.
    """

    dtype = torch.float32
    training = False

    def __init__(
        self,
        model: PreTrainedModel,
        precision: str = "float32",
        *,
        kernels: str | None = None,
        token_budget: int | None = None,
        release: bool = False,
    ) -> None:
        """Pack a model's weights.

        Args:
            model: A `DistilBertModel` or one of the five heads, on any device.
            precision: "float32" (within 1e-5 of the model, in proportion where numbers
                are above 1), "bfloat16", or "int8" (weights of 8 bits, with a scale for
                each output channel).
            kernels: "onednn" or "torch"; by default the faster one, which is measured.
            token_budget: The tokens that go through together; more take more memory. By
                default 1,024, and in int8 512.
            release: Empty the model while its weights are packed, so that they are not
                in memory twice. The model cannot be used afterwards.

        Raises:
            TypeError: for a model of another class, or one that holds layers, hooks or
                activations which are not DistilBERT's own.
            ValueError: for a precision, kernels or token_budget that do not exist, or
                weights that are not finite.
        """
        if type(model) not in HEADS:
            raise TypeError(f"got {what_it_is(model)}, {_expected(model)}")
        if token_budget is not None:
            token_budget = check_integer("token_budget", token_budget, minimum=1)
        for module in model.modules():
            require_plain_layer(module, type(module))  # hooks may be on any of them
        self.config = copy.deepcopy(model.settled_config)
        self.kind = type(model)
        self.device = model.device
        self.precision = precision
        chosen = plan(precision, kernels, self.device, self.config.activation)
        self.kernels = chosen.kernels
        self._budget = chosen.tokens if token_budget is None else token_budget
        self._pad = self.config.pad_token_id or 0
        if not release:
            # Some weights are kept as they are, and the model may be changed later.
            model = copy.deepcopy(model)
        with without_autocast():
            self._encoder = FastEncoder(model.encoder, chosen)
            embeddings = self._encoder.embeddings
            self._head = HEADS[type(model)](model, chosen.head, embeddings)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        kind: type[PreTrainedModel] | None = None,
        precision: str = "float32",
        *,
        kernels: str | None = None,
        token_budget: int | None = None,
        device: torch.device | str | int | None = None,
        **where: Any,
    ) -> Engine:
        """Pack a checkpoint's weights straight from its mapped files.

        Each matrix is in memory once, packed; of the word embeddings, only the pages
        with words in use (masked language modelling reads them all). The files must not
        be changed in place while the engine is used; to replace them is safe.

        Args:
            source: ``"tiny"``, a folder, or a hub repository.
            kind: The class of the model, such as `DistilBertForSequenceClassification`;
                by default the one that the checkpoint is for.
            precision: With the next two, see `Engine`.
            kernels: See `Engine`.
            token_budget: See `Engine`.
            device: Where to compute; the CPU unless asked.
            where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``: see
                `PreTrainedModel.from_pretrained`.
        """
        check_precision(precision)
        if kind is None:
            found = identify(source, **where)
            # The same commit: a branch may move on before the next file is read.
            kind, where["revision"] = found.kind, found.files.revision
        return cls(
            kind.mapped(source, **where).to(usable_device(device)),
            precision,
            kernels=kernels,
            token_budget=token_budget,
            release=True,
        )

    @overload
    def __call__(
        self,
        sequences: Sequence[Sequence[int]] | Tensor,
        positions: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]: ...
    @overload
    def __call__(
        self,
        *,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: object = None,
        **more: object,
    ) -> ModelOutput: ...
    def __call__(
        self,
        sequences: Any = None,
        positions: Any = None,
        *,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: object = None,
        **more: object,
    ) -> list[Tensor] | ModelOutput:
        """Compute what the class describes, for sequences of any lengths.

        Args:
            sequences: The token ids of each, [CLS] and [SEP] included, unpadded.
            positions: For models that read every token: the tokens to read, for each
                sequence, such as those of [MASK].
            input_ids: In place of ``sequences``, what the model takes: (B, T), or of
                multiple choice (B, C, T).
            attention_mask: With ``input_ids``: 0 at padding, which must be at the end
                of a row.
            token_type_ids: Accepted and ignored: DistilBERT has no token types.
            more: Other arguments of the model, which are an error if they ask for
                something.

        Returns:
            A tensor for each sequence, in their order. With ``positions`` it has a row
            for each of them in place of T.
            Of ``input_ids`` what the model returns. Of a token that is padding, a
            result for every token is 0, or the logit of a start or end so low that no
            answer is there.

        Raises:
            TypeError, ValueError, IndexError: for ids or positions that do not fit.
            ValueError: if a result is not finite: the weights are damaged, or too
                large for the precision.
        """
        check_arguments(more, self.kind)
        masked = isinstance(positions, Tensor) or attention_mask is not None
        if isinstance(sequences, Tensor) and masked and input_ids is None:
            # By position, as models are called: ids, and a mask.
            mask = positions if attention_mask is None else attention_mask
            return self(input_ids=sequences, attention_mask=mask)
        if isinstance(sequences, Mapping):
            raise TypeError(
                f"got {type(sequences).__name__}, expected a list of sequences; what "
                "a tokenizer returns is given as engine(**encoding)"
            )
        if input_ids is not None:
            if sequences is not None or positions is not None:
                raise TypeError(
                    "give sequences (and positions), or input_ids= (and "
                    "attention_mask=) as the model takes them, one of the two"
                )
            return padded_batch(
                *(lambda rows: self._compute(rows, None), self.kind, self.config),
                *(self._head.width, input_ids, attention_mask),
            )
        if attention_mask is not None:
            raise TypeError(
                "sequences have no padding to be hidden: give input_ids= with "
                "attention_mask="
            )
        lists = check_sequences(sequences, self.config)
        return self._compute(lists, self._wanted_positions(lists, positions))

    def _compute(
        self, lists: list[list[int]], wanted: list[list[int]] | None
    ) -> list[Tensor]:
        """Compute sequences and positions that are checked."""
        results: list[Tensor] = [torch.empty(0, **FLOAT32)] * len(lists)
        for batch in batches(lists, self._budget, self._pad):
            with torch.inference_mode(), self._without_autocast():
                logits = self._run(batch, wanted)
            if self._head.reads_all:
                rows = lists if wanted is None else wanted
                counts = [len(rows[place]) for place in batch.places]
                parts = torch.split(logits[: sum(counts)], counts)
            else:
                parts = logits.unbind()
            for place, part in zip(batch.places, parts, strict=True):
                # A copy, outside of inference mode: the caller may write into it.
                results[place] = part.clone()
            sequences_read(len(batch.places))
        return results

    # What is asked of a model, and costs nothing

    def eval(self) -> Engine:
        """Itself: it only infers."""
        return self

    def to(self, device: torch.device | str | int) -> Engine:
        """Itself, on its own device.

        Raises:
            ValueError: for another one.
        """
        check_device(usable_device(device), None, self)
        return self

    def __getattr__(self, name: str) -> Any:
        # Only for what is not there. While it is copied, nothing is yet.
        kind = vars(self).get("kind", PreTrainedModel)
        text = f"an Engine has no {name!r}"
        if hasattr(kind, name) and not name.startswith("__"):
            text += f", as its weights are packed: {model_itself(kind)}"
        raise AttributeError(text)

    def __copy__(self) -> Engine:
        # Nothing that is packed ever changes: copies can share it.
        found = type(self).__new__(type(self))
        vars(found).update(vars(self), config=copy.deepcopy(self.config))
        return found

    def __deepcopy__(self, memo: object) -> Engine:
        return self.__copy__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # Made on another machine, perhaps: its layers are where, and what, they can be.
        self.device = self._encoder.embeddings.positions.device
        if not has_packed_form(self.precision, self.device):
            self.kernels = "torch"

    def _without_autocast(self) -> AbstractContextManager[object]:
        """The engine's precision decides the types, not an autocast around a call."""
        try:
            autocast = torch.is_autocast_enabled(self.device.type)
        except RuntimeError:  # a device that has no autocast
            autocast = False
        # To make a context of torch's takes time, and most calls need none.
        return torch.autocast(self.device.type, enabled=False) if autocast else _NOTHING

    def _run(self, batch: Batch, wanted: list[list[int]] | None) -> Tensor:
        """The logits (R, width) of a batch, on the CPU."""
        rows = self._wanted_rows(batch, wanted)
        if rows.rows is not None and len(rows.rows) == 0:
            return torch.empty(0, self._head.width, **FLOAT32)
        logits = self._head.logits(self._encoder(batch.to(self.device), rows))
        if not all_finite(logits):
            raise ValueError(
                "the engine's results are NaN or infinite: the model's weights are "
                "damaged, or too large for its precision; look at what the model "
                "itself returns"
            )
        return logits.cpu()

    def _wanted_rows(self, batch: Batch, wanted: list[list[int]] | None) -> WantedRows:
        """The rows of a batch that its sequences want."""
        if not self._head.reads_all:
            return WantedRows(torch.tensor(batch.starts, device=self.device), 1)
        if wanted is None:
            return ALL_ROWS
        chosen = [wanted[place] for place in batch.places]
        rows = [
            start + position
            for start, positions in zip(batch.starts, chosen, strict=True)
            for position in positions
        ]
        counts = {len(positions) for positions in chosen}
        each = counts.pop() if len(counts) == 1 else None
        rows_tensor = torch.tensor(rows, dtype=torch.int64, device=self.device)
        return WantedRows(rows_tensor, each)

    def _wanted_positions(
        self, sequences: list[list[int]], positions: Any
    ) -> list[list[int]] | None:
        """The positions as lists, checked to be in their sequences."""
        if positions is None:
            return None
        if not self._head.reads_all:
            raise ValueError(
                "positions are for models that read every token; this one reads the "
                "first of each sequence"
            )
        listed = isinstance(positions, Iterable) and not isinstance(positions, str)
        if isinstance(positions, Tensor) or not listed:
            raise TypeError(
                f"positions is {positions!r:.60}, expected a list for each sequence; "
                f"a mask goes with input_ids=, as attention_mask="
            )
        lists = [
            to_integers("the positions of sequence", *each)
            for each in enumerate(positions)
        ]
        if len(lists) != len(sequences):
            raise ValueError(
                f"got positions for {len(lists)} sequences, expected {len(sequences)}"
            )
        for i, (some, ids) in enumerate(zip(lists, sequences, strict=True)):
            if some and not 0 <= min(some) <= max(some) < len(ids):
                raise IndexError(
                    f"the positions of sequence {i} are {some!r:.60}, expected 0 to "
                    f"{len(ids) - 1}"
                )
        return lists


def check_device(
    device: torch.device | None, precision: str | None, engine: Engine
) -> None:
    """Raise ValueError if an engine does not compute on a device in a precision.

    Without a number, a device may be any of its type; None is what the engine has.
    """
    own = engine.device
    elsewhere = device is not None and (
        device.type != own.type or device.index not in (None, own.index or 0)
    )
    if elsewhere or precision not in (None, engine.precision):
        raise ValueError(
            f"the engine computes in {engine.precision} on {own}: make another one "
            f"for another precision or device"
        )


def _expected(model: object) -> str:
    """What an engine is made of, and what to do about a model that is none."""
    inside = unwrapped(model)
    if inside is not None and inside is not model:
        return (
            f"expected the {type(inside).__name__} inside: merge an adapter into its "
            f"weights, model.merge_and_unload(), and give the engine the model that "
            f"was wrapped"
        )
    if isinstance(model, PreTrainedModel):
        return (
            "expected a DistilBertModel or one of the DistilBertFor… classes: the "
            "engine does not know what a subclass changes"
        )
    return expected_model("a DistilBertModel or one of the DistilBertFor… classes")

"""`Engine`: the model's results, several times sooner."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from minidistil.auto import identify
from minidistil.checkpoint.pretrained import PreTrainedModel, usable_device
from minidistil.checkpoint.tensors import all_finite
from minidistil.engine.batches import Batch, batches, check_sequences, to_integers
from minidistil.engine.encoder import (
    ALL_ROWS,
    FastEncoder,
    WantedRows,
    require_plain_layer,
)
from minidistil.engine.heads import HEADS
from minidistil.engine.operators import without_autocast
from minidistil.engine.precision import check_precision, plan
from minidistil.progress import sequences_read

# Enough rows for a product to run at full speed, few enough to stay in the cache.
TOKENS = 1024
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

    An engine is a copy: later changes to the model do not change it. Nothing in it
    changes, so that threads can share it.

    Attributes:
        config: The model's.
        kind: The model's class.
        precision: What it computes in.
        kernels: "onednn", or "torch" where that is missing or slower.
        device: Where it computes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        precision: str = "float32",
        *,
        kernels: str | None = None,
        token_budget: int = TOKENS,
        release: bool = False,
    ) -> None:
        """Pack a model's weights.

        Args:
            model: A `DistilBertModel` or one of the five heads, on any device.
            precision: "float32" (within 1e-5 of the model, in proportion where numbers
                are above 1), "bfloat16", or "int8" (weights of 8 bits, with a scale for
                each output channel).
            kernels: "onednn" or "torch"; by default the faster one, which is measured.
            token_budget: The tokens that go through together; more take more memory.
            release: Empty the model while its weights are packed, so that they are not
                in memory twice. The model cannot be used afterwards.

        Raises:
            TypeError: for a model of another class, or one that holds layers, hooks or
                activations which are not DistilBERT's own.
            ValueError: for a precision, kernels or token_budget that do not exist, or
                weights that are not finite.
        """
        if type(model) not in HEADS:
            raise TypeError(
                f"got a {type(model).__name__}, expected a DistilBertModel or one of "
                f"the DistilBertFor… classes: the engine does not know what a subclass "
                f"changes"
            )
        # Not isinstance: True is an int too.
        if type(token_budget) is not int or token_budget < 1:
            raise ValueError(
                f"token_budget is {token_budget!r}, expected 1 or more, an integer"
            )
        for module in model.modules():
            require_plain_layer(module, type(module))  # hooks may be on any of them
        self.config = model.config
        self.kind = type(model)
        self.device = model.device
        self.precision = precision
        chosen = plan(precision, kernels, self.device, self.config.activation)
        self.kernels = chosen.kernels
        self._budget = token_budget
        self._pad = self.config.pad_token_id or 0
        if not release:
            # Some weights are kept as they are, and the model may be changed later.
            model = copy.deepcopy(model)
        with without_autocast():
            self._head = HEADS[type(model)](model, chosen.head)
            self._encoder = FastEncoder(model.encoder, chosen)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        kind: type[PreTrainedModel] | None = None,
        precision: str = "float32",
        *,
        kernels: str | None = None,
        token_budget: int = TOKENS,
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

    def __call__(
        self,
        sequences: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """Compute what the class describes, for sequences of any lengths.

        Args:
            sequences: The token ids of each, [CLS] and [SEP] included, unpadded.
            positions: For models that read every token: the tokens to read, for each
                sequence, such as those of [MASK].

        Returns:
            A tensor for each sequence, in their order. With ``positions`` it has a row
            for each of them in place of T.

        Raises:
            TypeError, ValueError, IndexError: for ids or positions that do not fit.
            ValueError: if a result is not finite: the weights are damaged, or too
                large for the precision.
        """
        lists = check_sequences(sequences, self.config)
        wanted = self._wanted_positions(lists, positions)
        results: list[Tensor] = [torch.empty(0)] * len(lists)
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
            return torch.empty(0, self._head.width)
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
        self, sequences: list[list[int]], positions: Sequence[Sequence[int]] | None
    ) -> list[list[int]] | None:
        """The positions as lists, checked to be in their sequences."""
        if positions is None:
            return None
        if not self._head.reads_all:
            raise ValueError(
                "positions are for models that read every token; this one reads the "
                "first of each sequence"
            )
        if not isinstance(positions, list | tuple):
            raise TypeError(
                f"positions is {positions!r:.60}, expected a list for each sequence"
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

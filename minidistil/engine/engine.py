"""`Engine`: the model's results, several times sooner."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor

from minidistil.auto import identify
from minidistil.checkpoint.devices import computing_device, usable_device
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.wrappers import expected_model, unwrapped, what_it_is
from minidistil.engine.as_model import check_arguments, model_itself, padded_batch
from minidistil.engine.cpu.core import HostCore
from minidistil.engine.forked import computed
from minidistil.engine.gpu import DeviceCore
from minidistil.engine.heads import HEADS
from minidistil.engine.layers import require_plain_layer
from minidistil.engine.precision import (
    check_precision,
    has_packed_form,
    plan,
    precision_on,
)
from minidistil.engine.reading import (
    check_flat,
    check_positions,
    check_sequences,
    check_wanted,
)
from minidistil.engine.sequences import Sequences, Wanted
from minidistil.messages import check_integer
from minidistil.outputs import ModelOutput


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
                are above 1), "bfloat16", "float16" (GPUs only), or "int8" (weights of 8
                bits, with a scale for each output channel; GPUs take a half type).
            kernels: "onednn" or "torch"; by default the faster one, which is measured.
            token_budget: The tokens that go through together; more take more memory. By
                default as many as suit the device.
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
        self.precision = precision_on(self.device, precision)
        chosen = plan(self.precision, kernels, self.device, self.config.activation)
        self.kernels = chosen.kernels
        if not release:
            # Some weights are kept as they are, and the model may be changed later.
            model = copy.deepcopy(model)
        make = HostCore if self.device.type == "cpu" else DeviceCore
        self._core = computed(lambda: make(model, chosen, token_budget=token_budget))

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
        place = computing_device(device)
        check_precision(precision, place)
        if kind is None:
            found = identify(source, **where)
            # The same commit: a branch may move on before the next file is read.
            kind, where["revision"] = found.kind, found.files.revision
        return cls(
            kind.mapped(source, **where).to(place),
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
                *(lambda rows: self.start(rows)(), self.kind, self.config),
                *(self._core.width, input_ids, attention_mask),
            )
        if attention_mask is not None:
            raise TypeError(
                "sequences have no padding to be hidden: give input_ids= with "
                "attention_mask="
            )
        rows = check_sequences(sequences, self.config)
        wanted = None
        if positions is not None:
            self._require_tokens()
            wanted = check_wanted(positions, rows)
        results = self.start(rows, wanted)()
        if self._core.reads_all:
            counts = rows.lengths if wanted is None else wanted.counts
            parts = torch.split(results, counts.tolist())
        else:
            parts = results.unbind()
        # Copies: a view would keep the results of all in memory, and travel with them.
        return [part.clone() for part in parts]

    def start(
        self, sequences: Sequences, wanted: Wanted | None = None
    ) -> Callable[[], Tensor]:
        """Begin to compute, where many sequences are given as one flat tensor.

        Args:
            sequences: Their ids and lengths.
            wanted: For models that read every token: the tokens to read.

        Returns:
            What waits for the results, (R, width), float32, on the CPU: a row for each
            wanted token, or for all, or of models that read the first token of a
            sequence for each sequence. A CPU has computed them when this returns;
            others do it meanwhile.

        Raises:
            TypeError, ValueError, IndexError: for lengths, ids or positions that do
                not fit.
            ValueError: where the results are waited for, if one is not finite.
        """
        sequences = Sequences(*sequences)
        check_flat(sequences, self.config)
        if self._core.reads_all:
            check_positions(wanted, sequences)
        else:
            if wanted is not None:
                self._require_tokens()
            wanted = Wanted.first(sequences)
        return self._core.start(sequences, wanted)

    def _require_tokens(self) -> None:
        """Raise ValueError for a model that has no results for single tokens."""
        if not self._core.reads_all:
            raise ValueError(
                "positions are for models that read every token; this one reads the "
                "first of each sequence"
            )

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
        self.device = self._core.device
        if not has_packed_form(self.precision, self.device):
            self.kernels = "torch"


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

"""Loading and saving, shared by the encoder and the heads."""

from __future__ import annotations

import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from minidistil.checkpoint.fitting import (
    OUTPUT_EMBEDDINGS,
    fill,
    fitting_skeleton,
    is_tied,
    map_weights,
)
from minidistil.checkpoint.saving import save
from minidistil.checkpoint.tensors import DTYPES, Weights
from minidistil.config import DistilBertConfig
from minidistil.hub import open_checkpoint
from minidistil.messages import unknown_keyword

if TYPE_CHECKING:
    from typing_extensions import Self


class PreTrainedModel(nn.Module):
    """What the model and its heads share: where weights come from and where they go."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.config = config
        # What a loss decided because the configuration left it open. A dict, so that
        # the copies that nn.DataParallel makes of the model share it.
        self.trained_as: dict[str, Any] = {}

    @property
    def settled_config(self) -> DistilBertConfig:
        """A copy of the configuration, with the ``problem_type`` of the last loss.

        A call of the model must not change ``config``, which other threads read, so it
        stays None there if it was. What saves the model or reads its answers goes by
        this one.
        """
        open_ = self.config.problem_type is None
        return self.config.replace(**self.trained_as if open_ else {})

    @abstractmethod
    def init_weights(self, module: nn.Module) -> None:
        """Draw the first values of one module's own parameters."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters."""
        return next(self.parameters()).dtype

    def num_parameters(self) -> int:
        """How many numbers the model has learnt; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def encoder(self) -> Any:
        """The `DistilBertModel` that a head stands on, or the model itself."""
        return getattr(self, "distilbert", self)

    def gradient_checkpointing_enable(self) -> None:
        """Train with less memory: what is inside a block is computed twice."""
        self.encoder.transformer.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep what is inside every block again."""
        self.encoder.transformer.gradient_checkpointing = False

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of word vectors."""
        words: nn.Embedding = self.encoder.embeddings.word_embeddings
        return words

    @torch.no_grad()
    def resize_token_embeddings(self, new_num_tokens: int) -> nn.Embedding:
        """Give the model a longer or a shorter vocabulary.

        Words keep their ids and vectors; new ones are drawn as before training. The
        rows that score words (masked language modelling) follow, tied or not, and so
        does ``config.vocab_size``.

        Raises:
            ConfigError: if there is no room for the padding token, or for any.
        """
        config = self.config.replace(vocab_size=new_num_tokens)
        tied = is_tied(self)
        words = nn.Embedding(new_num_tokens, config.dim, config.pad_token_id)
        self._copy_rows(words, self.get_input_embeddings())
        self.encoder.embeddings.word_embeddings = words
        if (old := getattr(self, "vocab_projector", None)) is not None:
            projector = nn.Linear(config.dim, new_num_tokens)
            self._copy_rows(projector, old)
            if tied:
                projector.weight = words.weight
            self.vocab_projector = projector
        self.config = self.encoder.config = config
        return words

    def _copy_rows(self, new: nn.Module, old: nn.Module) -> None:
        """Draw a layer's parameters, then copy the rows that both layers have."""
        self.init_weights(new)
        new.to(device=self.device, dtype=self.dtype).train(old.training)
        for name, parameter in new.named_parameters():
            before = old.get_parameter(name)
            rows = min(len(parameter), len(before))
            parameter[:rows] = before[:rows]
            parameter.requires_grad_(before.requires_grad)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        dtype: torch.dtype | str = torch.float32,
        device: torch.device | str | int | None = None,
        attn_implementation: str = "sdpa",
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        problem_type: str | None = None,
        new_head: bool = False,
        **unknown: object,
    ) -> Self:
        """Load a model from a checkpoint, ready to infer: in ``eval()`` mode.

        Args:
            source: ``"tiny"``, a folder, or a hub repository.
            revision: A branch, tag or commit hash of a hub repository.
            token: The hub token to use in place of the one that is stored.
            cache_dir: The hub cache to use in place of the usual one.
            local_files_only: Never use the network.
            dtype: What the weights become, whatever they are stored as: float32 unless
                asked; ``"auto"`` keeps the stored type.
            device: Where the weights go; the CPU unless asked.
            attn_implementation: ``"sdpa"`` or ``"eager"``.
            num_labels: How many classes the head has. Asks for a new head if the
                checkpoint has none of this kind.
            id2label: The names of the classes; may ask for a new head, like
                ``num_labels``.
            label2id: The inverse of ``id2label``.
            problem_type: The loss to use; see `minidistil.heads`.
            new_head: Draw the head at random (``torch.manual_seed`` decides) even if
                the checkpoint has one.
            unknown: Anything else is a mistake.

        Raises:
            CheckpointNotFoundError: if there is no such checkpoint or file.
            ConfigError: if its configuration is not a DistilBERT's.
            CheckpointError: if its tensors are damaged or do not fit the model; all
                that is wrong is listed by name.
            TypeError, ValueError: for an argument that does not exist or fit.
        """
        if unknown:
            known = PreTrainedModel.from_pretrained.__kwdefaults__ or ()
            raise unknown_keyword(unknown, known, f"{cls.__name__}.from_pretrained")
        files = open_checkpoint(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        config = _with_labels(
            DistilBertConfig.from_json_file(files.require("config.json")),
            num_labels=num_labels,
            id2label=id2label,
            label2id=label2id,
            problem_type=problem_type,
        )
        weights = Weights(files)
        target = weights.common_dtype() if dtype == "auto" else _dtype(dtype)
        model, drawn = fitting_skeleton(
            weights,
            cls,
            with_dtype(config, target),
            attn_implementation,
            new_head=new_head,
            labels_given=num_labels is not None or id2label is not None,
        )
        place = usable_device(device)
        fill(model, weights, drawn, target, place, model.init_weights)
        return model.eval()

    @classmethod
    def mapped(cls, source: str | os.PathLike[str], **where: Any) -> Self:
        """Open a checkpoint without loading its numbers.

        Each parameter is a place in a mapped file, in the type that is stored there,
        and may hold NaN. For `minidistil.engine`, which reads and checks each once.

        Args:
            source: ``"tiny"``, a folder, or a hub repository.
            where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``: see
                `from_pretrained`.

        Raises:
            CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`
                does, for what the headers of the files say.
        """
        files = open_checkpoint(source, **where)
        config = DistilBertConfig.from_json_file(files.require("config.json"))
        weights = Weights(files)
        model, _ = fitting_skeleton(weights, cls, config)
        map_weights(model, weights)
        return model.eval()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write ``config.json`` and ``model.safetensors``; transformers reads them too.

        Raises:
            CheckpointError: if a parameter is NaN or infinite; nothing is written.
            OSError: if the folder cannot be written; older files are left as they were.
        """
        tensors, config = self.state_dict(), self.settled_config
        if OUTPUT_EMBEDDINGS in tensors:
            # The caller may have tied or untied them since the model was made.
            config = config.replace(tie_word_embeddings=is_tied(self))
            if config.tie_word_embeddings:
                del tensors[OUTPUT_EMBEDDINGS]
        config = config.replace(architectures=[type(self).__name__])
        config = with_dtype(config, self.dtype)
        save(Path(folder), tensors, config.to_json_string())


def _with_labels(
    config: DistilBertConfig, *, num_labels: int | None, **changes: Any
) -> DistilBertConfig:
    """The configuration with the caller's labels in place of the file's."""
    # The same number of labels is no reason to forget their names.
    if changes["id2label"] is not None or num_labels != config.num_labels:
        changes["num_labels"] = num_labels
    given = {name: value for name, value in changes.items() if value is not None}
    return config.replace(**given) if given else config


def usable_device(device: torch.device | str | int | None) -> torch.device:
    """The device of that name; a number counts GPUs, and -1 or None is the CPU.

    Raises:
        ValueError: if this machine, or this build of torch, has no such device.
    """
    if isinstance(device, int):
        device = "cpu" if device < 0 else f"cuda:{device}"
    try:
        found = torch.device("cpu" if device is None else device)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"device {device!r} cannot be used: {error}") from error
    return found


def with_dtype(config: DistilBertConfig, dtype: torch.dtype) -> DistilBertConfig:
    """Say what type the weights have; transformers loads a checkpoint in that type."""
    extra = {key: config.extra[key] for key in config.extra if key != "torch_dtype"}
    return config.replace(extra=extra | {"dtype": str(dtype).removeprefix("torch.")})


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    known = {str(each).removeprefix("torch."): each for each in DTYPES.values()}
    found = known.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ValueError(
            f'dtype is {dtype!r}, expected "auto" or one of {", ".join(known)}'
        )
    return found

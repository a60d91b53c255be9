"""Loading and saving, shared by the encoder and the heads."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from minidistil.checkpoint.conveniences import Conveniences
from minidistil.checkpoint.devices import usable_device
from minidistil.checkpoint.fitting import fill, fitting_skeleton, map_weights
from minidistil.checkpoint.keywords import (
    CONFIG_KEYS,
    IGNORED_WHEN_LOADING,
    IGNORED_WHEN_SAVING,
    REFUSED_WHEN_LOADING,
    REFUSED_WHEN_SAVING,
    as_config,
    changed,
    check_foreign,
    device_of,
    in_subfolder,
    the_one,
)
from minidistil.checkpoint.matching import names_of
from minidistil.checkpoint.memory import TensorsInMemory
from minidistil.checkpoint.recognised import Recognised
from minidistil.checkpoint.saving import MOST_IN_ONE_FILE, save, tensors_to_save
from minidistil.checkpoint.tensors import DTYPES, WEIGHT_FILES, Weights
from minidistil.config import DistilBertConfig
from minidistil.hub import open_checkpoint
from minidistil.hub.upload import PushToHub, Repository, check_place

if TYPE_CHECKING:
    from typing_extensions import Self


class PreTrainedModel(PushToHub, Conveniences, Recognised):
    """What the model and its heads share: where weights come from and where they go."""

    _own_files: ClassVar[re.Pattern[str]] = WEIGHT_FILES

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.config = config
        # What a loss decided because the configuration left it open. A dict, so that
        # the copies that nn.DataParallel makes of the model share it.
        self.trained_as: dict[str, Any] = {}
        self.name_or_path = ""

    @classmethod
    def from_config(
        cls,
        config: DistilBertConfig,
        *,
        attn_implementation: str | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        **others: Any,
    ) -> Self:
        """Make a model with new weights, drawn at random: in ``train()`` mode.

        Args:
            config: Its shape and labels; transformers' own is taken too.
            attn_implementation: ``"sdpa"`` or ``"eager"``.
            dtype: What the weights become; float32 unless asked.
            torch_dtype: Another name of ``dtype``.
            others: Keys of the configuration that are to be others; and
                ``trust_remote_code``, since no code of a checkpoint is ever run.

        Raises:
            ConfigError: if the configuration is not a DistilBERT's.
            TypeError, ValueError: for an argument that does not exist or fit.
        """
        _nothing_to_trust(others.pop("trust_remote_code", None))
        changes = {name: others.pop(name) for name in CONFIG_KEYS & others.keys()}
        check_foreign(
            others,
            known=CONFIG_KEYS | {"attn_implementation", "dtype"},
            where=f"{cls.__name__}.from_config",
        )
        config = as_config(config, DistilBertConfig.from_pretrained)
        config = changed(config, changes)
        target = _dtype(the_one(dtype=dtype, torch_dtype=torch_dtype) or torch.float32)
        model = cls(config)
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model.to(target)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        config: DistilBertConfig | str | os.PathLike[str] | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device: torch.device | str | int | None = None,
        device_map: Any = None,
        attn_implementation: str | None = None,
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        problem_type: str | None = None,
        new_head: bool = False,
        ignore_mismatched_sizes: bool = False,
        trust_remote_code: bool | None = None,
        **others: Any,
    ) -> Self:
        """Load a model from a checkpoint, ready to infer: in ``eval()`` mode.

        A warning names the tensors that are new, unless ``new_head=True`` asks for
        them.

        Args:
            source: ``"tiny"``, a folder, or a hub repository.
            revision: A branch, tag or commit hash of a hub repository.
            token: The hub token to use in place of the one that is stored.
            cache_dir: The hub cache to use in place of the usual one.
            local_files_only: Never use the network.
            subfolder: Of a folder: where in it the checkpoint lies.
            config: In place of the checkpoint's, or where to read it; transformers'
                own is taken too. Like ``num_labels``, it asks for a new head if the
                model has an output for each label, and the checkpoint has none.
            state_dict: Tensors by name in place of the checkpoint's, matched as
                strictly.
            dtype: What the weights become, whatever they are stored as: float32 unless
                asked; ``"auto"`` keeps the stored type.
            torch_dtype: Another name of ``dtype``.
            device: Where the weights go; the CPU unless asked.
            device_map: One device too: ``"auto"`` is a GPU if there is one; a map of
                parts to devices may name one device only.
            attn_implementation: ``"sdpa"``, the default, or ``"eager"``.
            num_labels: How many classes the head has. Asks for a new head if the
                checkpoint has none of this kind.
            id2label: The names of the classes; may ask for a new head, like
                ``num_labels``.
            label2id: The inverse of ``id2label``.
            problem_type: The loss to use; see `minidistil.heads`.
            new_head: Draw the head at random (``torch.manual_seed`` decides) even if
                the checkpoint has one; and the layers that a subclass adds.
            ignore_mismatched_sizes: Draw the layers of the head that have another size
                in the checkpoint. The encoder must fit all the same.
            trust_remote_code: No code of a checkpoint is ever run.
            others: Keys of the configuration that are to be others, such as
                ``dropout``. Of what transformers takes beside these, what asks for
                nothing; see `minidistil.checkpoint.keywords`.

        Raises:
            CheckpointNotFoundError: if there is no such checkpoint or file.
            ConfigError: if its configuration is not a DistilBERT's.
            CheckpointError: if its tensors are damaged or do not fit the model; all
                that is wrong is listed by name.
            TypeError, ValueError: for an argument that does not exist or fit.
        """
        where = f"{cls.__name__}.from_pretrained"
        name = others.pop("pretrained_model_name_or_path", None)
        source = the_one(source=source, pretrained_model_name_or_path=name)
        token = the_one(token=token, use_auth_token=others.pop("use_auth_token", None))
        changes = {name: others.pop(name) for name in CONFIG_KEYS & others.keys()}
        check_foreign(
            others,
            ignored=IGNORED_WHEN_LOADING,
            refused=REFUSED_WHEN_LOADING,
            known=CONFIG_KEYS
            | (PreTrainedModel.from_pretrained.__kwdefaults__ or {}).keys(),
            where=where,
        )
        _nothing_to_trust(trust_remote_code)
        if source is None and (config is None or state_dict is None):
            raise TypeError(
                f"{where} needs a source, such as a folder; without one, config= and "
                "state_dict="
            )
        access: dict[str, Any] = {
            "revision": revision,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": bool(local_files_only),
        }
        source = in_subfolder(source, subfolder)
        files = None if source is None else open_checkpoint(source, **access)

        def read(name: Any) -> DistilBertConfig:
            return DistilBertConfig.from_pretrained(name, **access)

        if config is None:
            assert files is not None
            found = DistilBertConfig.from_json_file(files.require("config.json"))
        else:
            found = as_config(config, read)
        found = _with_labels(
            changed(found, changes),
            num_labels=num_labels,
            id2label=id2label,
            label2id=label2id,
            problem_type=problem_type,
        )
        if state_dict is not None:
            weights: Weights = TensorsInMemory("the state_dict", state_dict)
        else:
            assert files is not None
            weights = Weights(files)
        asked = the_one(dtype=dtype, torch_dtype=torch_dtype) or torch.float32
        target = weights.common_dtype() if asked == "auto" else _dtype(asked)
        model, drawn = fitting_skeleton(
            weights,
            cls,
            with_dtype(found, target),
            attn_implementation or "sdpa",
            new_head=new_head,
            labels_given=num_labels is not None or id2label is not None,
            config_given=config is not None,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
        )
        place = usable_device(the_one(device=device, device_map=device_of(device_map)))
        fill(model, weights, drawn, target, place, model.init_weights)
        if drawn and not new_head:
            warnings.warn(
                f"{', '.join(names_of(model, drawn))} are new, drawn at random: "
                f"{weights.source} has none that fit. Train the model before it is "
                "used (new_head=True asks for new ones without this warning)",
                stacklevel=2,
            )
        if source is not None:
            model.name_or_path = os.fspath(source)
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

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        max_shard_size: int | str = MOST_IN_ONE_FILE,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        **others: Any,
    ) -> None:
        """Write ``config.json`` and ``model.safetensors``; transformers reads them too.

        All is written, or nothing. ``load`` and ``from_pretrained`` of the same class
        must be able to read it, or nothing is written either.

        Args:
            save_directory: The folder; made if need be.
            is_main_process: Of several processes that train, one writes: the others
                pass False, and do nothing.
            state_dict: Tensors by name in place of the model's own, as accelerate's
                ``get_state_dict`` gathers them; they must be those of the model.
            max_shard_size: More than this is written to several files and an index:
                bytes, or such as ``"200MB"``.
            push_to_hub: Then send the files to the hub; see `push_to_hub`.
            repo_id: Where to; a repository called like the folder by default.
            commit_message: With the next four: see `push_to_hub`.
            private: Whether only its owners may see the repository.
            token: The hub token.
            revision: The branch.
            create_pr: Open a pull request.
            others: What else transformers takes, if it asks for nothing, and
                ``save_function``, which is not called: what is written is written by
                one process.

        Raises:
            CheckpointError: if a parameter is NaN or infinite, or layers are not those
                of the model's class; nothing is written.
            OSError: if the folder cannot be written; older files are left as they were.
            PublishError: if the hub does not take them.
            TypeError, ValueError: for an argument that does not exist or fit.
        """
        check_foreign(
            others,
            ignored=IGNORED_WHEN_SAVING,
            refused=REFUSED_WHEN_SAVING,
            known=(PreTrainedModel.save_pretrained.__kwdefaults__ or {}).keys(),
            where=f"{type(self).__name__}.save_pretrained",
        )
        if not is_main_process:
            return
        folder = Path(save_directory)
        hub = None
        if push_to_hub:
            place = repo_id or folder.resolve().name
            check_place(place, revision)
            hub = Repository(place, revision, token)
        tensors, config = tensors_to_save(self, state_dict, f"'{folder}'")
        config = config.replace(architectures=[self._architecture()])
        config = with_dtype(config, next(iter(tensors.values())).dtype)
        written = save(
            folder, tensors, config.to_json_string(), max_shard_size=max_shard_size
        )
        if hub is not None:
            self._send(
                hub,
                written,
                private=private,
                message=commit_message,
                create_pr=create_pr,
            )

    @classmethod
    def _architecture(cls) -> str:
        """The class that opens the file: of a subclass, the one that is known."""
        library = __name__.partition(".")[0]
        known = (c for c in cls.__mro__ if c.__module__.partition(".")[0] == library)
        name = next(known).__name__
        return name if name.startswith("DistilBertFor") else "DistilBertModel"


def _nothing_to_trust(trust_remote_code: bool | None) -> None:
    if trust_remote_code:
        warnings.warn(
            "trust_remote_code=True has no effect: no code of a checkpoint is ever run",
            stacklevel=3,
        )


def _with_labels(
    config: DistilBertConfig, *, num_labels: int | None, **changes: Any
) -> DistilBertConfig:
    """The configuration with the caller's labels in place of the file's."""
    # The same number of labels is no reason to forget their names.
    if changes["id2label"] is not None or num_labels != config.num_labels:
        changes["num_labels"] = num_labels
    given = {name: value for name, value in changes.items() if value is not None}
    return config.replace(**given) if given else config


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

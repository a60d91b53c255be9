"""What training programs, and the libraries around them, ask of any model.

The names are those of transformers' ``PreTrainedModel``, which its ``Trainer``,
accelerate and peft look for.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from minidistil.checkpoint.advice import about_prefix, common_prefix
from minidistil.checkpoint.matching import OUTPUT_EMBEDDINGS
from minidistil.config import DistilBertConfig
from minidistil.messages import quote

ATTENTION_NAMES = ("eager", "sdpa")

_PEFT = "peft.get_peft_model(model, config) puts adapters into this model"
_ENCODER = (
    "DistilBERT is an encoder: it reads text and generates none; "
    "DistilBertForMaskedLM fills in [MASK]"
)
# What people look for on a model, and what to use.
_NOT_HERE = {
    "generate": _ENCODER,
    "generation_config": _ENCODER,
    "prepare_inputs_for_generation": _ENCODER,
    "get_decoder": _ENCODER,
    "add_adapter": _PEFT,
    "load_adapter": _PEFT,
    "set_adapter": _PEFT,
    "bert": "the encoder is model.distilbert",
    "roberta": "the encoder is model.distilbert",
    "prune_heads": "attention heads cannot be removed",
    "to_bettertransformer": "it computes attention by torch's fused operator already",
}


class Conveniences(nn.Module):
    """Questions and switches that do not change what the model computes."""

    config: DistilBertConfig
    # The repository or the folder that it was loaded from, if it was.
    name_or_path: str
    trained_as: dict[str, Any]
    config_class: ClassVar[type[DistilBertConfig]] = DistilBertConfig
    base_model_prefix: ClassVar[str] = "distilbert"
    main_input_name: ClassVar[str] = "input_ids"
    supports_gradient_checkpointing: ClassVar[bool] = True
    # For accelerate: what must stay on one device if it spreads a model over several.
    _no_split_modules: ClassVar[list[str]] = ["Embeddings", "TransformerBlock"]
    _require_grads_hook: torch.utils.hooks.RemovableHandle | None = None

    def init_weights(self, module: nn.Module) -> None:
        """Draw the first values of one module's own parameters."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Tensor | nn.Module:
        if name in _NOT_HERE:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}: {_NOT_HERE[name]}"
            )
        return super().__getattr__(name)

    @property
    def settled_config(self) -> DistilBertConfig:
        """The configuration, or a copy with the ``problem_type`` of the last loss.

        A call of the model must not change ``config``, which other threads read, so it
        stays None there if it was. What saves the model or reads its answers goes by
        this one.
        """
        if self.config.problem_type is None and self.trained_as:
            return self.config.replace(**self.trained_as)
        return self.config

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters."""
        return next(self.parameters()).dtype

    @property
    def num_labels(self) -> int:
        """How many classes the configuration names."""
        return self.config.num_labels

    @property
    def encoder(self) -> Any:
        """The `DistilBertModel` that a head stands on, or the model itself."""
        return getattr(self, self.base_model_prefix, self)

    @property
    def base_model(self) -> Any:
        """Another name of `encoder`."""
        return self.encoder

    def num_parameters(
        self, only_trainable: bool = False, exclude_embeddings: bool = False
    ) -> int:
        """How many numbers the model has learnt; a tied matrix counts once.

        Args:
            only_trainable: Count those that ``requires_grad`` alone.
            exclude_embeddings: Leave out the tables of words and positions.
        """
        tables = {
            id(module.weight)
            for module in self.modules()
            if exclude_embeddings and isinstance(module, nn.Embedding)
        }
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if id(parameter) not in tables
            and (parameter.requires_grad or not only_trainable)
        )

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """How many bytes the parameters take, and the buffers."""
        tensors = [*self.parameters(), *(self.buffers() if return_buffers else ())]
        return sum(tensor.nbytes for tensor in tensors)

    @classmethod
    def can_generate(cls) -> bool:
        """No: it is an encoder."""
        return False

    @classmethod
    def is_remote_code(cls) -> bool:
        """No: the code is this library's, or the caller's own."""
        return False

    @classmethod
    def is_custom_code(cls) -> bool:
        """Yes: not transformers' (peft asks, and then leaves names as they are)."""
        return True

    def set_attn_implementation(self, attn_implementation: str) -> None:
        """Choose how attention is computed: ``"sdpa"`` or ``"eager"``.

        Raises:
            ValueError: for any other name.
        """
        if attn_implementation not in ATTENTION_NAMES:
            raise ValueError(
                f"attn_implementation is {quote(attn_implementation)}, expected "
                f"{' or '.join(map(repr, ATTENTION_NAMES))}"
            )
        self.encoder.attn_implementation = attn_implementation

    # Training

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: dict[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """Train with less memory: what is inside a block is computed twice.

        Args:
            gradient_checkpointing_kwargs: ``{"use_reentrant": …}``: of torch's two
                ways, the one without is used, whichever is asked for; the gradients are
                the same.
            every_n_layers: 1: it is done in every block.
            offload: False: what is kept is kept where the model is.

        Raises:
            TypeError: for any other option of torch's ``checkpoint``.
            ValueError: for another value of the last two.
        """
        if every_n_layers != 1 or offload:
            raise ValueError(
                f"every_n_layers is {quote(every_n_layers)} and offload "
                f"{quote(offload)}, expected 1 and False: it is all blocks or none"
            )
        if unknown := set(gradient_checkpointing_kwargs or ()) - {"use_reentrant"}:
            raise TypeError(
                f"gradient_checkpointing_kwargs has {quote(sorted(unknown)[0])}, "
                "expected use_reentrant alone: leave it out"
            )
        self.encoder.transformer.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep what is inside every block again."""
        self.encoder.transformer.gradient_checkpointing = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether `gradient_checkpointing_enable` is in force."""
        return bool(self.encoder.transformer.gradient_checkpointing)

    def enable_input_require_grads(self) -> None:
        """Let gradients reach the vectors of words, for adapters in a frozen model."""
        self.disable_input_require_grads()

        def require(module: nn.Module, inputs: Any, output: Tensor) -> None:
            output.requires_grad_(True)

        words = self.get_input_embeddings()
        self._require_grads_hook = words.register_forward_hook(require)

    def disable_input_require_grads(self) -> None:
        """End `enable_input_require_grads`."""
        if self._require_grads_hook is not None:
            self._require_grads_hook.remove()
            self._require_grads_hook = None

    def post_init(self) -> None:
        """Draw the layers of a subclass: those that are not the encoder's.

        For the end of an ``__init__``, as transformers has it.
        """
        for layer in self.children():
            if layer is not self.encoder:
                layer.apply(self.init_weights)
        self.tie_weights()

    # The matrices of words

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of word vectors."""
        return cast(nn.Embedding, self.encoder.embeddings.word_embeddings)

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Put another table of word vectors in its place."""
        self.encoder.embeddings.word_embeddings = value

    def get_output_embeddings(self) -> nn.Linear | None:
        """Return the layer that scores words (masked language modelling), or None."""
        return self._modules.get("vocab_projector")  # type: ignore[return-value]

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Put another layer that scores words in its place."""
        self.vocab_projector = new_embeddings

    def get_position_embeddings(self) -> nn.Embedding:
        """Return the table of positions."""
        return cast(nn.Embedding, self.encoder.embeddings.position_embeddings)

    @property
    def is_tied(self) -> bool:
        """Whether the layer that scores words uses the word vectors themselves."""
        words, output = self.get_input_embeddings(), self.get_output_embeddings()
        return output is not None and output.weight is words.weight

    def tie_weights(self, **_: Any) -> None:
        """Let the layer that scores words use the word vectors, if the config says so.

        Keywords of transformers' own (``recompute_mapping``, …) have no meaning here.
        """
        output = self.get_output_embeddings()
        if output is not None and self.config.tie_word_embeddings:
            output.weight = self.get_input_embeddings().weight

    @property
    def _keys_to_ignore_on_save(self) -> list[str] | None:
        """What a saved file does not have (transformers' Trainer asks, to resume)."""
        return [OUTPUT_EMBEDDINGS] if self.is_tied else None

    @torch.no_grad()
    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = False,
    ) -> nn.Embedding:
        """Give the model a longer or a shorter vocabulary.

        Words keep their ids and vectors; new ones are drawn as before training. The
        rows that score words (masked language modelling) follow, tied or not, and so
        does ``config.vocab_size``.

        Args:
            new_num_tokens: How many words there will be; as many as now by default.
            pad_to_multiple_of: Round that up to a multiple.
            mean_resizing: Draw new vectors next to the mean of the old ones (with a
                billionth of their covariance), as transformers does by default; so are
                the rows that score words and their biases, if they are not tied.

        Raises:
            ConfigError: if there is no room for the padding token, or for any.
        """
        size = self.config.vocab_size if new_num_tokens is None else new_num_tokens
        if pad_to_multiple_of is not None:
            size = -(-size // pad_to_multiple_of) * pad_to_multiple_of
        if new_num_tokens is None and size == self.config.vocab_size:
            return self.get_input_embeddings()
        config = self.config.replace(vocab_size=size)
        tied, old = self.is_tied, self.get_output_embeddings()
        words = nn.Embedding(size, config.dim, config.pad_token_id)
        self._copy_rows(words, self.get_input_embeddings(), mean_resizing)
        self.set_input_embeddings(words)
        if old is not None:
            projector = nn.Linear(config.dim, size)
            self._copy_rows(projector, old, mean_resizing and not tied)
            if tied:
                projector.weight = words.weight
            self.set_output_embeddings(projector)
        self.config = self.encoder.config = config
        return words

    def _copy_rows(self, new: nn.Module, old: nn.Module, around_mean: bool) -> None:
        """Draw a layer's parameters, then copy the rows that both layers have."""
        self.init_weights(new)
        new.to(device=self.device, dtype=self.dtype).train(old.training)
        for name, parameter in new.named_parameters():
            before = old.get_parameter(name)
            rows = min(len(parameter), len(before))
            parameter[:rows] = before[:rows]
            if around_mean:
                parameter[rows:] = _around_the_mean(before, len(parameter) - rows)
            parameter.requires_grad_(before.requires_grad)

    # Loading

    def load_state_dict(self, state_dict: Any, *arguments: Any, **options: Any) -> Any:
        """As torch does; an error says what a prefix of all names comes from.

        Without ``strict``, torch would load nothing then: that is a warning.
        """
        prefix = common_prefix(state_dict)
        cure = (
            f"{about_prefix(prefix)}; take it away: {{name.removeprefix("
            f"{prefix + '.'!r}): tensor for name, tensor in state_dict.items()}}"
        )
        try:
            found = super().load_state_dict(state_dict, *arguments, **options)
        except RuntimeError as error:
            raise (RuntimeError(cure) if prefix else error) from error.__cause__
        if prefix and len(found.unexpected_keys) == len(state_dict):
            warnings.warn(f"nothing was loaded. {cure}", stacklevel=2)
        return found


def _around_the_mean(rows: Tensor, count: int) -> Tensor:
    """Draw rows from the normal distribution with the rows' mean, next to it.

    The covariance is a billionth of the rows' own.
    """
    mean = rows.float().mean(0)
    weights = torch.randn(count, len(rows), device=rows.device)
    noise: Tensor = weights @ (rows.float() - mean) * (1e-9 / len(rows)) ** 0.5
    return (mean + noise).to(rows.dtype)

"""What is damaged, how it is loaded, and who else is asked what the files say."""

from __future__ import annotations

import functools
import json
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from fuzzing import (
    STRANGE,
    Group,
    Pairs,
    WrongError,
    damage_bytes,
    damage_text,
    damage_value,
    nudged,
    pairs,
    written,
)
from torch import Tensor

import minidistil
from minidistil import DistilBertConfig, DistilBertTokenizer
from minidistil.checkpoint.stored import Header, read_header
from minidistil.pipelines.sentence_settings import read_settings

CONFIG = {
    "model_type": "distilbert",
    "vocab_size": 8,
    "max_position_embeddings": 6,
    "n_layers": 1,
    "n_heads": 2,
    "dim": 4,
    "hidden_dim": 6,
    "activation": "gelu",
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "sinusoidal_pos_embds": False,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "initializer_range": 0.02,
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
}
BLOCK = {
    **{f"attention.{each}_lin": (4, 4) for each in ("q", "k", "v", "out")},
    "sa_layer_norm": (4,),
    "ffn.lin1": (6, 4),
    "ffn.lin2": (4, 6),
    "output_layer_norm": (4,),
}
# The modules of the encoder, and of each head on top: the shape of each one's weight.
ENCODER = {
    "embeddings.word_embeddings": (8, 4),
    "embeddings.position_embeddings": (6, 4),
    "embeddings.LayerNorm": (4,),
    **{f"transformer.layer.0.{name}": shape for name, shape in BLOCK.items()},
}
HEADS: dict[str, dict[str, tuple[int, ...]]] = {
    "Model": {},
    "ForSequenceClassification": {"pre_classifier": (4, 4), "classifier": (2, 4)},
    "ForTokenClassification": {"classifier": (2, 4)},
    "ForQuestionAnswering": {"qa_outputs": (2, 4)},
    "ForMaskedLM": {
        "vocab_transform": (4, 4),
        "vocab_layer_norm": (4,),
        "vocab_projector": (8, 4),
    },
}
WORDS = "embeddings.word_embeddings.weight"
OUTPUT = "vocab_projector.weight"


def tensors_of(head: str) -> dict[str, Tensor]:
    """A checkpoint's tensors, by the names that task checkpoints give them."""
    generator = torch.Generator().manual_seed(0)
    prefix = "distilbert." if head != "Model" else ""
    found = {}
    modules = {prefix + name: shape for name, shape in ENCODER.items()}
    for module, shape in (modules | HEADS[head]).items():
        found[f"{module}.weight"] = torch.randn(shape, generator=generator)
        if not module.endswith("_embeddings"):
            found[f"{module}.bias"] = torch.randn(shape[:1], generator=generator)
    if head == "ForMaskedLM":
        del found[OUTPUT]
    return found


class File:
    """A safetensors file, taken apart: the header as `Pairs`, and the numbers."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.header, self.data = Pairs(), b""
        for name, tensor in tensors.items():
            place = [len(self.data), len(self.data) + 4 * tensor.numel()]
            info = {"dtype": "F32", "shape": [*tensor.shape], "data_offsets": place}
            self.header.append((name, pairs(info)))
            self.data += struct.pack(f"<{tensor.numel()}f", *tensor.flatten().tolist())

    def bytes(self) -> bytes:
        """The file, put together."""
        header = written(self.header).encode(errors="surrogatepass")
        return struct.pack("<Q", len(header)) + header + self.data


@functools.cache
def whole(head: str) -> bytes:
    """The undamaged file."""
    return File(tensors_of(head)).bytes()


def write_config(folder: Path, head: str) -> None:
    """Write an undamaged configuration."""
    config = CONFIG | {"architectures": [f"DistilBert{head}"]}
    (folder / "config.json").write_text(json.dumps(config))


def load_model(folder: Path) -> Any:
    """Load the model that the undamaged checkpoint has (its name lies beside it)."""
    config = json.loads((folder / "head").read_text())
    return getattr(minidistil, f"DistilBert{config}").from_pretrained(folder)


def choose_head(rng: random.Random, folder: Path) -> str:
    """Choose what kind of checkpoint to damage, and note it beside the checkpoint."""
    head = rng.choice(list(HEADS))
    (folder / "head").write_text(json.dumps(head))
    return head


# model.safetensors

DTYPES = (
    *("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"),
    *("F8_E4M3", "F4", "C64", "f32", "F128"),
)
WEIGHTS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


def damage_tensor(rng: random.Random, file: File) -> None:
    """Lie about a tensor, or exchange two, with a header that may still be sound."""
    index = rng.randrange(len(file.header))
    name, info = file.header[index]
    other, other_info = rng.choice(file.header)
    fields = dict(info) if isinstance(info, Pairs) else {}
    if not isinstance(fields.get("shape"), list) or not isinstance(
        fields.get("data_offsets"), list
    ):
        return
    shape, place = fields["shape"], fields["data_offsets"]
    how = rng.randrange(12)
    if how == 0:
        fields["dtype"] = rng.choice(DTYPES)
    elif how == 1:
        rng.shuffle(shape)
    elif how == 2:
        shape[:] = rng.choice(([1, *shape], [*shape, 1], shape[::-1], [2, 2], [], [0]))
    elif how == 3 and len(shape) == 2 and all(type(side) is int for side in shape):
        shape[:] = [shape[0] * shape[1]]
    elif how == 4:
        # Both sides of a lie agree: half as wide, twice as many.
        fields["dtype"] = rng.choice(("F16", "BF16", "I16", "F64", "I32", "U8"))
        width = {"F64": 8, "F16": 2, "BF16": 2, "I16": 2, "U8": 1}.get(fields["dtype"])
        size = place[1] - place[0] if all(type(end) is int for end in place) else 0
        fields["shape"] = [size // (width or 4)]
    elif how == 5:
        fields["data_offsets"] = dict(other_info).get("data_offsets", place)
    elif how == 6:
        place[:] = [nudged(rng, end) if rng.random() < 0.5 else end for end in place]
    elif how == 7:
        file.header[index], name = (other, info), other  # one name, two tensors
    elif how == 8:
        both = {name: other, other: name}
        file.header[:] = [(both.get(each, each), i) for each, i in file.header]
        return
    elif how == 9:
        name = rng.choice(spellings(name))
    elif how == 10:
        size = len(file.data)
        file.data += rng.randbytes(16)
        extra = {"dtype": rng.choice(("F32", "I32")), "shape": [4]}
        extra["data_offsets"] = [size, size + 16]
        added = rng.choice((*spellings(name), "embeddings.position_ids", OUTPUT, "x"))
        file.header.append((added, pairs(extra)))
        return
    else:
        metadata = rng.choice((*STRANGE, pairs({"format": "pt"}), pairs({"a": 1})))
        file.header.insert(0, ("__metadata__", metadata))
        return
    file.header[index] = (name, Pairs(fields.items()))


def spellings(name: str) -> list[str]:
    """Other names that a tensor has in some checkpoint, or nearly has."""
    plain = name.removeprefix("distilbert.")
    return [
        plain,
        f"distilbert.{name}",
        f"distilbert.{plain}",
        name.replace("weight", "gamma").replace("bias", "beta"),
        name.replace("weight", "beta"),
        name.replace("layer.0", "layer.1"),
        name.replace("layer.0", "layer.00"),
        name.upper(),
        "",
        "x" * 10**5,
    ]


def damage_numbers(rng: random.Random, file: File) -> None:
    """Put another number among the numbers."""
    number = rng.choice((float("nan"), float("inf"), 1e-45, -0.0, 3e38, 1.0))
    at = 4 * rng.randrange(max(1, len(file.data) // 4))
    file.data = file.data[:at] + struct.pack("<f", number) + file.data[at + 4 :]


def damage_file(rng: random.Random, folder: Path) -> None:
    """A header that lies, in one to three places."""
    head = choose_head(rng, folder)
    write_config(folder, head)
    file = File(tensors_of(head))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        how = rng.random()
        if how < 0.5:
            damage_tensor(rng, file)
        elif how < 0.85:
            file.header = damage_value(rng, file.header, DTYPES)
            if not isinstance(file.header, Pairs) or not file.header:
                break
        else:
            damage_numbers(rng, file)
        if not all(isinstance(pair, tuple) for pair in file.header):
            break
    (folder / "model.safetensors").write_bytes(file.bytes())


def damage_file_bytes(rng: random.Random, folder: Path) -> None:
    """Bytes changed anywhere; the length in front; a file cut short or grown."""
    head = choose_head(rng, folder)
    write_config(folder, head)
    content = whole(head)
    how = rng.random()
    if how < 0.2:
        length = int.from_bytes(content[:8], "little")
        near = [length + by for by in (-9, -8, -2, -1, 1, 2, 8, 100)]
        far = [0, 1, 2**20, 10**8, 10**8 + 1, 2**31, 2**63, 2**64 - 1]
        content = struct.pack("<Q", rng.choice(near + far)) + content[8:]
    elif how < 0.3:
        spaces = rng.choice((1, 7, 8, 1000))
        length = int.from_bytes(content[:8], "little")
        header = content[8 : 8 + length] + rng.choice((b" ", b"\0", b"\n")) * spaces
        content = struct.pack("<Q", len(header)) + header + content[8 + length :]
    else:
        for _ in range(rng.choice((1, 1, 2))):
            content = damage_bytes(rng, content)
    (folder / "model.safetensors").write_bytes(content)


def plain(name: str) -> str | None:
    """The place in a model that a tensor's name stands for."""
    name = re.sub(r"^distilbert\.(?=embeddings\.|transformer\.)", "", name)
    if name == "embeddings.position_ids":
        return None
    return re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", name))


def judge_model(folder: Path, model: Any) -> None:
    """Each parameter is what the safetensors library says that the file holds."""
    judge_tensors(model, read_with_the_library(folder / "model.safetensors"))


def read_with_the_library(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, as the safetensors library reads them from memory."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except Exception as error:
        raise WrongError(f"loaded what safetensors refuses: {error}") from error


# The sizes of each module's weight, by the configuration's names for them.
SIDES = {
    "word_embeddings|vocab_projector": ("vocab_size", "dim"),
    "position_embeddings": ("max_position_embeddings", "dim"),
    "[qkv]_lin|out_lin|pre_classifier|vocab_transform": ("dim", "dim"),
    "ffn.lin1": ("hidden_dim", "dim"),
    "ffn.lin2": ("dim", "hidden_dim"),
    "classifier|qa_outputs": ("num_labels", "dim"),
    "LayerNorm|.*_layer_norm": ("dim",),
}


def shape_of(name: str, config: DistilBertConfig) -> tuple[int, ...]:
    """The shape that a tensor must have."""
    module, _, kind = name.rpartition(".")
    (sides,) = (
        sides
        for pattern, sides in SIDES.items()
        if re.search(rf"(^|\.)({pattern})$", module)
    )
    return tuple(getattr(config, side) for side in sides[: 1 if kind == "bias" else 2])


def judge_tensors(model: Any, stored: dict[str, Tensor]) -> None:
    """The parameters are these tensors, each of them once, and none is left over."""
    places: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        place = plain(name)
        if place is None:
            continue
        if place in places:
            raise WrongError(f"two tensors are {place}")
        places[place] = tensor
    parameters = {plain(name): each for name, each in model.named_parameters()}
    for name, parameter in parameters.items():
        if name not in places:
            raise WrongError(f"{name} is not in the file")
        tensor = places.pop(name)
        if not tensor.is_floating_point():
            raise WrongError(f"{name} was made of {tensor.dtype}")
        shape = shape_of(name or "", model.config)
        if not tuple(parameter.shape) == tuple(tensor.shape) == shape:
            raise WrongError(
                f"{name} is {parameter.shape}, stored as {tensor.shape}, and {shape} "
                "by the configuration"
            )
        if not torch.equal(parameter.detach(), tensor.to(torch.float32)):
            raise WrongError(f"{name} is not what the file holds")
        if not parameter.isfinite().all():
            raise WrongError(f"{name} is not finite")
    if OUTPUT in places and torch.equal(places[OUTPUT], parameters[WORDS]):
        del places[OUTPUT]  # tied, and written nevertheless
    heads = {
        f"{module}.{kind}"
        for modules in HEADS.values()
        for module in modules
        for kind in ("weight", "bias")
    }
    if left := places.keys() - heads:
        raise WrongError(f"{sorted(left)} were dropped without a word")


def load_header(folder: Path) -> Header:
    """Read the header alone, as is done with files that lie on the hub."""
    return read_header(folder / "model.safetensors")


def judge_header(folder: Path, header: Header) -> None:
    """The safetensors library finds the same tensors, of the same types and shapes."""
    stored = read_with_the_library(folder / "model.safetensors")
    ours = {entry.name: entry.shape for entry in header.tensors}
    if ours != {name: tuple(tensor.shape) for name, tensor in stored.items()}:
        raise WrongError(f"the header says {ours}")
    for entry in header.tensors:
        if entry.dtype in WEIGHTS and stored[entry.name].dtype != WEIGHTS[entry.dtype]:
            raise WrongError(f"{entry.name} is {stored[entry.name].dtype}")


# config.json

LIKELY = (
    *(1, 2, 3, 4, 5, 6, 8, 0.0, 0.5, 1.0, "gelu", "relu", "GELU", "silu", "bert"),
    *(True, False, None, "regression", "distilbert", ["DistilBertForMaskedLM"]),
    *(1000, 1001, 10**6, 10**7, 10**8, 10**9, 10**12),
    *(Pairs([("0", "A"), ("1", "B")]), Pairs([("0", "A")]), Pairs([("A", 0)])),
)
ADDED = (
    *("num_labels", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("problem_type", "is_decoder", "pruned_heads", "quantization_config", "extra"),
    *(
        "output_hidden_states",
        "dtype",
        "torch_dtype",
        "tie_weights_",
        "attn_implementation",
    ),
    *("_name_or_path", "transformers_version", "chunk_size_feed_forward", "self"),
)


def damage_config(rng: random.Random, folder: Path) -> None:
    """A configuration changed in one to three places."""
    head = choose_head(rng, folder)
    (folder / "model.safetensors").write_bytes(whole(head))
    value = pairs(CONFIG)
    if rng.random() < 0.1:  # labels that have a number, and no names
        value[:] = [pair for pair in value if "label" not in pair[0]]
        value.append(("num_labels", rng.choice((*LIKELY, *STRANGE))))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if isinstance(value, Pairs) and rng.random() < 0.25:
            strange = rng.choice((*LIKELY, *STRANGE))
            value.append((rng.choice(ADDED), strange))
        else:
            value = damage_value(rng, value, LIKELY)
    (folder / "config.json").write_bytes(damage_text(rng, written(value)))


def load_config(folder: Path) -> DistilBertConfig:
    """Read the configuration, write it and read that: it must have stayed the same."""
    return DistilBertConfig.from_pretrained(folder)


READ = {"num_labels", "hidden_size", "num_hidden_layers", "num_attention_heads"}
SAME = (
    *("vocab_size", "max_position_embeddings", "n_layers", "n_heads", "dim"),
    *("hidden_dim", "activation", "dropout", "attention_dropout", "qa_dropout"),
    *("seq_classif_dropout", "initializer_range", "pad_token_id", "num_labels"),
    *("sinusoidal_pos_embds", "tie_word_embeddings", "id2label", "problem_type"),
)


def judge_config(folder: Path, config: DistilBertConfig) -> None:
    """transformers reads the same; and what is written again is the same."""
    from transformers import DistilBertConfig as Theirs

    values = json.loads((folder / "config.json").read_text("utf-8"))
    # Of what else it reads, such as a type to load in, ours only keeps a copy.
    names = (CONFIG.keys() | READ) - {"label2id"}
    read = {name: values[name] for name in values.keys() & names}
    if read.get("num_labels", 0) is None:
        del read["num_labels"]
    if type(read.get("initializer_range")) is int:
        read["initializer_range"] = float(read["initializer_range"])  # it insists
    try:
        theirs = Theirs.from_dict(read)
    except Exception as error:
        raise WrongError(f"read what transformers refuses: {error!s:.300}") from error
    for name in SAME:
        if getattr(config, name) != getattr(theirs, name):
            raise WrongError(
                f"{name} is {getattr(config, name)!r:.80}, transformers says "
                f"{getattr(theirs, name)!r:.80}"
            )
    config.save_pretrained(folder / "again")
    again = DistilBertConfig.from_pretrained(folder / "again")
    if repr(again) != repr(config):
        raise WrongError("what was written is not what was read")
    if config.n_layers < 50 and random.Random(repr(values)).random() < 0.2:
        try:
            model = load_model(folder)
        except minidistil.CheckpointError:
            return
        except minidistil.ConfigError:  # question answering wants two labels
            return
        judge_model(folder, model)


# The tokenizer

TOKENS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "good",
    "day",
    "##s",
    "é",
    "<x>",
]
TEXTS = ("good days", "Good  day", "GOOD é É day [MASK] <x>", "中good", "", "zzz <X>")


def damage_vocab(rng: random.Random, folder: Path) -> None:
    """Lines of vocab.txt changed, and then its bytes."""
    write_config(folder, "Model")
    lines = list(TOKENS)
    odd = (
        "",
        " ",
        "\t",
        "good ",
        " good",
        "\r",
        "day\r",
        "a\u2028b",
        "\ufeff",
        "\0",
        "#",
    )
    odd += (
        "##",
        "[PAD]",
        "[UNK]",
        "x" * 10**4,
        "\x85",
        "\x0b",
        "\U0001f600",
        "e\u0301",
    )
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines)) if lines else 0
        how = rng.randrange(6)
        if how == 0:
            lines[at : at + 1] = []
        elif how == 1:
            lines.insert(at, rng.choice((*odd, *TOKENS)))
        elif how == 2:
            lines[at : at + 1] = [rng.choice(odd)]
        elif how == 3:
            rng.shuffle(lines)
        elif how == 4:
            lines += rng.choice(
                ([""], ["", ""], ["x"] * 10, [f"w{i}" for i in range(999)])
            )
        else:
            lines = [f"{line}\r" for line in lines]
    text = "\n".join(lines) + rng.choice(("", "\n", "\n\n"))
    (folder / "vocab.txt").write_bytes(damage_text(rng, text))


def judge_vocab(folder: Path, tokenizer: DistilBertTokenizer) -> None:
    """The ids are those that the tokenizers library reads from the same lines."""
    from tokenizers.models import WordPiece

    content = (folder / "vocab.txt").read_bytes()
    (folder / "vocab.txt").write_bytes(content.removeprefix(b"\xef\xbb\xbf"))
    theirs = WordPiece.read_file(str(folder / "vocab.txt"))
    ours = tokenizer.get_vocab()
    differ = {token for token, _ in theirs.items() ^ ours.items()} - {""}
    if differ:
        raise WrongError(f"{sorted(differ)[:5]!a} have other ids")


TOKENIZER_CONFIG = {
    "do_lower_case": True,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
    "model_max_length": 512,
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
LIKELY_TOKENS = (
    *(True, False, None, 5, 9, 10, 11, 512, 1e30, 2**31, 2**32, -1),
    *("[UNK]", "[PAD]", "good", "<x>", "<y>", "left", "right", "WordPiece", "BPE"),
    *("BertNormalizer", "Lowercase", "##", "@@", ["[MASK]"], ["<y>"], ["good"]),
)
ADDED_SETTINGS = (
    *("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens"),
    *("padding_side", "truncation_side", "clean_up_tokenization_spaces", "vocab"),
    *("tokenizer_class", "backend", "added_tokens", "never_split", "name_or_path"),
)


@functools.cache
def tokenizer_json() -> str:
    """An undamaged tokenizer.json, with a token that is added."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

    vocab = {token: id for id, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(TOKENS[:5])
    tokenizer.add_tokens([AddedToken("<y>", normalized=False)])
    return str(tokenizer.to_str())


def damage_tokenizer(rng: random.Random, folder: Path) -> None:
    """Settings changed in tokenizer.json or in the files beside it."""
    write_config(folder, "Model")
    files: dict[str, Any] = {
        "tokenizer_config.json": pairs(TOKENIZER_CONFIG),
        "special_tokens_map.json": pairs({"unk_token": "[UNK]"}),
        "added_tokens.json": pairs({"[MASK]": 4}),
        "config.json": pairs(CONFIG),
    }
    if rng.random() < 0.6:
        files["tokenizer.json"] = pairs(json.loads(tokenizer_json()))
        name = rng.choice(("tokenizer.json", "tokenizer.json", "tokenizer_config.json"))
    else:
        (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", "utf-8")
        name = rng.choice(list(files))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = files[name]
        if name == "tokenizer_config.json" and rng.random() < 0.3:
            if isinstance(value, Pairs):
                strange = rng.choice((*LIKELY_TOKENS, *STRANGE))
                value.append((rng.choice(ADDED_SETTINGS), strange))
        else:
            files[name] = damage_value(rng, value, LIKELY_TOKENS)
    for each, value in files.items():
        text = written(value)
        content = damage_text(rng, text) if each == name else text.encode()
        (folder / each).write_bytes(content)


# What stands for a field that is not there; the library insists on having each.
MISSING_MODEL = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
}
MISSING_NORMALIZER = {
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def filled(content: dict[str, Any]) -> dict[str, Any]:
    """The parts of a tokenizer.json that cut text, without gaps."""
    flags = dict.fromkeys(FLAGS, False) | {"special": True}
    return {
        "version": "1.0",
        "model": MISSING_MODEL | content["model"] | {"unk_token": "[UNK]"},
        "normalizer": MISSING_NORMALIZER | content["normalizer"],
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "added_tokens": [flags | one for one in content.get("added_tokens") or ()],
    }


def judge_tokenizer(folder: Path, tokenizer: DistilBertTokenizer) -> None:
    """Texts become the ids that other readers of the same files make of them."""
    settings, old = (
        json.loads((folder / name).read_bytes())
        for name in ("tokenizer_config.json", "special_tokens_map.json")
    )
    named = {name: each for name, each in settings.items() if name.endswith("_token")}
    usual = {"unk_token": "[UNK]", "mask_token": "[MASK]"}
    if named.items() <= usual.items() and old == {"unk_token": "[UNK]"}:
        compare(tokenizer, transformers_ids(folder), add_special_tokens=True)
    changed = [
        name for name, old in TOKENIZER_CONFIG.items() if settings.get(name, old) != old
    ]
    path = folder / "tokenizer.json"
    if path.exists() and not changed and not settings.keys() & set(ADDED_SETTINGS):
        compare(tokenizer, library_ids(path), add_special_tokens=False)


def compare(
    tokenizer: DistilBertTokenizer, theirs: list[list[int]] | None, **options: bool
) -> None:
    """Raise unless the texts become these ids; None is no opinion."""
    for text, ids in zip(TEXTS, theirs or (), strict=False):
        ours = tokenizer.encode(text, **options)
        if ours != ids:
            raise WrongError(f"{text!r} becomes {ours}, others say {ids}")


def transformers_ids(folder: Path) -> list[list[int]] | None:
    """What transformers makes of the texts; None if it does not read the files.

    It leaves some damage to its users: KeyError, AttributeError.
    """
    from transformers import DistilBertTokenizer as Theirs

    try:
        theirs = Theirs.from_pretrained(folder)
        return [theirs.encode(text) for text in TEXTS]
    except Exception:
        return None


def library_ids(path: Path) -> list[list[int]]:
    """What the tokenizers library makes of the texts."""
    from tokenizers import Tokenizer

    try:
        theirs = Tokenizer.from_str(json.dumps(filled(json.loads(path.read_bytes()))))
    except Exception as error:
        raise WrongError(f"read what tokenizers refuses: {error}") from error
    # What tokenizer_config.json names is special, whatever else says so.
    theirs.add_special_tokens(TOKENS[:5])
    return [theirs.encode(text, add_special_tokens=False).ids for text in TEXTS]


# An index and its shards


def damage_index(rng: random.Random, folder: Path) -> None:
    """An index that lists other files or tensors, and shards that have been changed."""
    head = choose_head(rng, folder)
    write_config(folder, head)
    tensors = list(tensors_of(head).items())
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    shards = {name: dict(tensors[i::3]) for i, name in enumerate(names)}
    outside = folder.parent / "outside.safetensors"
    for name, content in shards.items():
        file = File(content)
        if rng.random() < 0.08:
            damage_tensor(rng, file)
        if rng.random() < 0.08:
            damage_numbers(rng, file)
        (folder / name).write_bytes(file.bytes())
    outside.write_bytes(File(shards[names[0]]).bytes())
    shard_of = {each: name for name, content in shards.items() for each in content}
    index = pairs({"metadata": {"total_size": 1}, "weight_map": shard_of})
    likely = (
        *names,
        "../outside.safetensors",
        str(outside),
        "a/../../outside.safetensors",
    )
    likely += (
        "model.safetensors",
        "config.json",
        "model.safetensors.index.json",
        "shard",
    )
    for _ in range(rng.choice((0, 1, 1, 2))):
        index = damage_value(rng, index, likely)
    if rng.random() < 0.1 and isinstance(index, Pairs):
        # The whole of a shard is said to lie somewhere else.
        elsewhere = rng.choice(likely)
        moved = dict.fromkeys(shards[names[0]], elsewhere)
        index = pairs({"weight_map": shard_of | moved})
    if rng.random() < 0.1:
        shard = folder / rng.choice(names)
        shard.unlink()
        kind = rng.randrange(4)
        if kind == 0:
            shard.mkdir()
        elif kind == 1:
            shard.symlink_to(shard)
        elif kind == 2:
            shard.symlink_to("/dev/zero")
    (folder / "model.safetensors.index.json").write_bytes(
        damage_text(rng, written(index))
    )


def judge_index(folder: Path, model: Any) -> None:
    """The parameters are what the shards hold, and no file is named but those."""
    index = json.loads((folder / "model.safetensors.index.json").read_text("utf-8"))
    stored: dict[str, Tensor] = {}
    for name in set(index["weight_map"].values()):
        if Path(name).name != name:
            raise WrongError(f"{name!r} is not beside the index")
        for each, tensor in read_with_the_library(folder / name).items():
            if index["weight_map"].get(each) != name or each in stored:
                raise WrongError(f"{each} is not listed in {name}")
            stored[each] = tensor
    if stored.keys() != index["weight_map"].keys():
        raise WrongError("a listed tensor is in no shard")
    judge_tensors(model, stored)


# The settings of sentence-transformers

KIND = "sentence_transformers.models."
SETTINGS = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": f"{KIND}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{KIND}Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{KIND}Normalize"},
    ],
    "1_Pooling/config.json": {"word_embedding_dimension": 4, "pooling_mode": "cls"},
    "sentence_bert_config.json": {"max_seq_length": 5, "do_lower_case": True},
    "config_sentence_transformers.json": {
        "prompts": {"query": "", "document": "d: "},
        "default_prompt_name": "query",
        "truncate_dim": None,
    },
}
SWITCHES = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
LIKELY_SETTINGS = (
    *("cls", "mean", "max", ["cls"], ["mean"], ["mean", "cls"], "query", "document"),
    *(f"{KIND}Transformer", f"{KIND}Pooling", f"{KIND}Dense", "1_Pooling", "../x"),
    *(None, True, False, "false", 0, 1, 3, 2**40, [], {}),
)


def damage_settings(rng: random.Random, folder: Path) -> None:
    """One or two of the files changed, or gone."""
    import sentence_transformers  # noqa: F401  here, before memory is limited

    files = {name: pairs(value) for name, value in SETTINGS.items()}
    if rng.random() < 0.3:
        files["modules.json"].pop()
    if rng.random() < 0.5:
        files["1_Pooling/config.json"] = pairs(SWITCHES)
    for name in rng.sample([*files], rng.choice((1, 1, 2))):
        if name != "modules.json" and rng.random() < 0.1:
            del files[name]
            continue
        for _ in range(rng.choice((1, 1, 2))):
            files[name] = damage_value(rng, files[name], LIKELY_SETTINGS)
    (folder / "1_Pooling").mkdir()
    for name, value in files.items():
        (folder / name).write_bytes(damage_text(rng, written(value)))


def load_settings(folder: Path) -> dict[str, Any]:
    """Read what they say of the options."""
    return read_settings(source=folder, lower_case=True, pooling=None)


def judge_settings(folder: Path, options: dict[str, Any]) -> None:
    """Those of sentence-transformers, which has no more to do than that."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    def read(name: str) -> Any:
        path = folder / name
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    modules = read("modules.json")
    if any(each["type"].endswith("Dense") for each in modules):
        raise WrongError("a layer on top is left out")
    pooling = read(f"{modules[1]['path']}/config.json")
    known = {"pooling_mode", *SWITCHES, "pooling_mode_max_tokens"}
    theirs = Pooling(
        embedding_dimension=4,
        **{name: value for name, value in pooling.items() if name in known},
    )
    expected = {
        "pooling": theirs.pooling_mode,
        "normalize": modules[-1]["type"].endswith("Normalize"),
    }
    length = read("sentence_bert_config.json").get("max_seq_length")
    if length is not None:
        expected["max_length"] = length
    if options != expected:
        raise WrongError(f"read {options}, sentence-transformers has {expected}")
    rest = read("config_sentence_transformers.json")
    prompt = (rest.get("prompts") or {}).get(rest.get("default_prompt_name"))
    if prompt or rest.get("truncate_dim") is not None:
        raise WrongError(f"the prompt {prompt!r:.60}, or a length, is left out")


load_tokenizer: Callable[[Path], Any] = DistilBertTokenizer.from_pretrained

GROUPS = {
    "header": Group(damage_file, load_model, judge_model),
    "contents": Group(damage_file, load_header, judge_header),
    "bytes": Group(damage_file_bytes, load_model, judge_model),
    "config": Group(damage_config, load_config, judge_config),
    "vocab": Group(damage_vocab, load_tokenizer, judge_vocab),
    "tokenizer": Group(damage_tokenizer, load_tokenizer, judge_tokenizer),
    "index": Group(damage_index, load_model, judge_index),
    "settings": Group(damage_settings, load_settings, judge_settings),
}

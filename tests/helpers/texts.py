"""Texts for the pipelines' tests, handwritten and generated."""

from __future__ import annotations

import random

# Each is one token of the vocabulary that the small checkpoints have.
WORDS = [
    "the",
    "film",
    "was",
    "good",
    "but",
    "its",
    "end",
    "were",
    "far",
    "too",
    "long",
]
# What tokenizers differ on: marks, scripts, emoji, controls, long and unknown words.
ODDITIES = [
    "Ünïcödé",
    "ΟΔΟΣ",
    "Это",
    "你好",
    "☕",
    "👩‍🚀",
    "e\u0301",
    "don't",
    "U.S.A.",
    "3,14",
    "\u200b",
    "\x00",
    "\ufffd",
    "İ",
    "x" * 101,
    "[SEP]",
    "[PAD]",
    "[UNK]",
    "[mask]",
    "-",
    "\u00a0",
]


def words(count: int, start: int = 0) -> str:
    """Return a text of so many tokens."""
    return " ".join(WORDS[i % len(WORDS)] for i in range(start, start + count))


def generated(count: int, *, masks: int = 0, longest: int = 20) -> list[str]:
    """Draw texts of words and oddities, with 1 to ``masks`` masks in each."""
    chance = random.Random(0)
    found = []
    for _ in range(count):
        text = chance.choices(WORDS, k=chance.randint(1, longest))
        for _ in range(chance.randint(0, 2)):
            text.insert(chance.randint(0, len(text)), chance.choice(ODDITIES))
        for _ in range(chance.randint(1, masks) if masks else 0):
            text.insert(chance.randint(0, len(text)), "[MASK]")
        found.append(chance.choice([" ", "  ", "\n"]).join(text))
    return found


# Where a character, a token and a word are seldom the same thing.
FRAGMENTS = [
    *WORDS,
    *ODDITIES,
    *["unbelievably", "HuggingFace's", "tokenizers", "e-mail", "@home", "3.14%"],
    *["été", "e\u0301te\u0301", "naïve", "Ångström", "İstanbul", "straße", "ﬁlm", "½"],
    *[
        "東京タワー",
        "한국어",
        "हिन्दी",
        "العربية",
        "Москва",
        "𝒳",
        "🇩🇪",
        "“quoted”",
        "¿qué?",
    ],
    *["ab\u00adcd", "ef\u200bgh", "\ufeffBOM", "\x07bell", "x[UNK]y", "##ing", "…"],
]
BLANKS = [*[" "] * 8, "  ", "\n", "\t", "\u00a0", "\u3000", ""]


def odd_text(seed: int, count: int) -> str:
    """Return a text of so many fragments, another one for each seed."""
    chance = random.Random(seed)
    parts = [chance.choice(FRAGMENTS) + chance.choice(BLANKS) for _ in range(count)]
    return "".join(parts)

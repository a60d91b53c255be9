"""Runs to report on, and their pages."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pages import HOSTILE, MARKUP

from minidistil.training.report import write_report

Run = dict[str, Any]
SEED = 2**62 + 1  # no double has it
MATRIX = [[378, 50], [42, 402]]


def distilled(lines: int = 120, steps: int = 1200) -> Run:
    """A distillation that runs: a teacher, three terms, six evaluations."""
    numbers = random.Random(lines)
    log = []
    for i in range(lines):
        done = (i + 1) / lines
        soft = 2 * math.exp(-4 * done) + 0.3 + numbers.gauss(0, 0.05)
        hard = 0.6 * math.exp(-3 * done) + 0.2 + numbers.gauss(0, 0.03)
        cosine = 0.3 * math.exp(-2 * done) + 0.1 + numbers.gauss(0, 0.01)
        log.append(
            {
                "step": (i + 1) * steps // lines,
                "epoch": 3 * done,
                "tokens": (i + 1) * 2317,
                "loss": 5 * soft + 2 * hard + cosine,
                "soft": soft,
                "hard": hard,
                "cosine": cosine,
                "learning_rate": 1e-4 * min(done / 0.1, (1 - done) / 0.9),
                "gradient": 0.2 + abs(numbers.gauss(1.2, 0.3)),
                "tokens_per_second": 12_300 + numbers.gauss(0, 80),
            }
        )
    evaluations = [
        {
            "step": k * steps // 6,
            "results": {"loss": 0.33 + 0.02 * k, "accuracy": 0.9 - 0.01 * abs(k - 4)},
        }
        for k in range(1, 7)
    ]
    defaults = {
        "epochs": 3,
        "learning_rate": 5e-5,
        "betas": (0.9, 0.999),
        "largest_gradient": 1.0,
        "seed": 0,
        "patience": None,
        "gradient_checkpointing": False,
        "layers": None,
    }
    return {
        "title": "MiniLM, distilled to 3 layers",
        "state": "running",
        "command": "minidistil distil --teacher mine --layers 0,2,4 --train train.tsv",
        "recipe": {
            "task": "text-classification",
            **defaults,
            "learning_rate": 1e-4,
            "seed": SEED,
            "layers": (0, 2, 4),
        },
        "defaults": defaults,
        "data": {
            "train": {
                "files": ["sst2/train.tsv"],
                "rows": 1000,
                "labels": {"NEGATIVE": 250, "POSITIVE": 747},
                "skipped": {"empty text": 3},
                "truncated": 12,
            },
            "dev": {
                "files": ["sst2/dev.tsv"],
                "rows": 872,
                "labels": {"NEGATIVE": 428, "POSITIVE": 444},
                "skipped": {},
                "truncated": 0,
            },
        },
        "log": log,
        "evaluations": evaluations,
        "best": {
            "step": evaluations[3]["step"],
            "metric": "accuracy",
            "value": evaluations[3]["results"]["accuracy"],
        },
        "details": {
            "confusion": {"labels": ["NEGATIVE", "POSITIVE"], "counts": MATRIX},
            "per_label": [
                {"label": "NEGATIVE", "precision": 0.9, "f1": 0.89151, "support": 428},
                {"label": "POSITIVE", "precision": 0.889, "f1": 0.897, "support": 444},
            ],
        },
        "mistakes": [
            {
                "text": "it 's not exactly a gourmet meal but the fare is fair",
                "true": "POSITIVE",
                "predicted": "NEGATIVE",
                "score": 0.99931,
                "loss": 7.2345,
                "row": "dev.tsv, row 512",
            },
            {"text": "word " * 200, "true": 1.5, "predicted": 2, "loss": 0.25},
        ],
        "teacher": {
            "name": "mine",
            "results": {"accuracy": 0.9021, "loss": 0.29},
            "parameters": 22_713_216,
        },
        "student": {"name": "small", "parameters": 17_383_296},
        "environment": {"torch": "2.13.0", "device": "cpu", "seed": SEED},
        "step": 1000,
        "steps": 1200,
        "seconds": 2231.0,
    }


def _empty() -> Run:
    return {"title": "Nothing yet", "state": "running", "step": 0, "steps": 100}


def _one_point() -> Run:
    run = distilled(1, 100) | {"state": "stopped by patience", "teacher": None}
    step, results = 100, {"accuracy": 1.0, "loss": 0.0}
    run["evaluations"] = [{"step": step, "results": results}]
    run["best"] = {"step": step, "metric": "accuracy", "value": 1.0}
    run["details"] = {"confusion": {"labels": ["ONLY"], "counts": [[5]]}}
    run["data"] = {"train": {"files": ["a"], "rows": 5, "labels": {"ONLY": 5}}}
    return run


def _diverged() -> Run:
    run = distilled()
    for line in run["log"][70:]:
        line |= {"loss": math.nan, "soft": -math.inf, "gradient": math.inf}
    del run["log"][3]["soft"]
    run["evaluations"][-1]["results"]["loss"] = math.nan
    return run | {"state": "diverged", "note": "The loss is not a number at step 700."}


def _many() -> Run:
    run = distilled()
    names = [f"label {i}" for i in range(200)]
    counts = [[50 if i == j else 0 for j in range(200)] for i in range(200)]
    for i in range(150):
        counts[i][(7 * i + 1) % 200] = i
    run["details"] = {
        "confusion": {"labels": names, "counts": counts},
        "per_label": [{"label": name, "f1": i / 200} for i, name in enumerate(names)],
        "impossible": {"questions": 7, "f1": 0.5},
    }
    for rows in run["data"].values():
        rows["labels"] = {name: i for i, name in enumerate(names)}
    run["data"]["train"]["files"] = [f"part-{i}.csv" for i in range(1000)]
    run["evaluations"] = [
        {"step": k, "results": {"accuracy": k / 1000, "loss": 1 - k / 1000}}
        for k in range(1000)
    ]
    run["best"] = {"step": 777, "metric": "accuracy", "value": 0.777}
    return run


def _hostile() -> Run:
    run = distilled(30, 300)
    names = [HOSTILE, *MARKUP]
    run |= dict.fromkeys(("title", "state", "note", "command"), HOSTILE)
    run["mistakes"] = [
        {"text": HOSTILE, "true": HOSTILE, "predicted": MARKUP[0], "row": HOSTILE},
        *({"text": text, "true": text, "predicted": text} for text in MARKUP),
        {"text": "x" * 100_000, "true": "", "predicted": " "},
        {"text": "", "true": 1.5, "predicted": None},
    ]
    run["details"] = {
        "confusion": {"labels": names, "counts": [[i] * 8 for i in range(8)]},
        "per_label": [{"label": name, HOSTILE: 0.5} for name in names],
        HOSTILE: {HOSTILE: HOSTILE},
    }
    run["data"] = {
        HOSTILE: {
            "files": names,
            "labels": dict.fromkeys(names, 1),
            "skipped": {HOSTILE: 2},
        }
    }
    run["recipe"][HOSTILE] = HOSTILE
    run["environment"] = {HOSTILE: HOSTILE}
    run["evaluations"] = [{"step": 5, "results": {HOSTILE: 0.5, "loss": 1.0}}]
    run["best"] = {"step": 5, "metric": HOSTILE, "value": 0.5}
    run["teacher"] = {"name": HOSTILE, "results": {HOSTILE: 1.0}}
    for line in run["log"]:
        line[HOSTILE] = 1.0
    return run


RUNS: dict[str, Callable[[], Run]] = {
    "distilled": distilled,
    "empty": _empty,
    "one point": _one_point,
    "diverged": _diverged,
    "many labels": _many,
    "hostile": _hostile,
    "long": lambda: distilled(10_000, 100_000),
}


@dataclass(frozen=True)
class Report:
    """A page on the disk, and the run that it shows."""

    path: Path
    run: Run


class Reports:
    """Pages by the names of `RUNS`, each made when a test first asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Report] = {}

    def __getitem__(self, name: str) -> Report:
        if name not in self._made:
            run = RUNS[name]()
            path = self._folder / f"{name}.html"
            write_report(path, deepcopy(run))
            self._made[name] = Report(path, run)
        return self._made[name]

"""The model card of what was trained: data, recipe, figures, how to repeat, limits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from math import isfinite
from pathlib import PurePath
from string import Template
from typing import Any

from minidistil.hub import HubCheckpointFiles, open_checkpoint
from minidistil.training.report import settings
from minidistil.weights.cards import CARD, cell, pairs, table, with_facts

MOST = 50  # labels in a table
# The hub's names, where they are not ours.
METRICS = {
    "matthews": "matthews_correlation",
    "spearman": "spearmanr",
    "pearson": "pearsonr",
    "f1_macro": "f1",
    "f1_micro": "f1",
}


@dataclass(frozen=True)
class Origin:
    """The checkpoint that a training starts from, or a teacher.

    Attributes:
        name: As a reader knows it.
        base_model: Its repository on the hub, or what its own card calls so.
        licence: What its card says; None if that is not known.
    """

    name: str
    base_model: str | None = None
    licence: str | None = None

    @classmethod
    def of(cls, source: str | os.PathLike[str]) -> Origin:
        """Read what a checkpoint's card says of it; nothing is guessed."""
        files = open_checkpoint(source)
        path = files.find(CARD) if files.has(CARD) else None
        said = {} if path is None else _facts(path.read_text("utf-8", "replace"))
        licence, base = said.get("license"), said.get("base_model")
        return cls(
            name=_plain(str(source)),
            base_model=files.name if isinstance(files, HubCheckpointFiles) else base,
            licence=licence if isinstance(licence, str) else None,
        )


def model_card(
    run: Mapping[str, Any],
    *,
    name: str,
    kind: str,
    origin: Origin | None = None,
    teacher: Origin | None = None,
    datasets: Sequence[str] = (),
) -> str:
    """Write the card of a result.

    Args:
        run: What the report shows; see `run.Run`.
        name: Of the result.
        kind: Its class, such as ``"DistilBertForTokenClassification"``.
        origin: What it started from; None if from layers of the teacher, or from
            random weights.
        teacher: Of a distillation.
        datasets: Their names on the hub, as they were given.
    """
    from huggingface_hub import EvalResult

    task = run["recipe"]["task"]
    data = run.get("data") or {}
    results = _results(run)
    measured_on = _measured_on(run)
    known = [*dict.fromkeys(each for each in (origin, teacher) if each)]
    command = (run.get("command") or "").replace("\n", " ")
    text = Template(
        (resources("minidistil.training") / "assets" / "model_card.md").read_text(
            "utf-8"
        )
    ).substitute(
        name=cell(name),
        summary=_summary(run, task, kind, origin, teacher),
        measured=_measured(run, measured_on),
        figures=_figures(run, results),
        per_label=_per_label(run),
        data=table(
            "| | files | rows | left out | longer than the model reads |",
            (
                (
                    role,
                    ", ".join(map(_plain, rows.get("files", ()))),
                    _whole(rows.get("rows")),
                    ", ".join(f"{n:,} ({x})" for x, n in rows["skipped"].items())
                    if rows.get("skipped")
                    else "0",
                    _whole(rows.get("truncated")),
                )
                for role, rows in data.items()
            ),
        ),
        labels=_labels(run),
        recipe=_recipe(run),
        fence=_fence(command),
        command=command,
        environment=table(
            "| | |",
            (
                [name, said or "–"]
                for name, said, *_ in settings(run.get("environment") or {}, {})
            ),
        ),
        limits=_limits(task, bool(data.get("train", {}).get("labels"))),
        sources=_sources(known),
    )
    return with_facts(
        text,
        library_name="minidistil",
        pipeline_tag=task,
        license=_licence(known),
        # One: of several the hub would take the result for a merge.
        base_model=next((x.base_model for x in known if x.base_model), None),
        datasets=[*datasets] or None,
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=task,
                dataset_type=(datasets[0] if datasets else measured_on),
                dataset_name=measured_on,
                dataset_split="dev",
                metric_type=METRICS.get(metric, metric),
                metric_name=metric,
                metric_value=value,
            )
            for metric, value in results.items()
            if metric != "loss"
        ]
        or None,
    )


def _facts(card: str) -> Mapping[str, Any]:
    """What stands before the Markdown of a card; nothing if it cannot be read."""
    from huggingface_hub import ModelCard

    try:
        found: Mapping[str, Any] = vars(ModelCard(card).data)
    except Exception:  # YAML, of whoever wrote it
        return {}
    return found


# Figures


def _results(run: Mapping[str, Any]) -> dict[str, float]:
    """The finite figures of the best evaluation."""
    best = run.get("best")
    for each in run.get("evaluations") or ():
        if best and each["step"] == best["step"]:
            return {
                x: y
                for x, y in each["results"].items()
                if y is not None and isfinite(y)
            }
    return {}


def _measured_on(run: Mapping[str, Any]) -> str:
    rows = (run.get("data") or {}).get("dev")
    files = rows.get("files", ()) if rows else ()
    return ", ".join(map(_plain, files)) or "dev"


def _measured(run: Mapping[str, Any], where: str) -> str:
    best = run.get("best")
    if not best:
        return "It has not been measured."
    rows = _whole(((run.get("data") or {}).get("dev") or {}).get("rows"))
    return (
        f"Measured on the {rows} rows of {cell(where)}. The weights are those of step "
        f"{best['step']:,}, chosen by {cell(best['metric'])} on these same rows: the "
        f"figures are slightly optimistic."
    )


def _figures(run: Mapping[str, Any], results: Mapping[str, float]) -> str:
    if not results:
        return ""
    teacher = run.get("teacher")
    if not teacher:
        return pairs("| | |", {x: f"{y:.4f}" for x, y in results.items()})
    of_teacher = teacher.get("results") or {}
    return table(
        "| | this model | its teacher |",
        ((x, f"{y:.4f}", _decimal(of_teacher.get(x))) for x, y in results.items()),
    )


def _per_label(run: Mapping[str, Any]) -> str:
    rows = [*(run.get("details") or {}).get("per_label", ())]
    if not rows:
        return ""
    names = [name for name in rows[0] if name != "label"]
    head = f"Label by label:\n\n| label | {' | '.join(map(cell, names))} |"
    lines = [
        [str(each["label"]), *(_decimal(each.get(name)) for name in names)]
        for each in rows[:MOST]
    ]
    return table(head, lines) + _more(len(rows) - MOST)


# Data and recipe


def _labels(run: Mapping[str, Any]) -> str:
    data = run.get("data") or {}
    of_role = {role: rows.get("labels") or {} for role, rows in data.items()}
    names = [*dict.fromkeys(name for labels in of_role.values() for name in labels)]
    if not names:
        return ""
    head = f"| label | {' | '.join(map(cell, of_role))} |"
    lines = [
        [name, *(f"{labels.get(name, 0):,}" for labels in of_role.values())]
        for name in names[:MOST]
    ]
    return table(head, lines) + _more(len(names) - MOST)


def _recipe(run: Mapping[str, Any]) -> str:
    rows = (
        [name, said or "not set", (default or "not set") if differs else ""]
        for name, said, differs, default in settings(
            run["recipe"], run.get("defaults") or {}
        )
    )
    return table("| | | default, where it is another |", rows)


def _summary(
    run: Mapping[str, Any],
    task: str,
    kind: str,
    origin: Origin | None,
    teacher: Origin | None,
) -> str:
    layers = run["recipe"].get("layers")
    start = f"from {cell(origin.name)}" if origin else "from random weights"
    if teacher and not origin and layers is not None:
        start = f"from its layers {', '.join(map(str, layers))}"
    made = (
        f"distilled from {cell(teacher.name)}, starting {start}"
        if teacher
        else f"trained {start}"
    )
    state = run["state"]
    end = (
        ""
        if state in ("finished", "stopped by patience")
        else (
            f" **The training is not finished: it is {cell(state)}, at step "
            f"{_whole(run.get('step'))} of {_whole(run.get('steps'))}.**"
        )
    )
    return f"A DistilBERT for {task.replace('-', ' ')} (`{kind}`), {made}.{end}"


def _limits(task: str, has_labels: bool) -> str:
    lines = [
        "It learnt from the data above. Of texts of another kind or language the "
        "figures say nothing.",
        "Biases of the data, and of the model that it started from, are its own, and "
        "have not been measured.",
    ]
    if has_labels and task == "text-classification":
        lines.append("Every text gets a label, whether or not one fits.")
    if task == "question-answering":
        lines.append("An answer is a part of the text, or none; it is never composed.")
    if task in ("text-classification", "multiple-choice", "token-classification"):
        lines.append("Scores are no calibrated probabilities.")
    return "\n".join(f"- {line}" for line in lines)


def _sources(known: Sequence[Origin]) -> str:
    if not known:
        return (
            "The weights derive from no other model. The data have terms of their own."
        )
    lines = [
        f"The weights derive from {cell(each.name)}, whose licence is "
        f"{cell(each.licence) if each.licence else 'not known here: ask who made it'}."
        for each in known
    ]
    return " ".join([*lines, "The data have terms of their own."])


def _licence(known: Sequence[Origin]) -> str | None:
    """The one licence of all that the weights derive from, if it is known."""
    licences = {each.licence for each in known}
    return licences.pop() if len(licences) == 1 else None


# Small things


def _plain(address: str) -> str:
    """A name on the hub, or the last part of a path: no card tells where a home is."""
    return PurePath(address).name if PurePath(address).is_absolute() else address


def _fence(code: str) -> str:
    """Longer than any run of backticks in the code."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    return "`" * max(3, longest + 1)


def _whole(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _decimal(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) and isfinite(value) else "–"


def _more(count: int) -> str:
    return f"And {count:,} more labels.\n\n" if count > 0 else ""

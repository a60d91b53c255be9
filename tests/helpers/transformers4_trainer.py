"""Open and train models with transformers 4.57; write what became of each.

    python tests/helpers/transformers4_trainer.py HEADS SAVED RESULTS

HEADS are names with commas. SAVED has a folder for each, written by our classes. It
runs with version 4.57 in its path: see `transformers4`.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

# ruff: noqa: E402
# The environment's `datasets` is too new for the huggingface_hub that 4.57 needs.
sys.modules["datasets"] = None

import torch
import transformers
from transformers import Trainer, TrainingArguments

import minidistil

IDS = torch.tensor(
    [[101, 1996, 2143, 102, 0], [101, 2204, 2021, 2049, 102], [101, 2203, 102, 0, 0]]
    * 4
)
CLASSES = torch.arange(len(IDS)) % 2
TEXTS = ["the film was good", "Ünïcödé [MASK], unbelievably", ""]


def rows_for(head):
    """Twelve rows of data, and their labels, for a model with that head."""
    inputs = {"input_ids": IDS, "attention_mask": (IDS > 0).long()}
    if head == "MultipleChoice":
        pairs = {k: torch.stack([v, v.roll(1, 0)], dim=1) for k, v in inputs.items()}
        return columns_to_rows(pairs | {"labels": CLASSES})
    if head == "QuestionAnswering":
        labels = {"start_positions": CLASSES, "end_positions": CLASSES + 1}
    elif head == "SequenceClassification":
        labels = {"labels": CLASSES}
    else:
        labels = {"labels": IDS.where(IDS > 0, -100) % 5 if head[0] == "T" else IDS}
    return columns_to_rows(inputs | labels)


def columns_to_rows(columns):
    return [
        {name: value[i] for name, value in columns.items()} for i in range(len(IDS))
    ]


def logits_of(model, rows):
    names = ("input_ids", "attention_mask")
    batch = {name: torch.stack([row[name] for row in rows]) for name in names}
    with torch.no_grad():
        found = model.eval()(**batch)
    return [value for name, value in found.items() if name.endswith("logits")]


def opened(library, head, folder):
    model = getattr(library, f"DistilBertFor{head}").from_pretrained(folder)
    return model, library.DistilBertTokenizer.from_pretrained(folder)


def training(library, head, folder, place, **options):
    model, tokenizer = opened(library, head, folder)
    rows = rows_for(head)
    usual = {
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "save_strategy": "steps",
        "save_steps": 2,
    }
    return Trainer(
        model=model,
        args=TrainingArguments(str(place), **usual | options),
        train_dataset=rows,
        eval_dataset=rows[:5],
        processing_class=tokenizer,
    )


def losses_of(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def train(library, head, folder, place):
    """Two steps, then evaluate, predict, save; a third step from the checkpoint."""
    trainer = training(library, head, folder, place, max_steps=2)
    trainer.train()
    losses = losses_of(trainer)
    rows = rows_for(head)
    predicted = trainer.predict(rows[:5])
    predictions = predicted.predictions
    if not isinstance(predictions, tuple):
        predictions = (predictions,)
    trainer.save_model(str(place / "saved"))
    model, tokenizer = opened(library, head, place / "saved")
    trained = logits_of(trainer.model, rows)
    again = logits_of(model, rows)
    assert all(map(torch.equal, trained, again)), "saved weights are others"
    resumed = training(library, head, folder, place, max_steps=3)
    resumed.train(resume_from_checkpoint=True)
    return {
        "losses": losses,
        "evaluated": trainer.evaluate()["eval_loss"],
        "predicted": [torch.as_tensor(each) for each in predictions],
        "logits": again,
        "ids": tokenizer(TEXTS)["input_ids"],
        "resumed": losses_of(resumed)[-1],
        "files": {path.name for path in (place / "saved").iterdir()},
    }


def attempt(function, *arguments):
    """What a function returns, or how it failed."""
    torch.manual_seed(0)
    try:
        return function(*arguments)
    except Exception:
        return traceback.format_exc()


def read(library, head, folder):
    model, tokenizer = opened(library, head, folder)
    return {
        "logits": logits_of(model, rows_for(head)),
        "ids": tokenizer(TEXTS)["input_ids"],
        "class": type(model).__name__,
        "labels": model.config.id2label,
    }


def main(heads, saved, results):
    assert transformers.__version__.startswith("4.57."), transformers.__version__
    torch.set_num_threads(1)
    found = {}
    for head in heads.split(","):
        folder, place = Path(saved) / head, Path(results) / head
        for library in (minidistil, transformers):
            name = library.__name__
            found["read", head, name] = attempt(read, library, head, folder)
            found["train", head, name] = attempt(
                train, library, head, folder, place / name
            )
        # What the one has trained and saved opens in the other.
        for one, other in (minidistil, transformers), (transformers, minidistil):
            there = place / one.__name__ / "saved"
            found["reopen", head, one.__name__] = attempt(read, other, head, there)
    torch.save(found, Path(results) / "found.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])

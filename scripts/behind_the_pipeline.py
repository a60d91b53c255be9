"""Behind the pipeline: the three steps from a sentence to its label, one at a time.

    text -> 1 tokenizer -> ids -> 2 model -> logits -> 3 softmax -> label

This walks through chapter 2 of the Hugging Face course ("Behind the pipeline" and
"Handling multiple sequences") and prints the intermediates that the course prints.

    python scripts/behind_the_pipeline.py                  # the embedded model
    python scripts/behind_the_pipeline.py --model sst-2    # the course's own

With the course's checkpoint (fetched once from the hub, 268 MB) the numbers that the
course prints stand beside ours.
"""

from __future__ import annotations

import warnings
from typing import Any

import click
import torch

from minidistil import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from minidistil.pipelines import (
    DEFAULT_MODEL,
    DEFAULT_REVISION,
    function_for,
    pipeline,
)

SENTENCES = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
]

# What the course prints, for its checkpoint: huggingface/course, chapters/en/chapter2,
# 2.mdx (the first two) and 5.mdx.
PUBLISHED = {
    "logits": [[-1.5607, 1.6123], [4.1692, -3.3464]],
    "probabilities": [[0.040195, 0.95980], [0.99946, 0.00054418]],
    "one sequence": [[-2.7276, 2.8789]],
    "row 1 alone": [[1.5694, -1.3895]],
    "row 2 alone": [[0.5803, -0.4125]],
    "no mask": [[1.5694, -1.3895], [1.3373, -1.2163]],
    "with mask": [[1.5694, -1.3895], [0.5803, -0.4125]],
}


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option(
    "--model",
    "source",
    default="tiny",
    show_default=True,
    help="'tiny', 'sst-2' (the course's checkpoint), a folder, or a hub repository.",
)
@torch.inference_mode()
def main(source: str) -> None:
    """Walk through the chapter with one checkpoint."""
    is_the_courses = source in ("sst-2", DEFAULT_MODEL)
    where: dict[str, Any] = {"source": source}
    if is_the_courses:
        where = {"source": DEFAULT_MODEL, "revision": DEFAULT_REVISION}
    published = PUBLISHED if is_the_courses else {}

    def show(name: str, value: torch.Tensor) -> None:
        click.echo(f"{name}:\n{value}")
        if name in published:
            expected = torch.tensor(published[name])
            click.echo(f"the course prints:\n{expected}")
            click.echo(f"largest difference: {(value - expected).abs().max():.1e}")

    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForSequenceClassification.from_pretrained(**where)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if (function := function_for(model.config)) != "softmax":
        raise click.ClickException(
            f"{source} does not choose one of several labels, as softmax does: its "
            f"function is {function!r}; minidistil classify answers with it"
        )

    title("Step 1: the tokenizer turns text into ids")
    inputs = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    for ids in inputs["input_ids"]:
        click.echo(tokenizer.convert_ids_to_tokens(ids.tolist()))
    show("input_ids", inputs["input_ids"])
    show("attention_mask (0 hides the padding)", inputs["attention_mask"])

    title("Step 2: the model turns ids into logits")
    encoder = AutoModel.from_pretrained(**where)
    hidden = encoder(**inputs).last_hidden_state
    click.echo(f"last_hidden_state: {tuple(hidden.shape)} (batch, tokens, dim)")
    logits = model(**inputs).logits
    click.echo(f"The head reads the first token's vector: logits {tuple(logits.shape)}")
    show("logits", logits)

    title("Step 3: softmax turns logits into probabilities, id2label into words")
    probabilities = logits.softmax(dim=-1)
    show("probabilities", probabilities)
    click.echo(f"id2label: {model.config.id2label}")
    for sentence, row in zip(SENTENCES, probabilities, strict=True):
        best = int(row.argmax())
        click.echo(f"{model.config.id2label[best]}  {row[best]:.4f}  {sentence}")

    title("The three steps in one: the pipeline")
    classify = pipeline("sentiment-analysis", model=model, tokenizer=tokenizer)
    click.echo(classify(SENTENCES))

    title("A model reads batches: one sequence needs a batch of its own")
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(SENTENCES[0]))
    try:
        model(torch.tensor(ids))
    except ValueError as error:
        click.echo(f"model(torch.tensor(ids)) fails:\n  {error}")
    click.echo("The cure is a batch of one: model(torch.tensor([ids])).")
    show("input_ids", torch.tensor([ids]))
    show("logits, one sequence", model(torch.tensor([ids])).logits)
    click.echo("(no [CLS] and [SEP] here, so it is not the result of step 2)")

    title("Padding is read too, unless a mask hides it")
    pad = tokenizer.pad_token_id
    batch = torch.tensor([[200, 200, 200], [200, 200, pad]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    click.echo(f"ids:\n{batch}")
    show("logits, row 1 alone", model(batch[:1]).logits)
    show("logits, row 2 alone", model(batch[1:, :2]).logits)
    click.echo("Together, without a mask, row 2 is wrong, and a warning says so:")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        show("logits, no mask", model(batch).logits)
    click.echo(f"Warning: {caught[0].message}")
    click.echo("With attention_mask=[[1, 1, 1], [1, 1, 0]] it is right again:")
    show("logits, with mask", model(batch, attention_mask=mask).logits)


def title(text: str) -> None:
    """Print the title of a step."""
    click.echo(f"\n{text}\n{'-' * len(text)}")


if __name__ == "__main__":
    main()

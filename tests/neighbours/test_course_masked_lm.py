"""Chapter 7 of the Hugging Face course: a masked language model for other texts.

The collator draws what is masked, so the losses agree only if both libraries' runs
take the same words from it.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from checkpoints import draw_lively
from datasets import Dataset
from snippets import NO_DROPOUT, assert_same_results, load, losses_of, on_a_cpu
from texts import words
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import (
    DataCollatorForLanguageModeling,
    Trainer,
    default_data_collator,
    get_scheduler,
)

pytestmark = pytest.mark.full

CHUNK = 16


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForMaskedLM", draw=draw_lively, **NO_DROPOUT)


def chunks(tokenizer: Any, **options: Any) -> Dataset:
    """Reviews, joined and divided into pieces of one length."""
    raw = Dataset.from_dict(
        {"text": [words(9 + i % 7, i) for i in range(12)], "label": [0] * 12}
    )

    def tokenize_function(examples):
        result = tokenizer(examples["text"], **options)
        if tokenizer.is_fast:
            rows = range(len(result["input_ids"]))
            result["word_ids"] = [result.word_ids(i) for i in rows]
        return result

    def group_texts(examples):
        joined = {k: list(chain.from_iterable(examples[k])) for k in examples}
        total_length = len(joined["input_ids"]) // CHUNK * CHUNK
        result = {
            k: [t[i : i + CHUNK] for i in range(0, total_length, CHUNK)]
            for k, t in joined.items()
        }
        result["labels"] = result["input_ids"].copy()
        return result

    tokenized = raw.map(
        tokenize_function, batched=True, remove_columns=["text", "label"]
    )
    return tokenized.map(group_texts, batched=True)


def test_the_words_behind_a_mask(folder):
    def snippet(library):
        model, tokenizer = load(library, "MaskedLM", folder)
        text = "This is a great [MASK]."
        inputs = tokenizer(text, return_tensors="pt")
        token_logits = model(**inputs).logits
        place = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
        mask_token_logits = token_logits[0, place, :]
        top = torch.topk(mask_token_logits, 5, dim=1).indices[0].tolist()
        filled = [
            text.replace(tokenizer.mask_token, tokenizer.decode([token]))
            for token in top
        ]
        return [model.num_parameters(), filled]

    assert_same_results(snippet)


def test_texts_are_grouped_and_masked(folder):
    def snippet(library):
        tokenizer = library.DistilBertTokenizer.from_pretrained(folder)
        rows = chunks(tokenizer)
        collator = DataCollatorForLanguageModeling(
            tokenizer=tokenizer, mlm_probability=0.15
        )
        samples = [
            {k: v for k, v in rows[i].items() if k != "word_ids"} for i in range(4)
        ]
        torch.manual_seed(0)
        batch = collator(samples)
        return [
            rows["word_ids"][:],
            dict(batch),
            [tokenizer.decode(chunk) for chunk in batch["input_ids"]],
        ]

    assert_same_results(snippet)


@pytest.mark.parametrize("whole_words", [False, True], ids=["tokens", "words"])
def test_the_trainer_and_the_perplexity(folder, tmp_path, whole_words):
    def snippet(library):
        model, tokenizer = load(library, "MaskedLM", folder)
        # Which pieces are one word, the collator reads off the offsets.
        rows = chunks(tokenizer, return_offsets_mapping=whole_words)
        rows = rows.remove_columns("word_ids")
        trainer = Trainer(
            model=model,
            args=on_a_cpu(
                tmp_path,
                eval_strategy="epoch",
                num_train_epochs=2,
                remove_unused_columns=not whole_words,
            ),
            train_dataset=rows.select(range(8)),
            eval_dataset=rows.select(range(4)),
            data_collator=DataCollatorForLanguageModeling(
                tokenizer=tokenizer, mlm_probability=0.3, whole_word_mask=whole_words
            ),
            processing_class=tokenizer,
        )
        before = math.exp(trainer.evaluate()["eval_loss"])
        trainer.train()
        after = math.exp(trainer.evaluate()["eval_loss"])
        return [before, losses_of(trainer), after]

    assert_same_results(snippet)


def test_the_loop_with_accelerate(folder, tmp_path):
    def snippet(library):
        model, tokenizer = load(library, "MaskedLM", folder)
        rows = chunks(tokenizer).remove_columns("word_ids")
        data_collator = DataCollatorForLanguageModeling(
            tokenizer=tokenizer, mlm_probability=0.3
        )

        def insert_random_mask(batch):
            features = [
                dict(zip(batch, values, strict=True))
                for values in zip(*batch.values(), strict=True)
            ]
            masked_inputs = data_collator(features)
            return {f"masked_{k}": v.numpy() for k, v in masked_inputs.items()}

        eval_dataset = rows.select(range(4)).map(
            insert_random_mask, batched=True, remove_columns=rows.column_names
        )
        renamed = {
            f"masked_{name}": name for name in ("input_ids", "attention_mask", "labels")
        }
        eval_dataset = eval_dataset.rename_columns(renamed)
        train_dataloader = DataLoader(
            rows, shuffle=True, batch_size=4, collate_fn=data_collator
        )
        eval_dataloader = DataLoader(
            eval_dataset.select_columns(list(renamed.values())),
            batch_size=4,
            collate_fn=default_data_collator,
        )
        optimizer = AdamW(model.parameters(), lr=1e-3)
        accelerator = Accelerator(cpu=True)
        model, optimizer, train_dataloader, eval_dataloader = accelerator.prepare(
            model, optimizer, train_dataloader, eval_dataloader
        )
        lr_scheduler = get_scheduler(
            "linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=3
        )
        trained = []
        model.train()
        for batch in train_dataloader:
            outputs = model(**batch)
            loss = outputs.loss
            accelerator.backward(loss)
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
            trained.append(loss.item())
        model.eval()
        losses = []
        for batch in eval_dataloader:
            with torch.no_grad():
                outputs = model(**batch)
            losses.append(accelerator.gather(outputs.loss.repeat(4)))
        perplexity = math.exp(torch.mean(torch.cat(losses)))
        output = tmp_path / library.__name__
        unwrapped_model = accelerator.unwrap_model(model)
        unwrapped_model.save_pretrained(output, save_function=accelerator.save)
        tokenizer.save_pretrained(output)
        mask_filler = library.pipeline("fill-mask", model=str(output))
        return [trained, perplexity, mask_filler("This is a great [MASK].")]

    assert_same_results(snippet)

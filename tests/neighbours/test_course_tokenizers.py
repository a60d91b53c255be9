"""Chapter 6 of the Hugging Face course: what pipelines do with offsets, by hand."""

from __future__ import annotations

import pytest
import torch
from checkpoints import draw_lively
from snippets import assert_same_results, load
from texts import words

pytestmark = pytest.mark.full

EXAMPLE = "My name is Sylvain and I work at Hugging Face in Brooklyn."
NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
QUESTION = "Which film was too long?"
LONG_CONTEXT = f"{words(60)}. The best film was good! {words(50, 4)}"


def test_the_special_powers_of_a_fast_tokenizer(folder_of):
    folder = folder_of()

    def snippet(library):
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
        encoding = tokenizer(EXAMPLE)
        start, end = encoding.word_to_chars(3)
        pair = tokenizer(QUESTION, EXAMPLE)
        return {
            "is_fast": [tokenizer.is_fast, encoding.is_fast],
            "tokens": encoding.tokens(),
            "word_ids": encoding.word_ids(),
            "word": EXAMPLE[start:end],
            "char": list(encoding.token_to_chars(5)),
            "token": encoding.char_to_token(12),
            "token of a word": list(encoding.word_to_tokens(3)),
            "word of a token": encoding.token_to_word(6),
            "word of a character": encoding.char_to_word(12),
            "sequence_ids": pair.sequence_ids(),
            "sequences": pair.n_sequences,
        }

    assert_same_results(snippet)


def test_entities_by_hand(folder_of):
    names = {"id2label": dict(enumerate(NAMES))}
    folder = folder_of("DistilBertForTokenClassification", draw=draw_lively, **names)

    def snippet(library):
        model, tokenizer = load(library, "TokenClassification", folder)
        outputs = model(**tokenizer(EXAMPLE, return_tensors="pt"))
        probabilities = torch.nn.functional.softmax(outputs.logits, dim=-1)[0].tolist()
        predictions = outputs.logits.argmax(dim=-1)[0].tolist()
        offsets = tokenizer(EXAMPLE, return_offsets_mapping=True)["offset_mapping"]
        results, idx = [], 0
        while idx < len(predictions):
            label = model.config.id2label[predictions[idx]]
            if label != "O":
                label = label[2:]
                start, end = offsets[idx]
                all_scores = []
                while idx < len(predictions) and model.config.id2label[
                    predictions[idx]
                ] in (f"I-{label}", f"B-{label}"):
                    all_scores.append(probabilities[idx][predictions[idx]])
                    _, end = offsets[idx]
                    idx += 1
                results.append(
                    {
                        "entity_group": label,
                        "score": sum(all_scores) / len(all_scores),
                        "word": EXAMPLE[start:end],
                        "start": start,
                        "end": end,
                    }
                )
            idx += 1
        return results

    assert assert_same_results(snippet)


@pytest.fixture(scope="module")
def answering(folder_of):
    return folder_of("DistilBertForQuestionAnswering", draw=draw_lively)


def masked(inputs, row: int = 0) -> torch.Tensor:
    """Hide all but the context; the first token stays, as "no answer"."""
    mask = torch.tensor([i != 1 for i in inputs.sequence_ids(row)])
    mask[0] = False
    return mask


def test_the_answer_to_a_question_by_hand(answering):
    context = EXAMPLE

    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", answering)
        inputs = tokenizer(QUESTION, context, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        start_logits, end_logits = outputs.start_logits, outputs.end_logits
        mask = masked(inputs)[None]
        start_logits[mask] = -10000
        end_logits[mask] = -10000
        start_probabilities = start_logits.softmax(dim=-1)[0]
        end_probabilities = end_logits.softmax(dim=-1)[0]
        scores = start_probabilities[:, None] * end_probabilities[None, :]
        scores = torch.triu(scores)
        max_index = scores.argmax().item()
        start_index = max_index // scores.shape[1]
        end_index = max_index % scores.shape[1]
        offsets = tokenizer(QUESTION, context, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        start_char, _ = offsets[start_index]
        _, end_char = offsets[end_index]
        return {
            "answer": context[start_char:end_char],
            "start": start_char,
            "end": end_char,
            "score": scores[start_index, end_index].item(),
            "masked in place": outputs.start_logits.tolist(),
        }

    assert_same_results(snippet)


def test_the_answer_in_a_long_context_by_hand(answering):
    def snippet(library):
        model, tokenizer = load(library, "QuestionAnswering", answering)
        inputs = tokenizer(
            QUESTION,
            LONG_CONTEXT,
            stride=12,
            max_length=40,
            padding="longest",
            truncation="only_second",
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        rows = inputs.pop("overflow_to_sample_mapping")
        offsets = inputs.pop("offset_mapping")
        inputs = inputs.convert_to_tensors("pt")
        with torch.no_grad():
            outputs = model(**inputs)
        mask = torch.stack([masked(inputs, row) for row in range(len(rows))])
        mask = torch.logical_or(mask, inputs["attention_mask"] == 0)
        outputs.start_logits[mask] = -10000
        outputs.end_logits[mask] = -10000
        starts = outputs.start_logits.softmax(dim=-1)
        ends = outputs.end_logits.softmax(dim=-1)
        found = []
        for start_probs, end_probs, offset in zip(starts, ends, offsets, strict=True):
            scores = torch.triu(start_probs[:, None] * end_probs[None, :])
            idx = scores.argmax().item()
            start_token, end_token = divmod(idx, scores.shape[1])
            start_char, _ = offset[start_token]
            _, end_char = offset[end_token]
            found.append(
                {
                    "answer": LONG_CONTEXT[start_char:end_char],
                    "start": start_char,
                    "end": end_char,
                    "score": scores[start_token, end_token].item(),
                }
            )
        return [rows, found]

    windows, _ = assert_same_results(snippet)
    assert len(windows) > 2


def test_several_texts_that_overflow(answering):
    sentences = [
        "This sentence is not too long but we are going to split it anyway.",
        "This sentence is shorter but will still get split.",
    ]

    def snippet(library):
        tokenizer = library.AutoTokenizer.from_pretrained(answering)
        inputs = tokenizer(
            sentences,
            truncation=True,
            return_overflowing_tokens=True,
            max_length=6,
            stride=2,
        )
        return [
            inputs["overflow_to_sample_mapping"],
            [tokenizer.decode(ids) for ids in inputs["input_ids"]],
            [inputs.word_ids(row) for row in range(len(inputs["input_ids"]))],
        ]

    assert_same_results(snippet)


def test_the_steps_of_the_tokenizer_itself(folder_of):
    folder = folder_of()

    def snippet(library):
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
        rust = tokenizer.backend_tokenizer
        text = "Héllò hôw are ü?"
        normalised = rust.normalizer.normalize_str(text)
        return [
            normalised,
            [word for word, _ in rust.pre_tokenizer.pre_tokenize_str(normalised)],
            rust.encode(text).tokens,
        ]

    assert_same_results(snippet)

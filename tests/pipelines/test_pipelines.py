"""The text classification pipeline, beside transformers' own."""

from __future__ import annotations

import copy
import json
import threading
import warnings
from collections import UserDict
from collections.abc import Iterator
from functools import partial
from itertools import pairwise, product
from time import sleep
from types import MappingProxyType

import numpy as np
import pytest
import torch
import transformers
from answers import assert_answers as assert_same, reference_pipeline
from checkpoints import write_checkpoint
from texts import words

import minidistil
from minidistil import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    CheckpointError,
    CheckpointNotFoundError,
    DistilBertForSequenceClassification,
    Engine,
    TextClassificationPipeline,
    pipeline,
    pipelines as room,
)
from minidistil.pipelines import loading, reading
from minidistil.pipelines.long_texts import TRUNCATIONS, keep_all, keep_head_and_tail

LABELS = {"id2label": {0: "NEGATIVE", 1: "POSITIVE"}}


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(**LABELS)


@pytest.fixture(scope="module")
def classify(folder):
    return pipeline("sentiment-analysis", folder)


load_reference = partial(
    reference_pipeline, "TextClassification", "ForSequenceClassification"
)


@pytest.fixture(scope="module")
def reference(folder):
    return load_reference(folder)


# What goes in and what comes out

ONE = {
    "a string": "I've been waiting for a HuggingFace course my whole life.",
    "an empty string": "",
    "a blank string": " \t\n",
    "another script": "Это прекрасно ☕ 你好",
    "a pair": {"text": "Is it good?", "text_pair": "It is not."},
    "a pair without a second": {"text": "Is it good?"},
    "a pair with an empty second": {"text": "Is it good?", "text_pair": ""},
    "a pair with None as second": {"text": "Is it good?", "text_pair": None},
    "a pair with an empty first": {"text": "", "text_pair": "It is not."},
}
MANY = {
    "a list of one": ["I hate this so much!"],
    "a list": ["I hate this so much!", "", "Not bad", words(30)],
    "a list of pairs": [ONE["a pair"], {"text": "a", "text_pair": words(20)}],
    "strings and pairs": ["Not bad", ONE["a pair"], words(9), ONE["a pair"]],
}
TOP_K = [{}, {"top_k": 1}, {"top_k": 2}, {"top_k": None}, {"top_k": 99}]


@pytest.mark.parametrize("inputs", [*ONE.values(), *MANY.values()], ids=[*ONE, *MANY])
@pytest.mark.parametrize("options", TOP_K, ids=str)
def test_an_answer_is_transformers_own(classify, reference, inputs, options):
    assert_same(classify(inputs, **options), reference(inputs, **options))


@pytest.mark.parametrize("inputs", ["Not bad", ["Not bad", "Bad"], ONE["a pair"]])
@pytest.mark.parametrize("options", TOP_K[1:], ids=str)
@pytest.mark.parametrize("at_call", [{}, {"top_k": 1}, {"top_k": None}], ids=str)
def test_an_option_of_the_pipeline_holds_unless_a_call_has_its_own(
    folder, inputs, options, at_call
):
    ours = pipeline("text-classification", folder, **options)
    theirs = load_reference(folder, **options)
    assert_same(ours(inputs, **at_call), theirs(inputs, **at_call))


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "none", "SOFTMAX"])
def test_scores_come_of_the_function_asked_for(classify, reference, function):
    options = {"function_to_apply": function, "top_k": None}
    inputs = MANY["a list"]
    assert_same(classify(inputs, **options), reference(inputs, **options))


@pytest.mark.parametrize(
    ("problem", "num_labels"),
    [
        *product([None, "regression", "multi_label_classification"], [1, 2, 5]),
        # With one label transformers refuses it.
        *product(["single_label_classification"], [2, 5]),
    ],
)
@pytest.mark.parametrize("options", [{}, {"top_k": None}], ids=str)
def test_the_models_problem_decides_on_the_function(
    folder_of, problem, num_labels, options
):
    folder = folder_of(num_labels=num_labels, problem_type=problem)
    ours, theirs = pipeline(model=folder), load_reference(folder)
    assert_same(ours("Not bad", **options), theirs("Not bad", **options))


def test_an_empty_list_has_no_answers(classify):
    assert classify([]) == []
    assert classify((), top_k=None) == []
    assert list(classify(iter([]))) == []


def test_answers_come_in_the_order_of_the_texts(classify, reference):
    texts = [words(1 + 7 * i % 40, start=i) for i in range(40)]
    assert_same(classify(texts, batch_size=3), reference(texts))


def test_other_texts_in_the_batch_do_not_change_an_answer(classify):
    texts = [words(1 + 7 * i % 40, start=i) for i in range(20)]
    alone = [classify(text, top_k=None) for text in texts]
    for size in (1, 4, 100):
        assert_same(classify(texts, top_k=None, batch_size=size), alone, 1e-5)


@pytest.mark.parametrize(
    "texts",
    [
        ("Bad", "Not bad"),
        np.array(["Bad", "Not bad"]),
        np.array(["Bad", "Not bad"], dtype=object),
        {"Bad": 1, "Not bad": 2}.keys(),
    ],
    ids=["tuple", "numpy", "numpy objects", "keys"],
)
def test_any_collection_of_texts_is_answered_with_a_list(classify, texts):
    assert classify(texts) == classify(["Bad", "Not bad"])


def test_a_numpy_string_is_a_string(classify):
    assert classify(np.str_("Bad")) == classify("Bad")


@pytest.mark.parametrize("kind", [UserDict, MappingProxyType])
def test_any_mapping_can_be_a_pair(classify, kind):
    assert classify(kind(ONE["a pair"])) == classify(ONE["a pair"])


class DataSet(torch.utils.data.Dataset):
    """As torch knows them: without an iterator, and with no end of its own."""

    def __init__(self, items):
        self.items = dict(enumerate(items))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number]


class Stream(torch.utils.data.IterableDataset):
    """As torch knows them: without a length."""

    def __iter__(self):
        return iter(lambda: "Not bad", None)


def test_a_data_set_is_answered_with_an_iterator_as_in_transformers(
    classify, reference
):
    items = ["Bad", ONE["a pair"], words(20), ""]
    answers = classify(DataSet(items))
    assert isinstance(answers, Iterator)
    assert_same([*answers], [*reference(DataSet(items), batch_size=2)], 1e-5)


class Counted(Stream):
    """One that guesses how long it is."""

    def __len__(self):
        return 10**9


@pytest.mark.parametrize(
    "stream",
    [Stream(), Counted(), torch.utils.data.DataLoader(Stream(), batch_size=None)],
    ids=["stream", "counted", "loader"],
)
def test_a_stream_without_an_end_is_answered_too(classify, stream):
    answers = classify(stream)
    assert_same([next(answers) for _ in range(9)], classify(["Not bad"] * 9), 1e-5)


class OddError(Exception):
    """As a source of texts may raise."""


@pytest.mark.parametrize(
    "error", [ValueError, IndexError, KeyError, OSError, RuntimeError, OddError]
)
def test_what_came_before_a_mistake_is_answered(classify, error):
    def texts():
        yield from [words(1 + i) for i in range(5)]
        raise error("what went wrong")

    answers = classify(texts())
    found = [next(answers) for _ in range(5)]
    assert_same(found, classify([words(1 + i) for i in range(5)]), 1e-5)
    with pytest.raises(error, match="what went wrong"):
        next(answers)


def test_an_iterator_is_read_as_its_answers_are_taken(classify, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 4)
    monkeypatch.setattr(reading, "PATIENCE", 60)
    taken = []

    def texts():
        for i in range(10):
            taken.append(i)
            yield words(1 + i)

    answers = classify(texts())
    assert taken == []
    found, read = [], []
    for answer in answers:
        found.append(answer)
        read.append(len(taken))
    # One, two, four, and from then on the same.
    assert read == [1, 3, 3, 7, 7, 7, 7, 10, 10, 10]
    assert_same(found, classify([words(1 + i) for i in range(10)]), 1e-5)


def test_a_slow_source_is_answered_as_it_comes(classify, monkeypatch):
    monkeypatch.setattr(reading, "PATIENCE", 0.05)
    taken = []

    def texts():
        for i in range(6):
            sleep(0.1)
            taken.append(i)
            yield words(1 + i)

    read = [len(taken) for _ in classify(texts())]
    assert read == [1, 2, 3, 4, 5, 6]


def test_an_iterator_may_never_end(classify, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 4)
    answers = classify("Not bad" for _ in iter(int, 1))
    assert_same([next(answers) for _ in range(9)], classify(["Not bad"] * 9), 1e-5)


# Which task it is


CLASSES = {
    "DistilBertModel": "feature-extraction",
    "DistilBertForMaskedLM": "fill-mask",
    "DistilBertForMultipleChoice": "multiple-choice",
    "DistilBertForQuestionAnswering": "question-answering",
    "DistilBertForSequenceClassification": "text-classification",
    "DistilBertForTokenClassification": "token-classification",
}


@pytest.mark.parametrize("kind", CLASSES)
def test_without_a_task_it_is_what_the_model_is_for(tmp_path, kind):
    folder = write_checkpoint(tmp_path, kind)
    assert pipeline(model=folder).task == CLASSES[kind]
    model = getattr(minidistil, kind).from_pretrained(folder)
    assert pipeline(model=model, tokenizer=folder).task == CLASSES[kind]
    assert pipeline(model=Engine(model), tokenizer=folder).task == CLASSES[kind]


def test_a_model_of_ones_own_class_is_for_what_the_class_below_it_is(folder):
    class Own(DistilBertForSequenceClassification):
        pass

    found = pipeline(model=Own.from_pretrained(folder), tokenizer=folder)
    assert found.task == "text-classification"


def test_a_checkpoint_of_sentence_transformers_is_for_sentence_embeddings(tmp_path):
    folder = write_checkpoint(tmp_path, "DistilBertModel")
    modules = [{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": "p"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "p").mkdir()
    (folder / "p/config.json").write_text('{"pooling_mode": "mean"}')
    assert pipeline(model=folder).task == "sentence-embeddings"


def test_the_wrong_task_is_told_the_right_one(tmp_path):
    folder = write_checkpoint(tmp_path, "DistilBertForTokenClassification")
    for task in ("text-classification", "question-answering"):
        with pytest.raises(
            CheckpointError, match=r"pipeline\('token-classification'\)"
        ):
            pipeline(task, folder)


# What is refused


@pytest.mark.parametrize(
    "value",
    [None, 3, float("nan"), b"bytes", bytearray(b"bytes"), torch.nn.Linear(1, 1)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_text_is_refused_alone_and_in_a_list(classify, value):
    with pytest.raises(TypeError, match=r"the text is .*, expected a string, a pair"):
        classify(value)
    with pytest.raises(TypeError, match=r"text 1 is .*, expected a string, a pair"):
        classify(["fine", value])


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"txt": "a"},
        {"text_pair": "a"},
        {"text": 1},
        {"text": "a", "text_pair": 0.5},
        {"text": "a", "text_pair": 0},
        {"text": "a", "text_pair": False},
        {"text": "a", "text_pair": []},
        {"text": "a", "text_pair": b"b"},
        {"text": "a", "text_pair": "b", "more": "c"},
    ],
    ids=str,
)
def test_a_mapping_that_is_no_pair_is_refused(classify, value):
    with pytest.raises(TypeError, match=r'\{"text": …, "text_pair": …\}'):
        classify(value)


def test_a_pair_in_a_list_is_refused_as_transformers_does(classify, reference):
    with pytest.raises(TypeError, match="text_pair"):
        classify([["Is it good?", "It is not."]])
    with pytest.raises(ValueError, match="text_pair"):
        reference([["Is it good?", "It is not."]])


def test_half_a_character_is_refused(classify):
    with pytest.raises(TypeError, match="surrogate"):
        classify("\ud83d")
    with pytest.raises(TypeError, match="text 1 has half of a surrogate pair"):
        classify(["a", {"text": "a", "text_pair": "\ud83d"}])


def test_a_long_text_is_named_and_those_before_it_are_answered(classify, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    texts = ["a", "b", "c", words(100), "d"]
    with pytest.raises(ValueError, match="text 3: a text has 100 tokens"):
        classify(texts, truncation="error")
    answers = classify(iter(texts), truncation="error")
    assert_same([next(answers) for _ in range(3)], classify(texts[:3]))
    with pytest.raises(ValueError, match="text 3: a text has 100 tokens"):
        next(answers)


@pytest.mark.parametrize("limit", [0, 2])
def test_a_model_that_reads_nothing_beside_its_frame_is_refused(folder, limit):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=limit)
    with pytest.raises(ValueError, match=f"model_max_length is {limit}, .* least 3"):
        pipeline(model=folder, tokenizer=tokenizer)


def test_an_argument_that_transformers_has_is_led_to_ours(classify, folder):
    with pytest.raises(TypeError, match="'devise'; did you mean 'device'"):
        pipeline(model=folder, devise="cpu")
    for name in ("tokenizer_kwargs", "tokenize_kwargs"):
        with pytest.raises(TypeError, match="use truncation= and max_length="):
            classify("a", **{name: {"max_length": 3}})


@pytest.mark.parametrize(
    ("asked", "same"), [("cuda", True), ("cuda:1", True), ("cuda:0", False)]
)
def test_an_engine_of_another_gpu_is_refused(
    classify, folder, monkeypatch, asked, same
):
    # As if there were two of them.
    monkeypatch.setattr(loading, "computing_device", torch.device)
    engine = copy.copy(classify.model)
    engine.device = torch.device("cuda:1")
    if same:
        assert pipeline(model=engine, tokenizer=folder, device=asked).model is engine
        return
    with pytest.raises(ValueError, match="computes in float32 on cuda:1"):
        pipeline(model=engine, tokenizer=folder, device=asked)


def test_a_list_is_checked_before_anything_is_computed(classify, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 1)
    monkeypatch.setattr(Engine, "__call__", None)
    with pytest.raises(TypeError, match="text 1 is nan"):
        classify(["fine", float("nan")])


def test_a_huge_value_is_not_printed_in_full(classify):
    with pytest.raises(TypeError) as error:
        classify([[["x" * 10_000]]])
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("top_k", 0, "at least 1"),
        ("top_k", -1, "at least 1"),
        ("top_k", True, "at least 1"),
        ("top_k", 1.5, "at least 1"),
        ("top_k", "all", "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("batch_size", None, "at least 1"),
        ("max_length", 2, "at least 3"),
        ("max_length", 1e9, "at least 3"),
        ("function_to_apply", "soft", "softmax, sigmoid, none"),
        ("truncation", "tail", r"head, head\+tail, window, error"),
        ("truncation", 2, r"head, head\+tail, window, error"),
    ],
)
def test_an_option_out_of_range_is_refused_wherever_it_is_given(
    classify, folder, option, value, message
):
    with pytest.raises(ValueError, match=f"{option} is .*{message}"):
        classify("text", **{option: value})
    with pytest.raises(ValueError, match=f"{option} is .*{message}"):
        pipeline(model=folder, **{option: value})


def test_an_unknown_option_is_refused_with_the_nearest(classify):
    with pytest.raises(TypeError, match="'topk'; did you mean 'top_k'"):
        classify("text", topk=2)


def test_an_unknown_option_is_refused_before_a_checkpoint_is_sought():
    with pytest.raises(TypeError, match="did you mean 'truncation'"):
        pipeline("text-classification", "no/such", trunkation="head")


def test_a_model_in_training_mode_is_refused(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder).train()
    classify = pipeline(model=model, tokenizer=folder)
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        classify("text")


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"'summarization'.*sentiment-analysis"):
        pipeline("summarization")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_damaged_model_is_refused_not_answered_for(folder, number):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.constant_(model.classifier.bias, number)
    with pytest.raises(ValueError, match="NaN or infinite: its weights are damaged"):
        pipeline(model=model, tokenizer=folder)("text")


def test_a_tokenizer_of_another_checkpoint_is_refused(folder_of):
    model = folder_of(vocab_size=1000)
    with pytest.raises(ValueError, match="4000 tokens and the model 1000"):
        pipeline(model=model)


def test_a_model_of_another_kind_is_refused(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder)
    with pytest.raises(TypeError, match="DistilBertModel, expected a DistilBertFor"):
        TextClassificationPipeline(model, tokenizer)


def test_a_tokenizer_of_another_library_is_refused(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with pytest.raises(TypeError, match="expected a DistilBertTokenizer"):
        pipeline(model=model, tokenizer=tokenizer)


def test_a_loaded_model_needs_its_tokenizer(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(ValueError, match="give tokenizer= too"):
        pipeline(model=model)


@pytest.mark.parametrize("device", ["gpu", "", "meta", "hpu", "cuda:99", 99])
def test_a_device_that_cannot_be_used_is_refused(folder, device):
    with pytest.raises(ValueError, match="cannot be used"):
        pipeline(model=folder, device=device)


# Where the model comes from


def test_a_loaded_model_answers_as_its_folder_does(classify, folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, backend="python")
    for one in (tokenizer, folder, str(folder)):
        assert_same(pipeline(model=model, tokenizer=one)("Bad"), classify("Bad"))


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), -1])
def test_the_cpu_has_three_names(classify, folder, device):
    assert pipeline(model=folder, device=device)("Bad") == classify("Bad")


def test_a_model_can_be_run_in_half_precision(classify, folder):
    half = pipeline(model=folder, dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    assert_same(half("Bad", top_k=None), classify("Bad", top_k=None), 0.02)


def test_eager_attention_can_be_asked_for(classify, folder):
    eager = pipeline(model=folder, attn_implementation="eager")
    assert_same(eager("Not bad"), classify("Not bad"))


def test_the_side_that_a_tokenizer_pads_on_changes_nothing(classify, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    texts = [words(3), words(20)]
    left = pipeline(model=folder, tokenizer=tokenizer, dtype="float32")
    assert_same(left(texts, top_k=None), classify(texts, top_k=None), 1e-5)


# The engine


def test_unless_asked_otherwise_an_engine_answers_in_float32(classify):
    assert isinstance(classify.model, Engine)
    assert classify.model.precision == "float32"


@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.02), ("int8", 0.05)])
def test_another_precision_can_be_asked_for(classify, folder, precision, bound):
    fast = pipeline(model=folder, precision=precision)
    assert fast.model.precision == precision
    texts = [words(n) for n in (1, 7, 30)]
    assert_same(fast(texts, top_k=None), classify(texts, top_k=None), bound)


def test_a_loaded_model_runs_itself_unless_a_precision_is_asked_for(classify, folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert pipeline(model=model, tokenizer=folder).model is model
    packed = pipeline(model=model, tokenizer=folder, precision="float32")
    assert isinstance(packed.model, Engine)
    assert_same(packed("Not bad"), classify("Not bad"))


def test_an_engine_can_be_given(classify, folder):
    one = pipeline(model=classify.model, tokenizer=folder, device="cpu")
    assert one.model is classify.model
    assert one("Not bad") == classify("Not bad")
    with pytest.raises(ValueError, match="the engine computes in float32 on cpu"):
        pipeline(model=classify.model, tokenizer=folder, precision="int8")


def test_an_engine_of_another_head_is_refused(folder):
    encoder = Engine(AutoModel.from_pretrained(folder))
    with pytest.raises(TypeError, match="got a DistilBertModel, expected a DistilB"):
        pipeline("text-classification", encoder, tokenizer=folder)


@pytest.mark.parametrize("options", [{"dtype": "float16"}, {"dtype": torch.float32}])
def test_a_precision_and_a_dtype_exclude_each_other(folder, options):
    with pytest.raises(ValueError, match="give the one or the other"):
        pipeline(model=folder, precision="int8", **options)


def test_a_dtype_does_not_change_what_is_loaded(folder):
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with pytest.raises(ValueError, match="still to be loaded"):
        pipeline(model=model, tokenizer=folder, dtype="float16")


def test_an_unknown_precision_is_told_before_anything_is_fetched():
    with pytest.raises(ValueError, match="precision is 'fp8', expected one of float32"):
        pipeline(model="no/such-model", precision="fp8")


def _spy(cls, folder, asked):
    load = cls.from_pretrained

    def from_pretrained(source, *head_and_precision, **options):
        asked.append((source, options["revision"]))
        return load(folder, *head_and_precision)

    return from_pretrained


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, room.DEFAULT_REVISION), ({"revision": "main"}, "main")],
)
def test_without_a_model_it_is_the_courses_at_its_revision(
    monkeypatch, folder, given, expected
):
    asked = []
    for cls in (AutoTokenizer, Engine):
        monkeypatch.setattr(cls, "from_pretrained", _spy(cls, folder, asked))
    pipeline("sentiment-analysis", **given)
    assert asked == [(room.DEFAULT_MODEL, expected)] * 2


def test_the_models_revision_is_not_that_of_another_tokenizer(monkeypatch, folder):
    asked = []
    monkeypatch.setattr(Engine, "from_pretrained", _spy(Engine, folder, asked))
    task = "text-classification"
    pipeline(task, "someone/a-model", revision="v1", tokenizer=folder)
    assert asked == [("someone/a-model", "v1")]


def test_offline_the_error_names_the_command_that_helps(tmp_path):
    with pytest.raises(CheckpointNotFoundError) as error:
        pipeline(cache_dir=tmp_path, local_files_only=True)
    command = f"hf download {room.DEFAULT_MODEL} --revision {room.DEFAULT_REVISION}"
    assert command in str(error.value)


# Long texts

LIMIT = 48  # positions of the model
ROOM = 46
LONG = words(100)


def hand_made(reference, parts):
    """The mean of the scores of lists of words, framed by hand, by the plain model."""
    tokenizer, model = reference.tokenizer, reference.model
    scores = []
    for part in parts:
        tokens = ["[CLS]", *part, "[SEP]"]
        ids = torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])
        with torch.no_grad():
            scores.append(model(ids).logits[0].softmax(dim=0))
    mean = torch.stack(scores).mean(dim=0)
    best = int(mean.argmax())
    return [{"label": model.config.id2label[best], "score": float(mean[best])}]


@pytest.mark.parametrize(
    ("truncation", "spans"),
    [
        ("head", [[(0, 46)]]),
        (True, [[(0, 46)]]),
        ("head+tail", [[(0, 12), (66, 100)]]),
        ("window", [[(0, 46)], [(35, 81)], [(54, 100)]]),
    ],
)
def test_a_long_text_is_read_as_asked(classify, reference, truncation, spans):
    tokens = LONG.split()
    parts = [[word for i, j in part for word in tokens[i:j]] for part in spans]
    expected = hand_made(reference, parts)
    assert_same(classify(LONG, truncation=truncation), expected)


@pytest.mark.parametrize("truncation", [None, *TRUNCATIONS, True, False])
def test_a_text_that_just_fits_is_not_cut(classify, reference, truncation):
    text = words(ROOM)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(classify(text, truncation=truncation), reference(text))


def test_one_token_too_many_makes_two_windows(classify, reference):
    tokens = words(ROOM + 1).split()
    expected = hand_made(reference, [tokens[:ROOM], tokens[1:]])
    assert_same(classify(words(ROOM + 1), truncation="window"), expected)


def test_windows_cover_all_and_overlap_by_a_quarter():
    for length in range(511, 3000, 7):
        windows = keep_all(list(range(length)), 510)
        assert all(len(window) == 510 for window in windows)
        assert windows[0][0] == 0
        assert windows[-1][-1] == length - 1
        for one, next_one in pairwise(windows):
            assert one[0] < next_one[0] <= one[-1] - 510 // 4 + 1


def test_head_and_tail_keep_what_the_paper_kept():
    (kept,) = keep_head_and_tail(list(range(1000)), 510)
    assert kept == [*range(128), *range(1000 - 382, 1000)]


@pytest.mark.parametrize("truncation", ["error", False])
def test_a_long_text_can_be_refused(classify, truncation):
    with pytest.raises(ValueError, match=r"100 tokens .* at most 46: .*'head\+tail'"):
        classify(["short", LONG], truncation=truncation)


def test_a_text_that_is_truncated_is_warned_of(classify, reference):
    with pytest.warns(UserWarning, match="^the text is longer .* only its beginning"):
        answer = classify(LONG)
    assert_same(answer, hand_made(reference, [LONG.split()[:ROOM]]))


@pytest.mark.parametrize("truncation", list(TRUNCATIONS)[:3])
def test_a_chosen_cut_is_not_told(classify, truncation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify(LONG, truncation=truncation)


def test_texts_of_the_length_that_transformers_cuts_to_answer_alike(
    classify, reference
):
    options = {"truncation": True, "max_length": 10}
    inputs = [LONG, {"text": LONG, "text_pair": words(30, start=3)}, "short"]
    assert_same(classify(inputs, **options), reference(inputs, **options))


def test_max_length_cannot_exceed_what_the_model_reads(classify):
    long = classify(LONG, truncation="head", max_length=10_000)
    assert long == classify(LONG, truncation="head", max_length=LIMIT)


def test_the_tokenizers_own_limit_counts_too(folder, reference):
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=12)
    classify = pipeline(model=folder, tokenizer=tokenizer)
    expected = hand_made(reference, [LONG.split()[:10]])
    assert classify.max_length == 12
    assert_same(classify(LONG, truncation="head"), expected)


def test_a_long_pair_is_cut_where_the_tokenizer_cuts_it(classify, reference):
    for first, second in [(30, 70), (70, 30), (80, 5), (5, 80), (300, 300)]:
        pair = {"text": words(first), "text_pair": words(second, start=5)}
        expected = reference(pair, truncation=True, max_length=LIMIT)
        assert_same(classify(pair, truncation="head"), expected)


@pytest.mark.parametrize(
    ("truncation", "parts"),
    [
        # 48 tokens less 3 and the second text's 30 are 15.
        ("head+tail", [f"{words(4)} {words(11, start=19)}"]),
        ("window", [words(15), words(15, start=12), words(15, start=15)]),
    ],
)
def test_of_a_long_pair_the_first_text_is_cut_as_asked(
    classify, reference, truncation, parts
):
    pair = {"text": words(30), "text_pair": words(30, start=5)}
    (found,) = classify([pair], truncation=truncation, top_k=None)
    found = {one["label"]: one["score"] for one in found}
    each = [
        reference({"text": part, "text_pair": pair["text_pair"]}, top_k=None)
        for part in parts
    ]
    for label, score in found.items():
        scores = [
            one["score"] for some in each for one in some if one["label"] == label
        ]
        assert score == pytest.approx(sum(scores) / len(parts), abs=1e-6)


@pytest.mark.parametrize("truncation", ["error", False])
def test_a_long_pair_can_be_refused(classify, truncation):
    pair = {"text": words(30), "text_pair": words(30)}
    with pytest.raises(ValueError, match=r"has 30 tokens .* expected at most 15: "):
        classify(pair, truncation=truncation)


def test_a_second_text_that_leaves_no_room_for_the_first_is_refused(classify):
    pair = {"text": words(3), "text_pair": words(60)}
    with pytest.raises(ValueError, match="second text has 60 tokens, which of the 48"):
        classify(pair, truncation="window")


def test_a_pair_that_just_fits_is_not_cut(classify, reference):
    pair = {"text": words(25), "text_pair": words(20)}
    assert_same(classify(pair, truncation="error"), reference(pair))


def test_the_shortest_max_length_still_reads_a_word(classify, reference):
    for truncation in ("head", "head+tail"):
        answer = classify(LONG, truncation=truncation, max_length=3)
        kept = ["the"]  # also the first quarter of one token
        assert_same(answer, hand_made(reference, [kept]))
    windows = classify("film good", truncation="window", max_length=3)
    assert_same(windows, hand_made(reference, [["film"], ["good"]]))


def test_a_text_of_a_book_chapter_is_answered(classify):
    answer = classify("good film " * 10_000, truncation="head")
    assert_same(answer, classify("good film " * 30, truncation="head"), 1e-5)


# Threads


def test_sixteen_threads_share_a_pipeline(classify):
    jobs = [
        (texts, {"top_k": top_k, "truncation": truncation, "max_length": length})
        for texts in (LONG, [words(60), "Bad", ""], {"text": "a", "text_pair": "b"})
        for top_k in (1, None)
        for truncation in ("head", "head+tail", "window")
        for length in (9, None)
        if not isinstance(texts, dict) or truncation == "head"
    ]
    expected = [classify(texts, **options) for texts, options in jobs]
    wrong = []

    def work(number):
        for i in range(len(jobs)):
            place = (i + 5 * number) % len(jobs)
            texts, options = jobs[place]
            if classify(texts, **options) != expected[place]:
                wrong.append(jobs[place])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

"""What the commands of the tasks can be told, and what they answer to mistakes."""

from __future__ import annotations

import json

import pytest
from checkpoints import (
    draw_lively,
    say_how_sentences_become_vectors,
    write_checkpoint,
)
from commands import assert_refused, records, run as run_command
from texts import words

from minidistil import pipeline, progress
from minidistil.cli import main
from minidistil.pipelines.text_classification import FUNCTIONS

HEADS = {
    "classify": "SequenceClassification",
    "zero-shot": "SequenceClassification",
    "answer": "QuestionAnswering",
    "tag": "TokenClassification",
    "fill-mask": "MaskedLM",
    "choose": "MultipleChoice",
}
TASKS = {
    "classify": "text-classification",
    "zero-shot": "zero-shot-classification",
    "answer": "question-answering",
    "tag": "token-classification",
    "fill-mask": "fill-mask",
    "choose": "multiple-choice",
    "embed": "sentence-embeddings",
    "features": "feature-extraction",
}
NAMES = {
    "TokenClassification": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "SequenceClassification": ["contradiction", "entailment", "neutral"],
}
LONG = words(100)  # tokens, of which the model can read 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give the folder of a model for a command."""
    made = {}

    def folder(command):
        head = HEADS.get(command)
        if head not in made:
            kind = f"DistilBertFor{head}" if head else "DistilBertModel"
            labels = dict(enumerate(NAMES[head])) if head in NAMES else None
            made[head] = str(
                write_checkpoint(
                    tmp_path_factory.mktemp("model"),
                    kind,
                    draw=draw_lively,
                    **({"id2label": labels} if labels else {}),
                )
            )
        return made[head]

    return folder


@pytest.fixture
def run(folder):
    def run(command, *arguments, stdin=None):
        return run_command(command, "--model", folder(command), *arguments, stdin=stdin)

    return run


@pytest.fixture
def pipe(folder):
    def pipe(command, **options):
        return pipeline(TASKS[command], folder(command), **options)

    return pipe


def near(value):
    """The same, but for the last bits of its numbers."""
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-5)
    if isinstance(value, dict):
        return {name: near(each) for name, each in value.items()}
    return [near(each) for each in value] if isinstance(value, list) else value


# Help


@pytest.mark.parametrize(
    "command",
    [*TASKS, "explain", "weights export", "weights publish"],
)
def test_help_fits_a_terminal_and_says_nothing_twice(command):
    result = run_command(*command.split(), "--help")
    assert max(map(len, result.stdout.splitlines())) <= 80
    flat = " ".join(result.stdout.split())
    assert "[required] [required]" not in flat


# How much of a text is read

LENGTHS = {
    "classify": ([LONG], LONG, {}),
    "fill-mask": ([f"[MASK] {LONG}"], f"[MASK] {LONG}", {}),
    "zero-shot": (["-l", "film,end", LONG], LONG, {"candidate_labels": "film,end"}),
    "choose": ([LONG, "a", "b"], {"prompt": LONG, "choices": ["a", "b"]}, {}),
    "embed": ([LONG], LONG, {}),
    "features": ([LONG], LONG, {}),
}
# What of the command's record is the pipeline's answer.
ANSWERS = {
    "classify": lambda record: [{k: record[k] for k in ("label", "score")}],
    "fill-mask": lambda record: record["masks"][0],
    "zero-shot": lambda record: {"sequence": record.pop("text"), **record},
    "choose": lambda record: record["choices"],
    "embed": lambda record: record["vector"],
    "features": lambda record: [record["vectors"]],
}


@pytest.mark.parametrize("command", LENGTHS)
def test_a_length_of_fewer_tokens_can_be_chosen(run, pipe, command):
    arguments, given, options = LENGTHS[command]
    short = [*arguments, "--json", "--truncation", "head", "--max-length", "14"]
    (record,) = records(run(command, *short))
    ask = pipe(command, truncation="head", **options)
    expected, whole = ask(given, max_length=14), ask(given)
    if command == "embed":
        expected, whole = expected.tolist(), whole.tolist()
    found = ANSWERS[command](record)
    assert found == near(expected)
    assert found != near(whole)


@pytest.mark.parametrize("command", LENGTHS)
def test_a_length_that_leaves_no_token_is_refused(run, command):
    arguments = LENGTHS[command][0]
    result = run(command, *arguments, "--json", "--max-length", "2")
    assert_refused(result, "--max-length", "x>=3", code=2)


def test_a_checkpoints_own_length_holds_unless_another_is_chosen(tmp_path):
    folder = str(write_checkpoint(tmp_path / "model", "DistilBertModel"))
    say_how_sentences_become_vectors(tmp_path / "model")
    ask = pipeline("sentence-embeddings", folder, truncation="head")
    command = ["embed", "-m", folder, "--json", "--truncation", "head", LONG]
    for options, length in (([], 5), (["--max-length", "9"], 9)):
        (record,) = records(run_command(*command, *options))
        assert record["vector"] == near(ask(LONG, max_length=length).tolist())


# Which text is meant

ERRORS = {
    "classify": ["--truncation", "error"],
    "fill-mask": ["--truncation", "error"],
    "zero-shot": ["--truncation", "error", "-l", "film,end"],
    "embed": ["--truncation", "error", "--json"],
    "features": ["--truncation", "error", "--json"],
}


@pytest.mark.parametrize("command", ERRORS)
def test_an_error_names_the_line_or_the_text_as_an_editor_counts(run, command):
    texts = ["[MASK] a", "[MASK] b", f"[MASK] {LONG}"]
    options = ERRORS[command]
    result = run(command, *options, stdin="\n".join(texts))
    assert_refused(result, "Error: line 3: ", "101 tokens")
    result = run(command, *options, *texts)
    assert_refused(result, "Error: TEXT 3: ", "101 tokens")


def test_an_error_names_the_question_as_one_counts(run):
    result = run("answer", "-c", "A film.", "Who?", "Who? " * 40)
    assert_refused(result, "Error: QUESTION 2: ", "leaves no room")


def test_an_error_of_a_tagged_text_names_the_line(run):
    result = run("tag", "fine", "caf\udce9")
    assert_refused(result, "Error: TEXT 2 has half of a surrogate pair")


# classify


@pytest.mark.parametrize("way", ["arguments", "lines"])
def test_a_pair_is_two_texts_with_a_tab_between_them(run, pipe, way):
    texts = ["A film  was made.\tIt was good", "\tIt was bad"]
    result = (
        run("classify", "--pairs", *texts)
        if way == "arguments"
        else run("classify", "--pairs", stdin="\n".join(texts))
    )
    pairs = [
        dict(zip(("text", "text_pair"), t.split("\t"), strict=True)) for t in texts
    ]
    shown = ["A film was made. / It was good", " / It was bad"]
    assert result.stdout.splitlines() == [
        f"{answer['label']}  {answer['score']:.4f}  {text}"
        for answer, text in zip(pipe("classify")(pairs), shown, strict=True)
    ]
    alone = run("classify", *texts).stdout.splitlines()
    assert alone[0].split()[1] != result.stdout.split()[1]


def test_json_has_both_texts_of_a_pair(run, pipe):
    (record,) = records(run("classify", "--pairs", "--json", "a film\tgood "))
    pair = {"text": "a film", "text_pair": "good "}
    (answer,) = pipe("classify")([pair])
    assert record == pair | near(answer)


@pytest.mark.parametrize("line", ["no tab", "two\ttabs\there", "nothing behind\t", ""])
def test_a_line_that_is_no_pair_is_named(run, line):
    stdin = f"a film\tgood\n{line}\na film\tgood\n"
    result = run("classify", "--pairs", stdin=stdin)
    assert_refused(result, f"Error: line 2 is {line!r}, expected two texts", "one tab")
    assert len(result.stdout.splitlines()) == 1
    result = run("classify", "--pairs", "a film\tgood", line)
    assert_refused(result, f"Error: TEXT 2 is {line!r}, expected two texts")


def test_without_pairs_a_tab_is_a_blank(run):
    (with_tab,) = records(run("classify", "--json", "a film\tgood"))
    (with_blank,) = records(run("classify", "--json", "a film good"))
    assert with_tab["score"] == with_blank["score"]


def test_all_labels_can_be_asked_for(run, pipe):
    (record,) = records(run("classify", "-k", "all", "--json", "a film"))
    (answers,) = pipe("classify", top_k=None)(["a film"])
    assert record["labels"] == near(answers)
    assert len(record["labels"]) == 3


@pytest.mark.parametrize(
    ("count", "said"),
    [
        ("some", "'some' is not a valid number, nor is it 'all'."),
        ("1.5", "'1.5' is not a valid number, nor is it 'all'."),
        ("0", "0 is not in the range x>=1, nor is it 'all'."),
    ],
)
def test_a_count_of_labels_that_is_none_is_refused(run, count, said):
    assert_refused(run("classify", "-k", count, "a"), said, code=2)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_makes_scores_can_be_chosen(run, pipe, function):
    result = run("classify", "--function", function, "-k", "all", "--json", "a film")
    (answers,) = pipe("classify", top_k=None)(["a film"], function_to_apply=function)
    assert records(result)[0]["labels"] == near(answers)


def test_every_function_of_the_library_is_offered():
    options = {each.name: each for each in main.commands["classify"].params}
    assert [*options["function_to_apply"].type.choices] == [*FUNCTIONS]


# answer

CONTEXT = (
    "The film was  good,\nbut ☕ unbelievably long. Nobody liked unbelievable ends."
)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--no-align"], {"align_to_words": False}),
        (["--align"], {}),
        (["--max-question-len", "2"], {"max_question_len": 2}),
    ],
    ids=str,
)
def test_the_options_of_answers_reach_the_pipeline(run, pipe, arguments, options):
    ask = pipe("answer", top_k=9)
    question = "Where was it, and who liked it?"
    result = run("answer", question, "-c", CONTEXT, "-k", "9", "--json", *arguments)
    (record,) = records(result)
    expected = ask(question, CONTEXT, **options)
    assert record["answers"] == near(expected)
    assert (expected == ask(question, CONTEXT)) is (not options)


# tag


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("Ada Lovelace lived in  London ☕ .", None),
        ("Ada|Lovelace|lived||in|London|", "|"),
        ("Ada, Mary Shelley, London", ", "),
        ("", None),
    ],
)
def test_texts_can_be_words_already(run, pipe, text, delimiter):
    between = [] if delimiter is None else ["--delimiter", delimiter]
    (record,) = records(run("tag", "--words", *between, "--json", text))
    asked = {"delimiter": delimiter or " ", "is_split_into_words": True}
    asked |= {"aggregation_strategy": "simple"}
    (expected,) = pipe("tag")([text.split(delimiter or " ")], **asked)
    assert record == {"text": text, "entities": near(expected)}
    if delimiter:
        plain = records(run("tag", "--json", text))
        assert plain[0]["entities"] != record["entities"]


def test_words_come_line_by_line_too(run):
    texts = ["good|film", "London"]
    options = ["--words", "--delimiter", "|", "--aggregation", "none", "--ignore", "X"]
    result = run("tag", *options, stdin="\n".join(texts))
    shown = [line.split("  ")[2:] for line in result.stdout.splitlines()]
    assert shown == [["0-4", "good"], ["5-9", "film"], ["0-6", "London"]]


@pytest.mark.parametrize("options", [["--delimiter", "|"], ["--words", "--delimiter="]])
def test_a_delimiter_of_no_words_is_refused(run, options):
    assert_refused(run("tag", *options, "a|b"), "goes with --words", code=2)


# zero-shot


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["-l", "a film, food"], ["a film", "food"]),
        (["-l", "bed, breakfast", "-l", "food"], ["bed, breakfast", "food"]),
        (["--labels", "film", "--labels", "food"], ["film", "food"]),
    ],
)
def test_a_label_may_have_a_comma_if_each_has_an_option(run, pipe, options, labels):
    (record,) = records(run("zero-shot", *options, "--json", "a good film"))
    answer = pipe("zero-shot")("a good film", labels)
    assert sorted(record["labels"]) == sorted(labels)
    assert record["scores"] == near(answer["scores"])
    assert record["labels"] == answer["labels"]


@pytest.mark.parametrize("options", [["-l", ","], ["-l", "", "-l", "a"]])
def test_an_empty_label_is_refused(run, options):
    assert_refused(run("zero-shot", *options, "a"), "none of them empty")


# choose

PROBLEMS = [
    {"prompt": "The sky  is", "choices": ["blue.", "a\nfilm ☕", "good"]},
    {"prompt": "It was", "question": "How was it?", "choices": ["good", "bad"]},
    {"prompt": "", "question": None, "choices": ["good", "bad"]},
]
LINES = "".join(json.dumps(problem) + "\n" for problem in PROBLEMS)


def test_prompts_come_from_a_file_as_json(run, pipe, tmp_path):
    (tmp_path / "problems").write_text("\ufeff" + LINES, "utf-8")
    result = run("choose", "--json", "--file", str(tmp_path / "problems"))
    answers = pipe("choose")(PROBLEMS)
    assert records(result) == [
        {**problem, "choices": near(some)}
        for problem, some in zip(PROBLEMS, answers, strict=True)
    ]
    assert run("choose", "--json", "--file", "-", stdin=LINES).stdout == result.stdout


def test_a_prompt_stands_above_its_choices(run, pipe):
    result = run("choose", "--file", "-", stdin=LINES)
    first, second, third = pipe("choose")(PROBLEMS)

    def shown(answers):
        texts = [" ".join(each["choice"].split()) for each in answers]
        return [
            f"  {each['score']:.4f}  {text}"
            for each, text in zip(answers, texts, strict=True)
        ]

    assert result.stdout.splitlines() == [
        *("The sky is", *shown(first)),
        *("It was / How was it?", *shown(second)),
        *("", *shown(third)),
    ]


def test_one_prompt_is_answered_as_its_line_is(run):
    (line,) = records(run("choose", "--json", "-f", "-", stdin=json.dumps(PROBLEMS[1])))
    options = ["-q", "How was it?", "--json"]
    (alone,) = records(run("choose", "It was", "good", "bad", *options))
    assert alone == near(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "is '', expected JSON such as"),
        ("{", "is '{', expected JSON such as"),
        ("[" * 100_000, "expected JSON such as"),
        ("5", 'is 5, expected {"prompt": …'),
        ('{"prompt": "a"}', 'expected {"prompt": …'),
        ('{"prompt": "a", "choices": ["b"]}', "expected two or more"),
        ('{"prompt": "a", "choices": "bc"}', "expected a list of strings"),
        ('{"prompt": "a", "choices": ["b", "\\ud800"]}', "half of a surrogate pair"),
        (json.dumps({"prompt": "a", "choices": ["b", words(60)]}), "leaves no room"),
        (b"caf\xe9", "is not UTF-8"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_wrong_line_is_named_and_those_before_it_are_answered(run, line, said):
    line = line if isinstance(line, bytes) else line.encode()
    stdin = LINES.encode() + line + b"\n" + LINES.encode()
    result = run("choose", "--json", "-f", "-", stdin=stdin)
    assert_refused(result, "Error: line 4", said)
    assert len(result.stdout.splitlines()) == 3
    assert len(result.stderr) < 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "-", "a", "b", "c"], "or --file, not both"),
        (["-f", "-", "-q", "Why?"], "or --file, not both"),
        (["The sky is"], "give a PROMPT and CHOICES, or --file"),
        (["-q", "Why?"], "give a PROMPT and CHOICES, or --file"),
    ],
    ids=str,
)
def test_a_prompt_or_a_file_is_needed_and_not_both(run, arguments, said):
    assert_refused(run("choose", *arguments, stdin=LINES), said, code=2)


def test_prompts_are_read_from_standard_input_if_there_is_nothing_else(run):
    result = run("choose", stdin=LINES)
    assert result.exit_code == 0
    assert result.stdout == run("choose", "-f", "-", stdin=LINES).stdout


def test_a_file_of_prompts_has_a_bar(run, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )
    result = run("choose", "-f", "-", stdin=LINES)
    assert "choosing: 0 sequences" in result.stderr

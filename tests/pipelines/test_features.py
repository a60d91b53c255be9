"""Feature extraction, beside transformers' pipeline, and sentence embeddings.

The reference for embeddings is their formula in numpy, in float64, on what
transformers' encoder gives for each text alone.
"""

from __future__ import annotations

import json
import shutil
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from answers import assert_answers, reference_pipeline
from checkpoints import write_checkpoint
from click.testing import CliRunner
from engines import minilm_folder
from real_weights import write_trained
from safetensors.torch import load_file
from texts import generated, words

from minidistil import (
    AutoModel,
    AutoTokenizer,
    ConfigError,
    DistilBertTokenizer,
    Engine,
    pipeline,
)
from minidistil.cli import main
from minidistil.pipelines import reading, running

FEATURES, EMBEDDINGS = "feature-extraction", "sentence-embeddings"
LIMIT = 48  # the small checkpoint's positions
ROOM = LIMIT - 2
DIM = 20


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertModel")


@pytest.fixture(scope="module")
def extract(folder):
    return pipeline(FEATURES, folder)


@pytest.fixture(scope="module")
def embed(folder):
    return pipeline(EMBEDDINGS, folder)


load_reference = partial(reference_pipeline, "FeatureExtraction", "Model")


@pytest.fixture(scope="module")
def reference(folder):
    return load_reference(folder)


assert_same = partial(assert_answers, tolerance=1e-5)


# Features: what goes in and what comes out

INPUTS = {
    "a text": "the film was good",
    "an empty text": "",
    "another script": "Это прекрасно ☕ 你好",
    "special tokens": "a [PAD] [MASK] [SEP] b",
    "a list of one": ["the film"],
    "a list": ["the film", "", words(30), "a"],
}


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("tensors", [False, True, "pt"])
def test_vectors_are_transformers_own(extract, reference, inputs, tensors):
    ours = extract(inputs, return_tensors=tensors)
    assert_same(ours, reference(inputs, return_tensors=bool(tensors)))


def test_generated_texts_have_transformers_vectors(extract, reference):
    texts = generated(40)
    options = {"return_tensors": True}
    assert_same(extract(texts, **options), reference(texts, **options))


def test_trained_weights_give_transformers_vectors(tmp_path):
    folder = write_trained(tmp_path, "DistilBertModel")
    texts = ["I've been waiting for a HuggingFace course my whole life.", "Bad", ""]
    options = {"return_tensors": True}
    ours = pipeline(FEATURES, folder)(texts, **options)
    assert_same(ours, load_reference(folder)(texts, **options))


def test_a_head_of_the_checkpoint_is_left_out(tmp_path):
    folder = write_checkpoint(tmp_path, "DistilBertForSequenceClassification")
    assert_same(pipeline(FEATURES, folder)("a film"), load_reference(folder)("a film"))


def test_an_empty_list_has_no_answers(extract):
    assert extract([]) == []
    assert [*extract(iter([]))] == []


def test_any_collection_of_texts_is_answered_with_a_list(extract):
    texts = INPUTS["a list"]
    assert extract(tuple(texts)) == extract(np.array(texts)) == extract(texts)


@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_few_tokens_go_together_and_that_changes_nothing(extract, monkeypatch, tokens):
    texts = generated(12)
    together = extract(texts)
    seen = []
    whole = Engine.start

    def spied(self, sequences, wanted=None):
        seen.append(sequences.lengths.tolist())
        return whole(self, sequences, wanted)

    monkeypatch.setattr(running, "TOKENS", tokens)
    monkeypatch.setattr(Engine, "start", spied)
    assert_same(extract(texts), together)
    assert sum(map(len, seen)) == len(texts)
    assert all(sum(lengths[:-1]) < tokens for lengths in seen)


def test_an_iterator_is_read_as_its_answers_are_taken(extract, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    taken = []

    def texts():
        for i in range(5):
            taken.append(i)
            yield words(i)

    answers = extract(texts())
    assert taken == []
    first = next(answers)
    assert taken == [0]
    assert_same([first, *answers], [extract(words(i)) for i in range(5)])


def test_a_tensor_can_be_written_into(extract):
    vectors = extract("a film", return_tensors=True)
    vectors += 1  # of inference mode, this would be an error
    assert not vectors.requires_grad


# Features: long texts

LONG = words(100)


def test_the_beginning_of_a_long_text_is_read(extract, reference):
    kept = " ".join(LONG.split()[:ROOM])
    assert_same(extract(LONG, truncation="head"), reference(kept))
    with pytest.warns(UserWarning, match="only its beginning is read"):
        extract(LONG)


def test_head_and_tail_are_read_if_asked_for(extract, reference):
    first = -(-ROOM // 4)
    tokens = LONG.split()
    kept = " ".join(tokens[:first] + tokens[100 - (ROOM - first) :])
    assert_same(extract(LONG, truncation="head+tail"), reference(kept))


def test_max_length_is_a_limit_too(extract, reference):
    options = {"truncation": True, "max_length": 10}
    assert_same(extract(LONG, **options), reference(LONG, tokenize_kwargs=options))


def test_windows_have_no_vector_for_each_token(extract, embed):
    with pytest.raises(ValueError, match="several vectors; expected one of head"):
        extract(LONG, truncation="window")
    assert embed(LONG, truncation="window").shape == (DIM,)


@pytest.mark.parametrize("task", [FEATURES, EMBEDDINGS])
def test_a_long_text_can_be_refused(folder, task):
    with pytest.raises(ValueError, match="100 tokens"):
        pipeline(task, folder)(["a", LONG], truncation="error")


# What both refuse


@pytest.mark.parametrize("value", [None, 3, b"film", {"text": "film"}, ["film"]])
@pytest.mark.parametrize("task", [FEATURES, EMBEDDINGS])
def test_what_is_no_text_is_refused(folder, task, value):
    with pytest.raises(TypeError, match=r"text 1 is .*expected a string"):
        pipeline(task, folder)(["the film", value])


@pytest.mark.parametrize(
    ("task", "option", "value"),
    [
        (FEATURES, "return_tensors", "np"),
        (FEATURES, "return_tensors", 1),
        (FEATURES, "max_length", 2),
        (EMBEDDINGS, "pooling", "max"),
        (EMBEDDINGS, "pooling", None),
        (EMBEDDINGS, "normalize", 1),
        (EMBEDDINGS, "truncation", "tail"),
    ],
)
def test_an_option_out_of_range_is_refused(folder, task, option, value):
    with pytest.raises(ValueError, match=f"{option} is {value!r}"):
        pipeline(task, folder, **{option: value})


# Embeddings


def pooled(features, pooling, normalize):
    """One vector of those of a text's tokens, (1, T, D), by the formula."""
    vectors = np.array(features[0], dtype=np.float64)
    vector = vectors[0] if pooling == "cls" else vectors.sum(axis=0) / len(vectors)
    return vector / np.sqrt((vector**2).sum()) if normalize else vector


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalize", [False, True])
def test_an_embedding_is_what_its_formula_says(embed, reference, pooling, normalize):
    texts = [*generated(30), "", "a", words(46)]
    found = embed(texts, pooling=pooling, normalize=normalize)
    assert found.shape == (33, DIM)
    assert found.dtype == torch.float32
    expected = [pooled(each, pooling, normalize) for each in reference(texts)]
    assert np.abs(found.numpy() - np.stack(expected)).max() < 1e-5
    if normalize:
        assert found.norm(dim=1).tolist() == pytest.approx([1] * 33, abs=1e-6)


def test_other_texts_in_the_batch_do_not_change_an_embedding(embed, folder):
    texts = generated(20)
    alone = torch.stack([embed(text) for text in texts])
    assert_same(embed(texts), alone)
    model = AutoModel.from_pretrained(folder)  # whose batches are padded
    padded = pipeline(EMBEDDINGS, model, tokenizer=folder, batch_size=7)
    assert_same(padded(texts), alone)


def test_one_text_has_a_vector_and_a_list_a_tensor(embed):
    assert embed("a").shape == (DIM,)
    assert embed(["a"]).shape == (1, DIM)
    assert embed([]).shape == (0, DIM)
    assert [each.shape for each in embed(iter(["a", "b"]))] == [(DIM,), (DIM,)]
    assert_same(embed(("a", "b")), embed(["a", "b"]))


def test_for_cls_the_last_block_reads_one_token(embed, monkeypatch):
    seen = []
    whole = Engine.start

    def spied(self, sequences, wanted=None):
        seen.append([each.tolist() for each in wanted])
        return whole(self, sequences, wanted)

    monkeypatch.setattr(Engine, "start", spied)
    embed(["a film", "b"], pooling="cls")
    assert seen == [[[0, 0], [1, 1]]]  # positions, and how many of each text


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_of_windows_the_mean_is_taken(embed, reference, pooling):
    step = ROOM - ROOM // 4
    starts = [*range(0, 100 - ROOM, step), 100 - ROOM]
    tokens = LONG.split()
    parts = [" ".join(tokens[start : start + ROOM]) for start in starts]
    mean = np.mean([pooled(each, pooling, False) for each in reference(parts)], axis=0)
    options = {"pooling": pooling, "truncation": "window"}
    assert np.abs(embed(LONG, **options).numpy() - mean).max() < 1e-5
    scaled = embed(LONG, normalize=True, **options).numpy()
    assert np.abs(scaled - mean / np.linalg.norm(mean)).max() < 1e-5


def test_the_beginning_of_a_long_text_is_embedded(embed):
    with pytest.warns(UserWarning, match="only its beginning is read"):
        found = embed([LONG, "a"])
    assert_same(found[0], embed(" ".join(LONG.split()[:ROOM])))


def test_an_iterator_of_embeddings_is_read_as_they_are_taken(embed, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    taken = []

    def texts():
        for i in range(5):
            taken.append(i)
            yield words(i)

    vectors = embed(texts())
    assert taken == []
    next(vectors)
    assert taken == [0]
    assert len([*vectors]) == 4


# Checkpoints of sentence-transformers


@pytest.fixture
def sentence_folder(folder, tmp_path):
    """Give a function that writes the settings of sentence-transformers to a copy."""

    def write(modules, pooling=None, **files):
        for path in folder.iterdir():
            shutil.copy(path, tmp_path / path.name)
        listed = [
            {"idx": i, "name": str(i), "path": path, "type": kind}
            for i, (kind, path) in enumerate(modules)
        ]
        (tmp_path / "modules.json").write_text(json.dumps(listed))
        if pooling is not None:
            (tmp_path / "1_Pooling").mkdir(exist_ok=True)
            (tmp_path / "1_Pooling/config.json").write_text(json.dumps(pooling))
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return write


OLD = "sentence_transformers.models."  # up to version 5
NEW = "sentence_transformers.sentence_transformer.modules.pooling."
ENCODER = (f"{OLD}Transformer", "")
POOLING = (f"{OLD}Pooling", "1_Pooling")
NORMALIZE = (f"{OLD}Normalize", "2_Normalize")
MEAN = {"word_embedding_dimension": DIM, "pooling_mode_mean_tokens": True}
OTHERS = {"pooling_mode_cls_token": False, "pooling_mode_max_tokens": False}


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (MEAN, "mean"),
        (MEAN | OTHERS, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "cls"),
        ({"embedding_dimension": DIM, "pooling_mode": "mean"}, "mean"),
        ({"embedding_dimension": DIM, "pooling_mode": "cls"}, "cls"),
        ({"embedding_dimension": DIM, "pooling_mode": ["cls"]}, "cls"),
    ],
    ids=str,
)
@pytest.mark.parametrize("normalize", [False, True])
def test_the_checkpoints_own_pooling_is_used(
    sentence_folder, reference, pooling, expected, normalize
):
    modules = [ENCODER, POOLING, *([NORMALIZE] if normalize else [])]
    embed = pipeline(EMBEDDINGS, sentence_folder(modules, pooling))
    texts = generated(5)
    vectors = [pooled(each, expected, normalize) for each in reference(texts)]
    assert np.abs(embed(texts).numpy() - np.stack(vectors)).max() < 1e-5


def test_the_names_of_later_versions_are_known(sentence_folder, reference):
    modules = [
        ("sentence_transformers.base.modules.transformer.Transformer", ""),
        (f"{NEW}Pooling", "1_Pooling"),
        ("sentence_transformers.base.modules.normalize.Normalize", "2_Normalize"),
    ]
    folder = sentence_folder(modules, {"pooling_mode": "cls"})
    found = pipeline(EMBEDDINGS, folder)("a film").numpy()
    assert np.abs(found - pooled(reference("a film"), "cls", True)).max() < 1e-5


@pytest.mark.parametrize("name", ["sentence_bert_config", "sentence_distilbert_config"])
def test_the_checkpoints_own_length_is_used(sentence_folder, embed, name):
    settings = {"max_seq_length": 12, "do_lower_case": True}
    folder = sentence_folder([ENCODER, POOLING], MEAN, **{name: settings})
    own = pipeline(EMBEDDINGS, folder)
    with pytest.warns(UserWarning, match="only its beginning is read"):
        found = own(LONG)
    assert_same(found, embed(words(10)))
    more = pipeline(EMBEDDINGS, folder, max_length=22)(LONG, truncation="head")
    assert_same(more, embed(words(20)))


def test_no_length_of_its_own_is_the_models(sentence_folder, embed):
    settings = {"sentence_bert_config": {"max_seq_length": None}}
    folder = sentence_folder([ENCODER, POOLING], MEAN, **settings)
    own = pipeline(EMBEDDINGS, folder)
    assert_same(own(words(46), truncation="error"), embed(words(46)))


DENSE = (f"{OLD}Dense", "2_Dense")
PROMPT = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}


@pytest.mark.parametrize(
    ("modules", "pooling", "files", "message"),
    [
        ([ENCODER, POOLING, DENSE], MEAN, {}, "'Transformer', 'Pooling', 'Dense'"),
        ([ENCODER], MEAN, {}, r"lists \['Transformer'\], expected"),
        ([], MEAN, {}, "expected Transformer, Pooling and"),
        ([POOLING, ENCODER], MEAN, {}, r"lists \['Pooling', 'Transformer'\]"),
        ([(f"{OLD}Transformer", "0_BERT"), POOLING], MEAN, {}, "encoder in '0_BERT'"),
        ([ENCODER, POOLING], {"pooling_mode_max_tokens": True}, {}, r"\['max'\]"),
        ([ENCODER, POOLING], {"pooling_mode": "max"}, {}, "asks for the pooling 'max'"),
        ([ENCODER, POOLING], MEAN | {"pooling_mode_cls_token": True}, {}, "'cls', 'm"),
        ([ENCODER, POOLING], {"pooling_mode": ["cls", "mean"]}, {}, "one of them"),
        ([ENCODER, POOLING], {"pooling_mode": 3}, {}, "the pooling 3"),
        ([ENCODER, POOLING], {}, {}, r"the pooling \[\]"),
        ([ENCODER, POOLING], [], {}, "holds a list, expected a JSON object"),
        (
            [ENCODER, POOLING],
            MEAN,
            {"config_sentence_transformers": PROMPT},
            "puts 'query: ' before each text",
        ),
        (
            [ENCODER, POOLING],
            MEAN,
            {"sentence_bert_config": {"max_seq_length": "128"}},
            "max_seq_length is '128'",
        ),
        (
            [ENCODER, POOLING],
            MEAN,
            {"sentence_bert_config": {"max_seq_length": 2}},
            "max_seq_length is 2",
        ),
        (
            [ENCODER, POOLING],
            MEAN,
            {"config_sentence_transformers": {"truncate_dim": 8}},
            "keeps the first 8 numbers",
        ),
        (
            [ENCODER, POOLING],
            MEAN,
            {"config_sentence_transformers": {"default_prompt_name": ["query"]}},
            r"default_prompt_name is \['query'\]",
        ),
        (
            [ENCODER, POOLING],
            {"pooling_mode_cls_token": "false", "pooling_mode_mean_tokens": True},
            {},
            "pooling_mode_cls_token is 'false', expected true or false",
        ),
        ([ENCODER, (f"{OLD}Pooling", "")], MEAN, {}, "its pooling in ''"),
        ([ENCODER, (f"{OLD}Pooling", "../x")], MEAN, {}, "or the name of a folder"),
        ([ENCODER, (f"{OLD}Pooling", "/etc")], MEAN, {}, "or the name of a folder"),
        ([ENCODER, (f"{OLD}Pooling", 3)], MEAN, {}, "or the name of a folder"),
    ],
)
def test_what_cannot_be_done_here_is_refused(
    sentence_folder, embed, modules, pooling, files, message
):
    folder = sentence_folder(modules, pooling, **files)
    with pytest.raises(ConfigError, match=message):
        pipeline(EMBEDDINGS, folder)
    # The files are the checkpoint's: a model that was loaded has none.
    loaded = AutoModel.from_pretrained(folder)
    plain = pipeline(EMBEDDINGS, loaded, tokenizer=folder, pooling="cls")
    assert_same(plain("a"), embed("a", pooling="cls"))
    # And whoever says what pooling to use has no need of the checkpoint's word on it.
    if pooling is not MEAN:
        own = pipeline(EMBEDDINGS, folder, pooling="cls")
        assert_same(own("a"), embed("a", pooling="cls"))
    else:
        with pytest.raises(ConfigError, match=message):
            pipeline(EMBEDDINGS, folder, pooling="cls")


def test_a_pooling_of_ones_own_leaves_the_rest_to_the_checkpoint(
    sentence_folder, embed
):
    settings = {"sentence_bert_config": {"max_seq_length": 12}}
    modules = [ENCODER, POOLING, NORMALIZE]
    folder = sentence_folder(modules, {"pooling_mode": "cls"}, **settings)
    found = pipeline(EMBEDDINGS, folder, pooling="mean")(LONG, truncation="head")
    assert_same(found, embed(words(10), normalize=True))


GOOD = """
    {"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": "1_Pooling"}
"""


@pytest.mark.parametrize(
    "text", ["", "[", '{"a": 1}', "[3]", '[{"type": 1}]', f"[{GOOD}, 3]", "[" * 10**5]
)
def test_a_damaged_list_of_modules_is_refused(sentence_folder, text):
    folder = sentence_folder([ENCODER, POOLING], MEAN)
    (folder / "modules.json").write_text(text)
    with pytest.raises(ConfigError, match=r"modules\.json"):
        pipeline(EMBEDDINGS, folder)


def test_a_pooling_that_is_not_there_is_refused(sentence_folder):
    with pytest.raises(FileNotFoundError, match=r"1_Pooling/config\.json"):
        pipeline(EMBEDDINGS, sentence_folder([ENCODER, POOLING]))


def test_a_prompt_that_is_not_used_is_none(sentence_folder, embed):
    settings = {
        "prompts": {"query": "", "document": "d: "},
        "default_prompt_name": None,
    }
    for name in (None, "query"):
        settings["default_prompt_name"] = name
        files = {"config_sentence_transformers": settings}
        folder = sentence_folder([ENCODER, POOLING], MEAN, **files)
        assert_same(pipeline(EMBEDDINGS, folder)("a"), embed("a"))


def test_lower_case_is_the_tokenizers_or_refused(sentence_folder, embed):
    settings = {"sentence_bert_config": {"do_lower_case": True}}
    folder = sentence_folder([ENCODER, POOLING], MEAN, **settings)
    assert_same(pipeline(EMBEDDINGS, folder)("A Film"), embed("a film"))
    cased = DistilBertTokenizer.from_pretrained(folder, do_lower_case=False)
    with pytest.raises(ConfigError, match="asks for do_lower_case"):
        pipeline(EMBEDDINGS, folder, tokenizer=cased)


def test_a_tokenizer_of_another_library_is_refused(sentence_folder):
    folder = sentence_folder([ENCODER, POOLING], MEAN)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with pytest.raises(TypeError, match="expected a DistilBertTokenizer"):
        pipeline(EMBEDDINGS, folder, tokenizer=tokenizer)


def test_minilm_folded_embeds_as_minilm_does(tmp_path):
    # The package has the settings that its authors published: mean, normalised, 256.
    source = minilm_folder()
    folder = write_trained(tmp_path, "DistilBertModel")
    for name in ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(source / name, folder / name)
    embed = pipeline(EMBEDDINGS, folder)
    assert embed.options.max_length == 256
    bert = transformers.BertModel.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    texts = ["A man is eating food.", "Someone eats a meal.", "The sky is blue.", ""]
    texts.append("I have waited for this course my whole life. " * 40)
    vectors = embed(texts, truncation="head").numpy()
    for text, vector in zip(texts, vectors, strict=True):
        row = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.inference_mode():
            features = bert(**row).last_hidden_state
        assert np.abs(vector - pooled(features.numpy(), "mean", True)).max() < 1e-5
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.5 > 0.2 > far


# The commands


def run(folder, *arguments, stdin=None, command="embed"):
    words = [command, "--model", str(folder), *arguments]
    return CliRunner().invoke(main, words, input=stdin)


def run_features(folder, *arguments, stdin=None):
    return run(folder, *arguments, stdin=stdin, command="features")


def test_the_command_writes_a_row_for_each_text(folder, embed, tmp_path):
    texts = ["a film", "", "good"]
    path = tmp_path / "vectors.npy"
    result = run(folder, "-o", str(path), stdin="a film\n\ngood\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}: 3 vectors of {DIM} numbers\n"
    assert_same(torch.from_numpy(np.load(path)), embed(texts))
    path = tmp_path / "vectors.safetensors"
    options = ["--pooling", "cls", "--normalize"]
    run(folder, "-o", str(path), *options, "a film", "good")
    expected = embed(["a film", "good"], pooling="cls", normalize=True)
    assert_same(load_file(path)["embeddings"], expected)
    assert [*tmp_path.iterdir()] == [*tmp_path.glob("vectors.*")]  # nothing beside


def test_the_commands_json_is_a_line_for_each_text(folder, embed):
    result = run(folder, "--json", "a film", "good")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["text"] for record in records] == ["a film", "good"]
    vectors = torch.tensor([record["vector"] for record in records])
    assert_same(vectors, embed(["a film", "good"]))


def test_the_command_follows_the_checkpoint_unless_told(sentence_folder, embed):
    folder = sentence_folder([ENCODER, POOLING, NORMALIZE], {"pooling_mode": "cls"})
    own = json.loads(run(folder, "--json", "a").stdout)["vector"]
    assert_same(torch.tensor(own), embed("a", pooling="cls", normalize=True))
    told = json.loads(run(folder, "--json", "--no-normalize", "a").stdout)["vector"]
    assert_same(torch.tensor(told), embed("a", pooling="cls"))
    told = json.loads(run(folder, "--json", "--pooling", "mean", "a").stdout)["vector"]
    assert_same(torch.tensor(told), embed("a", normalize=True))


def test_no_text_writes_no_row(folder, tmp_path):
    path = tmp_path / "vectors.npy"
    assert run(folder, "-o", str(path), stdin="").exit_code == 0
    assert np.load(path).shape == (0, DIM)


@pytest.mark.parametrize("command", ["embed", "features"])
@pytest.mark.parametrize("arguments", [[], ["--json", "-o", "x.npy"]])
def test_the_command_needs_one_place_for_vectors(folder, command, arguments):
    result = run(folder, *arguments, "a", command=command)
    assert result.exit_code == 2
    assert "give --output or --json" in result.stderr


def test_a_file_of_another_kind_is_refused_at_once(tmp_path, monkeypatch):
    # Before the model is looked for.
    result = run("no/such", "-o", str(tmp_path / "vectors.pt"), "a")
    assert result.exit_code == 1
    assert "vectors.pt' has no ending that says how to write it" in result.stderr


def test_a_mistake_leaves_the_old_file(folder, tmp_path):
    path = tmp_path / "vectors.npy"
    path.write_bytes(b"old")
    result = run(folder, "-o", str(path), stdin=b"fine\ncaf\xe9\n")
    assert result.exit_code == 1
    assert path.read_bytes() == b"old"


def test_features_are_written_as_a_tensor_for_each_text(folder, reference, tmp_path):
    path = tmp_path / "features.safetensors"
    result = run_features(folder, "-o", str(path), stdin="the film\n\ngood\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}: the vectors of {4 + 2 + 3} tokens\n"
    written = load_file(path)
    expected = reference(["the film", "", "good"], return_tensors=True)
    assert written.keys() == {"0", "1", "2"}
    for place, (vectors,) in enumerate(expected):
        assert_same(written[str(place)], vectors)
    assert [*tmp_path.iterdir()] == [path]  # nothing beside


def test_features_as_json_are_a_line_for_each_text(folder, extract, reference):
    texts = ["the film", "", "good"]
    result = run_features(folder, "--json", *texts)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["text"] for record in records] == texts
    found = [[record["vectors"]] for record in records]
    assert_same(found, extract(texts))
    assert_same(found, reference(texts))


def test_a_long_texts_features_are_those_of_what_is_kept(folder, extract):
    kept = extract(LONG, truncation="head+tail")
    result = run_features(folder, "--json", "--truncation", "head+tail", LONG)
    assert_same([json.loads(result.stdout)["vectors"]], kept)
    refused = run_features(folder, "--json", "--truncation", "window", LONG)
    assert refused.exit_code == 2
    assert "'window' is not one of 'head', 'head+tail', 'error'" in refused.stderr


def test_no_text_has_no_features(folder, tmp_path):
    path = tmp_path / "features.safetensors"
    assert run_features(folder, "-o", str(path), stdin="").exit_code == 0
    assert load_file(path) == {}


def test_one_tensor_for_all_features_is_refused_at_once(tmp_path):
    # Before the model is looked for.
    path = tmp_path / "features.npy"
    result = run_features("no/such", "-o", str(path), "a")
    assert result.exit_code == 1
    assert "features.npy' has no ending that says how" in result.stderr


def test_a_mistake_leaves_the_old_features(folder, tmp_path):
    path = tmp_path / "features.safetensors"
    path.write_bytes(b"old")
    result = run_features(folder, "-o", str(path), stdin=b"fine\ncaf\xe9\n")
    assert result.exit_code == 1
    assert path.read_bytes() == b"old"


def test_no_warning_is_given_for_texts_that_fit(embed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embed(generated(5))


def test_tokenizers_of_both_kinds_give_one_embedding(folder, embed):
    slow = AutoTokenizer.from_pretrained(folder, backend="python")
    texts = generated(10)
    assert_same(pipeline(EMBEDDINGS, folder, tokenizer=slow)(texts), embed(texts))


@pytest.mark.parametrize("options", [{}, {"pooling": "cls"}, {"normalize": True}])
def test_each_vector_of_an_iterator_is_a_tensor_of_its_own(embed, options):
    vectors = [*embed(iter(["a film"] * 40), **options)]
    assert all(len(each.untyped_storage()) == 4 * len(each) for each in vectors)

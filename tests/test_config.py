"""The configuration: read from and written to the files that others read and write."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
import transformers

from minidistil.config import ConfigError, DistilBertConfig

# What the config.json of each official checkpoint says, as published on the hub.
COMMON = {
    "activation": "gelu",
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "hidden_dim": 3072,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "tie_weights_": True,
}
OFFICIAL = {
    "distilbert-base-uncased": {
        "architectures": ["DistilBertForMaskedLM"],
        "sinusoidal_pos_embds": False,
        "transformers_version": "4.10.0.dev0",
        "vocab_size": 30522,
    },
    "distilbert-base-uncased-finetuned-sst-2-english": {
        "architectures": ["DistilBertForSequenceClassification"],
        "finetuning_task": "sst-2",
        "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
        "label2id": {"NEGATIVE": 0, "POSITIVE": 1},
        "output_past": True,
        "sinusoidal_pos_embds": False,
        "vocab_size": 30522,
    },
    "distilbert-base-cased": {
        "architectures": ["DistilBertForMaskedLM"],
        "output_past": True,
        "sinusoidal_pos_embds": False,
        "vocab_size": 28996,
    },
    "distilbert-base-cased-distilled-squad": {
        "architectures": ["DistilBertForQuestionAnswering"],
        "output_past": True,
        "sinusoidal_pos_embds": True,
        "vocab_size": 28996,
    },
    "distilbert-base-uncased-distilled-squad": {
        "architectures": ["DistilBertForQuestionAnswering"],
        "sinusoidal_pos_embds": False,
        "vocab_size": 30522,
    },
    "distilbert-base-german-cased": {
        "architectures": ["DistilBertForMaskedLM"],
        "output_past": True,
        "sinusoidal_pos_embds": True,
        "vocab_size": 31102,
    },
    "distilbert-base-multilingual-cased": {
        "architectures": ["DistilBertForMaskedLM"],
        "output_past": True,
        "sinusoidal_pos_embds": False,
        "vocab_size": 119547,
    },
}
FIELDS = {field.name for field in dataclasses.fields(DistilBertConfig)} - {"extra"}


def refused(*parts):
    """Expect a ConfigError whose message has all the parts, in order."""
    return pytest.raises(ConfigError, match="(?s)" + ".*".join(map(re.escape, parts)))


# Files


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_file_is_read_as_transformers_reads_it(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(COMMON | OFFICIAL[name]))
    ours = DistilBertConfig.from_json_file(path)
    theirs = transformers.DistilBertConfig.from_json_file(path)
    for field in FIELDS:
        assert getattr(ours, field) == getattr(theirs, field), field


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_file_is_written_back_whole(name):
    values = COMMON | OFFICIAL[name]
    written = json.loads(DistilBertConfig.from_dict(values).to_json_string())
    assert written.items() >= values.items()
    # What is new are defaults that the file was silent about.
    assert written.keys() - values.keys() == {"tie_word_embeddings"}


THEIRS = [
    {},
    {"dim": 20, "n_heads": 2, "hidden_dim": 44, "n_layers": 3, "vocab_size": 53},
    {"num_labels": 5},
    {"num_labels": 1, "problem_type": "regression"},
    {"id2label": {0: "no", 1: "so"}, "label2id": {"no": 0, "so": 1}},
    {"pad_token_id": None, "tie_word_embeddings": False},
    {"activation": "relu", "sinusoidal_pos_embds": True, "dropout": 0},
    {"architectures": ["DistilBertForMaskedLM"], "dtype": "float16"},
]


@pytest.mark.parametrize("values", THEIRS, ids=str)
def test_what_transformers_5_writes_is_read(values, tmp_path):
    theirs = transformers.DistilBertConfig(**values)
    theirs.save_pretrained(tmp_path)
    ours = DistilBertConfig.from_json_file(tmp_path / "config.json")
    for field in FIELDS:
        assert getattr(ours, field) == getattr(theirs, field), field


@pytest.mark.parametrize("values", THEIRS, ids=str)
def test_what_we_write_transformers_reads(values, tmp_path):
    extra = {key: values[key] for key in values if key not in FIELDS}
    known = {key: values[key] for key in values if key in FIELDS}
    ours = DistilBertConfig(**known, extra=extra)
    ours.save_pretrained(tmp_path)
    theirs = transformers.DistilBertConfig.from_pretrained(tmp_path)
    for field in FIELDS:
        assert getattr(ours, field) == getattr(theirs, field), field


@pytest.mark.parametrize("values", THEIRS, ids=str)
def test_what_we_write_we_read(values, tmp_path):
    ours = DistilBertConfig.from_dict(values)
    ours.save_pretrained(tmp_path)
    assert DistilBertConfig.from_json_file(tmp_path / "config.json") == ours


def test_a_file_of_transformers_4_is_read():
    # Version 4 also wrote a dtype by its older name, and who wrote the file.
    values = COMMON | {
        "_name_or_path": "distilbert-base-uncased",
        "id2label": {"0": "O", "1": "B-PER", "2": "I-PER"},
        "label2id": {"B-PER": 1, "I-PER": 2, "O": 0},
        "torch_dtype": "float32",
        "transformers_version": "4.46.3",
        "vocab_size": 30522,
    }
    config = DistilBertConfig.from_dict(values)
    assert config.num_labels == 3
    assert config.id2label == {0: "O", 1: "B-PER", 2: "I-PER"}
    assert config.extra["torch_dtype"] == "float32"
    assert config.extra["transformers_version"] == "4.46.3"


def test_an_empty_file_means_the_base_model():
    assert DistilBertConfig.from_dict({}) == DistilBertConfig()


def test_the_defaults_are_those_of_transformers():
    theirs = transformers.DistilBertConfig()
    for field in FIELDS:
        assert getattr(DistilBertConfig(), field) == getattr(theirs, field), field


def test_unknown_keys_are_kept_and_written_back():
    values = {"finetuning_task": "sst-2", "a": {"b": [1, None]}}
    config = DistilBertConfig.from_dict(values)
    assert config.extra == values
    assert config.to_dict().items() >= values.items()


def test_reading_does_not_change_what_was_given():
    values = {"hidden_size": 20, "n_heads": 2, "model_type": "distilbert", "x": 1}
    before = dict(values)
    DistilBertConfig.from_dict(values)
    assert values == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1]", "holds a list, expected a JSON object"),
        ('{"dim": "big"}', "dim is 'big', expected an integer"),
        ('{"dropout": NaN}', "dropout is nan, expected a number from 0 to 1"),
    ],
    ids=["cut", "empty", "deep", "list", "text for a number", "NaN"],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_text(content)
    with refused(str(path), message):
        DistilBertConfig.from_json_file(path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b'{"a": "\xff"}')
    with refused(str(path), "is not valid JSON"):
        DistilBertConfig.from_json_file(path)


# Names


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("hidden_size", "dim"),
        ("num_attention_heads", "n_heads"),
        ("num_hidden_layers", "n_layers"),
    ],
)
def test_a_number_may_be_read_under_its_other_name(alias, name):
    config = DistilBertConfig.from_dict({alias: 24})
    assert getattr(config, alias) == getattr(config, name) == 24
    assert config.to_dict()[name] == 24
    assert alias not in config.to_dict()


def test_both_names_may_say_the_same():
    assert DistilBertConfig.from_dict({"hidden_size": 24, "dim": 24}).dim == 24


def test_two_names_that_contradict_each_other_are_refused():
    with refused("hidden_size=24 contradicts dim=36", "drop one"):
        DistilBertConfig.from_dict({"hidden_size": 24, "dim": 36})


# Values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "bert"}, "model_type is 'bert', expected 'distilbert'"),
        ({"model_type": "bert"}, "minidistil.weights.bert.fold_bert"),
        ({"model_type": "gpt2"}, "model_type is 'gpt2', expected 'distilbert'"),
        ({"model_type": None}, "model_type is None, expected 'distilbert'"),
        ({"activation": "swish"}, "activation is 'swish', expected gelu or relu"),
        ({"activation": ["gelu"]}, "activation is ['gelu'], expected gelu or relu"),
        ({"n_heads": 7}, "n_heads=7 does not divide dim=768"),
        ({"vocab_size": 0}, "vocab_size is 0, expected an integer of at least 1"),
        ({"n_layers": -1}, "n_layers is -1, expected an integer of at least 1"),
        ({"n_layers": True}, "n_layers is True, expected an integer of at least 1"),
        ({"dim": 768.0}, "dim is 768.0, expected an integer of at least 1"),
        ({"hidden_dim": None}, "hidden_dim is None, expected an integer"),
        ({"dropout": 1.5}, "dropout is 1.5, expected a number from 0 to 1"),
        ({"attention_dropout": -0.1}, "attention_dropout is -0.1, expected a number"),
        ({"qa_dropout": "0.1"}, "qa_dropout is '0.1', expected a number"),
        ({"seq_classif_dropout": None}, "seq_classif_dropout is None, expected a"),
        ({"initializer_range": -1}, "initializer_range is -1, expected a number"),
        ({"sinusoidal_pos_embds": 1}, "sinusoidal_pos_embds is 1, expected true or"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no', expected true"),
        ({"pad_token_id": -1}, "pad_token_id is -1, expected an integer of at least 0"),
        ({"pad_token_id": 30522}, "pad_token_id is 30522, expected null, or an id bel"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking', expected regression"),
        ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, "num_labels is 3, but id2l"),
        ({"num_labels": 0}, "num_labels is 0, expected at least one label"),
        ({"num_labels": -2}, "num_labels is -2, expected an integer"),
        ({"num_labels": "2"}, "num_labels is '2', expected an integer"),
        ({"id2label": {}}, "id2label is {}, expected at least one label"),
        ({"id2label": ["a"]}, "id2label is ['a'], expected an object such as"),
        ({"id2label": {"x": "a"}}, "id2label is {'x': 'a'}, expected integers as its"),
        ({"id2label": {1: "a", 2: "b"}}, "expected the keys 0, 1, 2"),
        ({"id2label": {0: "a", "0": "b"}}, "expected the keys 0, 1, 2"),
        ({"id2label": {0: 1}}, "expected at least one label, each a string"),
    ],
    ids=str,
)
def test_what_the_model_cannot_be_is_refused(values, message):
    with refused(message):
        DistilBertConfig.from_dict(values)


def test_a_label_to_id_table_that_is_no_inverse_is_told():
    labels = {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}}
    with pytest.warns(UserWarning, match="label2id .* is not the inverse"):
        config = DistilBertConfig.from_dict(labels)
    assert config.id2label == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    "given",
    [
        {"LABEL_0": 1, "LABEL_1": 0},
        {"LABEL_0": 0, "LABEL_1": 1, "other": 1},
        {"no": 0, "yes": 1},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:label2id")
def test_a_label_to_id_table_of_ones_own_is_saved(given, tmp_path):
    config = DistilBertConfig(label2id=given)
    config.save_pretrained(tmp_path)
    assert DistilBertConfig.from_json_file(tmp_path / "config.json") == config
    theirs = transformers.DistilBertConfig.from_pretrained(tmp_path)
    assert theirs.label2id == config.label2id == given


# Labels


def test_without_labels_there_are_two():
    config = DistilBertConfig()
    assert config.num_labels == 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1}


def test_labels_are_counted_from_their_names():
    config = DistilBertConfig(id2label={0: "a", 1: "b", 2: "c"})
    assert config.num_labels == 3
    assert config.label2id == {"a": 0, "b": 1, "c": 2}


def test_labels_are_put_in_order_of_their_ids():
    config = DistilBertConfig.from_dict(
        {"id2label": {"10": "k"} | {str(i): chr(97 + i) for i in range(10)}}
    )
    assert list(config.id2label.values()) == list("abcdefghijk")


def test_a_null_label_to_id_table_is_filled_in():
    # transformers 5 writes it if it was given the names alone.
    config = DistilBertConfig.from_dict({"id2label": {"0": "a"}, "label2id": None})
    assert config.label2id == {"a": 0}


def test_null_labels_mean_none_were_given():
    values = {"num_labels": None, "id2label": None, "label2id": None}
    assert DistilBertConfig.from_dict(values) == DistilBertConfig()


def test_the_number_of_labels_alone_names_them():
    config = DistilBertConfig(num_labels=3)
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert DistilBertConfig.from_dict(config.to_dict()) == config


# Copies and text


def test_a_copy_is_changed_and_the_original_is_not():
    config = DistilBertConfig(extra={"a": 1}, architectures=["A"])
    copy = config.replace(n_layers=4)
    copy.id2label[0] = "x"
    copy.extra["a"] = 2
    copy.architectures.append("B")
    assert (copy.n_layers, config.n_layers) == (4, 6)
    assert config == DistilBertConfig(extra={"a": 1}, architectures=["A"])


def test_a_changed_copy_is_checked():
    with refused("n_heads=5 does not divide dim=768"):
        DistilBertConfig().replace(n_heads=5)


def test_new_labels_replace_all_the_old():
    config = DistilBertConfig(id2label={0: "a", 1: "b", 2: "c"})
    fewer = config.replace(num_labels=2)
    assert fewer.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    named = config.replace(id2label={0: "x"})
    assert (named.num_labels, named.label2id) == (1, {"x": 0})
    assert config.replace(n_layers=2).id2label == config.id2label


LABELS = {"id2label": {0: "no", 1: "so"}, "label2id": {"no": 0, "so": 1}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"dropout": 0}, {"dropout": 0.0}),
        (LABELS, {"id2label": {"1": "so", "0": "no"}}),
        ({"num_labels": 2}, {"id2label": {0: "LABEL_0", 1: "LABEL_1"}}),
        ({"extra": {"a": 1, "b": [2]}}, {"extra": {"b": [2.0], "a": True}}),
        ({"architectures": ["A"]}, {"architectures": ["A"]}),
    ],
    ids=str,
)
def test_equal_configurations_have_the_same_hash(one, other):
    first, second = DistilBertConfig(**one), DistilBertConfig(**other)
    assert first == second
    assert hash(first) == hash(second)
    assert {first: "found"}[second] == "found"


def test_configurations_that_differ_are_two_keys():
    base = DistilBertConfig()
    others = [base.replace(n_layers=3), base.replace(id2label={0: "no", 1: "so"})]
    assert len({base, *others}) == 3


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="layers"):
        DistilBertConfig(layers=3)


def test_it_prints_like_json():
    text = str(DistilBertConfig(n_layers=2))
    name, _, values = text.partition(" ")
    assert name == "DistilBertConfig"
    assert json.loads(values) == DistilBertConfig(n_layers=2).to_dict()
    assert '\n  "n_layers": 2,\n' in text


def test_it_prints_as_that_of_transformers_does():
    ours = str(DistilBertConfig())
    theirs = str(transformers.DistilBertConfig())
    # Theirs also says which version wrote it, and what DistilBERT has no use for.
    assert {line for line in ours.splitlines() if "tie_weights" not in line} <= set(
        theirs.splitlines()
    )


# Changes in place, as people make them


def both_configs(**values):
    return DistilBertConfig(**values), transformers.DistilBertConfig(**values)


NAMED = {0: "no", 1: "so", 2: "yes"}
INVERSE = {"no": 0, "so": 1, "yes": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"id2label": NAMED},
        {"id2label": NAMED, "label2id": INVERSE},
        {"label2id": {"no": 0, "so": 1}, "id2label": {0: "no", 1: "so"}},
        {"num_labels": 3},
        {"num_labels": 2},
        {"problem_type": "regression"},
        {"problem_type": "regression", "num_labels": 1},
        {"use_cache": False},
        {"output_hidden_states": True, "return_dict": False},
        {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1},
        {"something": {"new": 1}},
        {"dropout": 0.3, "pad_token_id": None},
    ],
    ids=str,
)
def test_values_are_set_as_in_transformers(changes):
    ours, theirs = both_configs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, value in changes.items():
            setattr(ours, name, value)
            setattr(theirs, name, value)
    read = {*changes, "num_labels", "id2label", "dim", "n_heads"}
    for name in read:
        assert getattr(ours, name) == getattr(theirs, name), name
    # transformers leaves label2id behind; ours follows id2label.
    assert ours.label2id == {label: i for i, label in ours.id2label.items()}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_heads", 5, "n_heads=5 does not divide dim=768"),
        ("problem_type", "guess", "problem_type is 'guess', expected regression or"),
        ("id2label", {0: "a", 2: "b"}, "the keys 0, 1, 2, … with none left out"),
        ("id2label", {}, "id2label is {}, expected at least one label"),
        ("num_labels", 0, "num_labels is 0, expected at least one label"),
        ("dropout", 1.5, "dropout is 1.5, expected a number from 0 to 1"),
        ("return_dict", "no", "return_dict is 'no', expected true or false"),
        ("hidden_size", 0, "dim is 0, expected an integer of at least 1"),
    ],
)
def test_a_change_is_checked_and_a_wrong_one_changes_nothing(name, value, message):
    config = DistilBertConfig(extra={"a": 1})
    with refused(message):
        setattr(config, name, value)
    with refused(message):
        config.update({"n_layers": 3, name: value})
    assert config == DistilBertConfig(extra={"a": 1})


def test_a_misspelt_name_is_kept_with_a_warning():
    config = DistilBertConfig()
    with pytest.warns(UserWarning, match=r"no 'num_label', .* mean 'num_labels'"):
        config.num_label = 3
    assert config.extra == {"num_label": 3}
    with pytest.raises(TypeError, match="no argument 'num_label'; did you mean"):
        DistilBertConfig(num_label=3)


def test_a_label_that_was_renamed_is_saved_as_its_inverse_is(tmp_path):
    config = DistilBertConfig()
    config.id2label[0] = "x"
    config.save_pretrained(tmp_path)
    saved = transformers.AutoConfig.from_pretrained(tmp_path)
    assert saved.id2label == {0: "x", 1: "LABEL_1"}
    assert saved.label2id == {"x": 0, "LABEL_1": 1}


def test_labels_that_were_changed_to_nonsense_are_not_saved(tmp_path):
    config = DistilBertConfig()
    config.id2label[7] = "x"
    with refused("the keys 0, 1, 2, … with none left out"):
        config.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_table_that_was_set_and_never_matched_is_warned_about(tmp_path):
    config = DistilBertConfig()
    config.label2id = {"no": 0, "so": 1}
    with pytest.warns(UserWarning, match="is not the inverse of id2label"):
        config.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"dim": np.int64(24), "n_heads": np.int32(2)}, {"dim": 24, "n_heads": 2}),
        ({"dropout": np.float32(0.5)}, {"dropout": 0.5}),
        ({"pad_token_id": np.int64(3)}, {"pad_token_id": 3}),
        ({"num_labels": np.int64(3)}, {"num_labels": 3}),
        ({"id2label": {np.int64(0): "a", np.int64(1): "b"}}, {}),
    ],
    ids=str,
)
def test_numbers_of_numpy_are_numbers(given, kept):
    config = DistilBertConfig(**given)
    for name, value in kept.items():
        assert getattr(config, name) == value
        assert type(getattr(config, name)) is type(value)
    assert DistilBertConfig.from_dict(json.loads(config.to_json_string())) == config


def test_a_configuration_survives_a_copy_and_a_pickle():
    config = DistilBertConfig(extra={"a": [1]}, id2label={0: "x"})
    for other in (copy.copy(config), copy.deepcopy(config)):
        assert other == config
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    again.problem_type = "regression"
    assert again != config


# What other libraries ask for


@pytest.mark.parametrize(
    "name",
    [
        *("model_type", "is_encoder_decoder", "keys_to_ignore_at_inference"),
        *("attribute_map", "hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("return_dict", "output_attentions", "output_hidden_states", "vocab_size"),
    ],
)
def test_an_attribute_is_that_of_transformers(name):
    ours, theirs = both_configs()
    if name == "attribute_map":
        assert ours.attribute_map.items() <= theirs.attribute_map.items()
        return
    assert getattr(ours, name) == getattr(theirs, name)


def test_an_attribute_that_does_not_exist_is_an_attribute_error():
    assert not hasattr(DistilBertConfig(), "pretraining_tp")
    assert getattr(DistilBertConfig(), "layer_types", None) is None


CHANGES = {"num_labels": 3, "output_attentions": True, "hidden_dim": 7}


def test_a_configuration_is_loaded_with_changes(tmp_path):
    DistilBertConfig(dim=12, n_heads=2).save_pretrained(tmp_path)
    ours = DistilBertConfig.from_pretrained(
        tmp_path, trust_remote_code=False, **CHANGES
    )
    theirs = transformers.AutoConfig.from_pretrained(
        tmp_path, trust_remote_code=False, **CHANGES
    )
    for name in (*CHANGES, "id2label", "dim"):
        assert getattr(ours, name) == getattr(theirs, name)
    with pytest.raises(TypeError, match="no argument 'num_label'; did you mean"):
        DistilBertConfig.from_pretrained(tmp_path, num_label=3)


def test_a_configuration_is_made_for_its_type():
    assert DistilBertConfig.for_model("distilbert", n_layers=2).n_layers == 2
    with refused("model_type is 'gpt2', expected 'distilbert'"):
        DistilBertConfig.for_model("gpt2")


@pytest.mark.parametrize("part", ["AutoModel", "AutoConfig"])
def test_program_code_of_a_checkpoint_is_refused_by_its_name(part):
    with refused(f"auto_map is {{'{part}': 'my_model.Mine'}}, expected none"):
        DistilBertConfig.from_dict({"auto_map": {part: "my_model.Mine"}})


class Mine(DistilBertConfig):
    """How people add a setting of their own."""

    def __init__(self, mine=3, **values):
        super().__init__(**values)
        self.mine = mine


def test_a_subclass_keeps_a_setting_of_its_own(tmp_path):
    config = Mine(mine=5, dim=12, n_heads=2)
    config.problem_type = "regression"
    assert (config.mine, config.replace(n_layers=2).mine) == (5, 5)
    config.save_pretrained(tmp_path)
    again = Mine.from_pretrained(tmp_path)
    assert (type(again), again.mine, again.dim) == (Mine, 5, 12)


def test_a_dtype_and_a_number_of_numpy_are_written(tmp_path):
    config, theirs = both_configs()
    for each in (config, theirs):
        each.dtype = torch.float16
    config.finetuned = np.int64(3)
    config.save_pretrained(tmp_path)
    read = json.loads((tmp_path / "config.json").read_text())
    assert read["dtype"] == json.loads(theirs.to_json_string())["dtype"]
    assert read["finetuned"] == 3


def test_what_else_others_ask_for():
    ours, theirs = both_configs()
    for name in ("use_return_dict", "name_or_path", "_name_or_path"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_table_that_does_not_match_is_warned_about_once():
    with pytest.warns(UserWarning, match="is not the inverse of id2label"):
        config = DistilBertConfig(id2label={0: "a", 1: "b"}, label2id={"a": 1, "b": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config.problem_type = "regression"
        copied = config.replace(n_layers=2)
    assert copied.label2id == config.label2id == {"a": 1, "b": 0}

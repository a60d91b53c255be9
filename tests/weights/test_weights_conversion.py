"""Writing a checkpoint anew: from pickles and BERTs, in other names and types."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
import torch
import transformers
from checkpoints import say_how_sentences_become_vectors, write_checkpoint
from layouts import SMALL, SST_2, UNCASED, config_of, random_tensors

import minidistil
from minidistil.checkpoint.tensors import CheckpointError
from minidistil.hub import BUNDLED, CheckpointNotFoundError
from minidistil.weights.bert import keep_layers
from minidistil.weights.conversion import convert

HEAD = "DistilBertForSequenceClassification"
IDS = torch.tensor([[1, 7, 9, 3], [5, 2, 4, 4]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
BERT = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}


def write(folder, tensors, config, new=None):
    """Write safetensors, or a pickle of the newer or of the older kind."""
    if new is not None and torch.__version__ < "2.10":
        pytest.skip("an older torch is trusted with no pickle")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    if new is None:
        safetensors.torch.save_file(tensors, folder / "model.safetensors")
    else:
        path = folder / "pytorch_model.bin"
        torch.save(tensors, path, _use_new_zipfile_serialization=new)
    return folder


def tensors_of(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def config_in(folder):
    return json.loads((folder / "config.json").read_text())


def same(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


@pytest.fixture
def sound():
    config = config_of(SST_2, **SMALL)
    return random_tensors(config), config


@pytest.fixture
def folder(tmp_path, sound):
    return write(tmp_path / "in", *sound)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def changed(config, **changes):
    return {k: v for k, v in (config | changes).items() if v is not None}


# Pickles


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_pickle_becomes_safetensors_that_transformers_loads(
    tmp_path, sound, out, new
):
    convert(write(tmp_path / "in", *sound, new), out)
    assert same(tensors_of(out), sound[0])
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    assert same(dict(theirs.state_dict()), sound[0])


def test_a_pickle_can_be_converted_where_it_lies(tmp_path, sound):
    folder = write(tmp_path / "in", *sound, True)
    convert(folder, folder)
    assert same(tensors_of(folder), sound[0])
    minidistil.AutoModelForSequenceClassification.from_pretrained(folder)


def test_safetensors_go_before_a_pickle(folder, sound, out):
    torch.save({"other": torch.ones(1)}, folder / "pytorch_model.bin")
    convert(folder, out)
    assert same(tensors_of(out), sound[0])


def test_integers_are_no_weights(tmp_path, sound, out):
    tensors, config = sound
    tensors["classifier.bias"] = torch.ones(2, dtype=torch.int8)
    with pytest.raises(CheckpointError, match=r"'classifier.bias' is stored as int8"):
        convert(write(tmp_path / "in", tensors, config, True), out)
    assert not out.exists()


def test_the_buffers_of_old_pickles_are_left_out(tmp_path, sound, out):
    tensors, config = sound
    old = tensors | {"distilbert.embeddings.position_ids": torch.arange(512)[None]}
    convert(write(tmp_path / "in", old, config, True), out)
    assert same(tensors_of(out), tensors)


def test_loading_a_pickle_names_the_command(tmp_path, sound):
    folder = write(tmp_path / "in", *sound, True)
    with pytest.raises(CheckpointError, match=f"weights convert {folder} FOLDER"):
        minidistil.AutoModelForSequenceClassification.from_pretrained(folder)


# Names


def test_a_prefix_is_given_to_a_task_and_not_to_an_encoder(folder, out, tmp_path):
    convert(folder, out, prefix=False)
    assert "embeddings.word_embeddings.weight" in tensors_of(out)
    convert(out, tmp_path / "again")
    assert same(tensors_of(tmp_path / "again"), tensors_of(folder))
    convert(out, tmp_path / "encoder", drop_heads=True)
    assert "embeddings.word_embeddings.weight" in tensors_of(tmp_path / "encoder")
    convert(out, tmp_path / "prefixed", drop_heads=True, prefix=True)
    names = tensors_of(tmp_path / "prefixed")
    assert all(name.startswith("distilbert.") for name in names)


def test_a_tensor_may_be_renamed_into_a_head(tmp_path, sound, out):
    tensors, config = sound
    other = {name.replace("classifier.", "score."): t for name, t in tensors.items()}
    folder = write(tmp_path / "in", other, config)
    with pytest.raises(CheckpointError, match="--rename OLD=NEW"):
        convert(folder, out)
    made = convert(
        folder, out, rename={"score": "classifier", "pre_score": "pre_classifier"}
    )
    assert same(tensors_of(out), tensors)
    assert made.left_out == []


@pytest.mark.parametrize("options", [{"prefix": False}, {"drop_heads": True}])
def test_what_was_renamed_into_the_encoder_is_of_the_encoder(
    tmp_path, sound, out, options
):
    tensors, config = sound
    other = {name.replace("distilbert.", "bert."): t for name, t in tensors.items()}
    rename = {"bert": "distilbert"}
    convert(write(tmp_path / "in", other, config), out, rename=rename, **options)
    convert(write(tmp_path / "sound", tensors, config), tmp_path / "2", **options)
    assert same(tensors_of(out), tensors_of(tmp_path / "2"))
    assert "embeddings.LayerNorm.weight" in tensors_of(out)


def test_two_spellings_of_a_name_are_one_name(tmp_path, sound, out):
    tensors, config = sound
    folder = write(tmp_path / "in", tensors | {"a.beta": torch.ones(2)}, config)
    with pytest.raises(ValueError, match=r"two tensors would be 'classifier\.bias'"):
        convert(folder, out, rename={"a.bias": "classifier.beta"})


def test_a_token_classifier_is_told_from_a_text_classifier_after_a_drop(folder, out):
    made = convert(folder, out, drop=["pre_classifier"])
    assert made.kind == "DistilBertForTokenClassification"
    assert config_in(out)["architectures"] == [made.kind]
    assert sorted(made.left_out) == ["pre_classifier.bias", "pre_classifier.weight"]


@pytest.mark.parametrize("options", [{"drop": ["pooler"]}, {"rename": {"pooler": "a"}}])
def test_a_name_that_is_not_there_is_told_with_those_that_are(folder, out, options):
    with pytest.raises(ValueError, match=r"'pooler'; beside the .* pre_classifier"):
        convert(folder, out, **options)


def test_a_name_cannot_be_given_twice(folder, out):
    with pytest.raises(ValueError, match=r"there is a 'classifier\.bias' already"):
        convert(folder, out, rename={"pre_classifier": "classifier"})


def test_what_is_left_over_must_be_dropped_by_name(tmp_path, sound, out):
    tensors, config = sound
    folder = write(tmp_path / "in", tensors | {"pooler.weight": torch.ones(1)}, config)
    with pytest.raises(CheckpointError, match=r"'pooler.weight' \(1,\) is only in"):
        convert(folder, out)
    assert convert(folder, out, drop=["pooler"]).left_out == ["pooler.weight"]
    assert same(tensors_of(out), tensors)


def test_without_its_head_a_checkpoint_is_an_encoder(folder, sound, out):
    made = convert(folder, out, drop_heads=True)
    assert made.kind == "DistilBertModel"
    assert config_in(out)["architectures"] == ["DistilBertModel"]
    theirs = transformers.AutoModel.from_pretrained(out)
    ours = sound[0]["distilbert.transformer.layer.1.ffn.lin1.bias"]
    assert torch.equal(theirs.transformer.layer[1].ffn.lin1.bias, ours)


# Types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_becomes_what_is_asked(folder, sound, out, dtype):
    convert(folder, out, dtype=dtype)
    expected = {name: tensor.to(dtype) for name, tensor in sound[0].items()}
    assert same(tensors_of(out), expected)
    assert config_in(out)["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64, "int8"])
def test_a_type_that_does_not_load_is_refused_before_anything_is_read(
    tmp_path, out, dtype
):
    with pytest.raises(ValueError, match=r"expected None or one of torch\.float64, "):
        convert(tmp_path / "nowhere", out, dtype=dtype)
    assert not out.exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_become_the_same_numbers_in_full(folder, out, tmp_path, dtype):
    convert(folder, out, dtype=dtype)
    convert(out, tmp_path / "full", dtype=torch.float32)
    expected = {name: tensor.float() for name, tensor in tensors_of(out).items()}
    assert same(tensors_of(tmp_path / "full"), expected)


def test_a_number_too_large_is_an_error_and_nothing_is_written(tmp_path, sound, out):
    tensors, config = sound
    tensors["classifier.weight"][0, 0] = 70_000
    folder = write(tmp_path / "in", tensors, config)
    with pytest.raises(CheckpointError, match=r"'classifier.weight' .* beyond 65504"):
        convert(folder, out, dtype=torch.float16)
    assert not (out / "model.safetensors").exists()
    convert(folder, out, dtype=torch.bfloat16)
    assert tensors_of(out)["classifier.weight"][0, 0] == 70_144


def test_numbers_that_are_not_finite_are_not_written(tmp_path, sound, out):
    tensors, config = sound
    tensors["classifier.weight"][0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="NaN"):
        convert(write(tmp_path / "in", tensors, config), out)
    assert not (out / "model.safetensors").exists()


def test_mixed_types_stay_as_they_are(tmp_path, sound, out):
    tensors, config = sound
    tensors["classifier.weight"] = tensors["classifier.weight"].half()
    made = convert(write(tmp_path / "in", tensors, config), out)
    assert made.dtype == "float16+float32"
    assert same(tensors_of(out), tensors)


# BERT


def bert(kind, tmp_path, **config):
    """A BERT whose every parameter is from N(0, 0.5), and the folder it is in."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**BERT | config, attn_implementation="eager")
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5)
    model.save_pretrained(tmp_path / kind)
    return model, tmp_path / kind


@torch.no_grad()
def test_a_folded_bert_gives_its_hidden_states(tmp_path, out):
    theirs, folder = bert("BertModel", tmp_path)
    made = convert(folder, out)
    assert made.kind == "DistilBertModel"
    assert sorted(made.left_out) == ["pooler.dense.bias", "pooler.dense.weight"]
    ours = minidistil.AutoModel.from_pretrained(out)
    expected = theirs(IDS, attention_mask=MASK).last_hidden_state[MASK.bool()]
    found = ours(IDS, attention_mask=MASK).last_hidden_state[MASK.bool()]
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining"])
def test_berts_head_for_masked_words_comes_along(tmp_path, out, kind):
    theirs, folder = bert(kind, tmp_path)
    assert convert(folder, out).kind == "DistilBertForMaskedLM"
    ours = minidistil.AutoModelForMaskedLM.from_pretrained(out)
    expected = theirs(IDS, attention_mask=MASK)
    words = expected.logits if kind == "BertForMaskedLM" else expected[0]
    found = ours(IDS, attention_mask=MASK).logits
    torch.testing.assert_close(
        found[MASK.bool()], words[MASK.bool()], rtol=0, atol=2e-4
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_bert_in_16_bits_is_folded_in_32(tmp_path, out, dtype):
    theirs, _ = bert("BertModel", tmp_path)
    theirs.to(dtype).save_pretrained(tmp_path / "half")
    table = theirs.embeddings
    positions = table.position_embeddings.weight.detach().float()
    expected = positions + table.token_type_embeddings.weight.detach()[0].float()
    name = "embeddings.position_embeddings.weight"
    convert(tmp_path / "half", out, dtype=torch.float32)
    assert torch.equal(tensors_of(out)[name], expected)
    assert convert(tmp_path / "half", tmp_path / "out16").dtype == str(dtype)[6:]
    assert torch.equal(tensors_of(tmp_path / "out16")[name], expected.to(dtype))


def test_a_bert_in_an_old_pickle_with_old_names_is_folded(tmp_path, out):
    theirs, folder = bert("BertForMaskedLM", tmp_path)
    new = convert(folder, out)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in theirs.state_dict().items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(20)[None]
    config = config_in(folder)
    legacy = write(tmp_path / "old", old, config, False)
    assert convert(legacy, tmp_path / "again").parameters == new.parameters
    assert same(tensors_of(tmp_path / "again"), tensors_of(out))


def test_a_classifier_on_berts_pooler_is_not_carried_over(tmp_path, out):
    _, folder = bert("BertForSequenceClassification", tmp_path)
    with pytest.raises(ValueError, match=r"classifier.bias, .*stands on its pooler"):
        convert(folder, out)
    assert convert(folder, out, drop_heads=True).kind == "DistilBertModel"


# The start of a distillation


@torch.no_grad()
def test_a_student_has_its_teachers_layers(tmp_path, out):
    theirs, folder = bert("BertModel", tmp_path)
    convert(folder, out, layers="every-second")
    assert config_in(out)["n_layers"] == 2
    kept = [theirs.encoder.layer[0], theirs.encoder.layer[2]]
    theirs.encoder.layer = torch.nn.ModuleList(kept)
    ours = minidistil.AutoModel.from_pretrained(out)
    torch.testing.assert_close(
        ours(IDS).last_hidden_state, theirs(IDS).last_hidden_state, rtol=0, atol=5e-5
    )


@torch.no_grad()
def test_chosen_layers_of_a_distilbert_are_kept(tmp_path, out):
    config = config_of(UNCASED, **SMALL | {"n_layers": 5})
    tensors = random_tensors(config)
    convert(write(tmp_path / "in", tensors, config), out, layers=[0, 3, 4])
    theirs = transformers.DistilBertForMaskedLM(
        transformers.DistilBertConfig(**config)
    ).eval()
    theirs.load_state_dict(tensors, strict=False)
    layers = theirs.distilbert.transformer.layer
    theirs.distilbert.transformer.layer = torch.nn.ModuleList(
        [layers[0], layers[3], layers[4]]
    )
    ours = minidistil.AutoModelForMaskedLM.from_pretrained(out)
    assert torch.equal(ours(IDS).logits, theirs(IDS).logits)


def test_every_second_of_twelve_is_six():
    config = {"n_layers": 12}
    tensors = {f"transformer.layer.{i}.ffn": torch.tensor(i) for i in range(12)}
    config, kept = keep_layers(config, tensors, "every-second")
    assert config == {"n_layers": 6}
    assert [*kept] == [f"transformer.layer.{i}.ffn" for i in range(6)]
    assert [*map(int, kept.values())] == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize("layers", [[], [2], [-1], [1, 0], [0, 0], [0, 5]])
def test_layers_that_are_not_there_or_not_in_order_are_told(folder, out, layers):
    with pytest.raises(
        ValueError, match="expected integers from 0 to 1, each once and in"
    ):
        convert(folder, out, layers=layers)


@pytest.mark.parametrize("layers", [[0.0, 1.0], [True], [None], ["0"], [0, "1"]])
def test_layers_are_numbered_by_integers(folder, out, layers):
    with pytest.raises(ValueError, match="expected integers from 0 to 1, each once"):
        convert(folder, out, layers=layers)
    assert not out.exists()


def test_the_tensors_given_are_left_as_they_were(sound):
    tensors, config = sound
    before = dict(tensors)
    keep_layers(config, tensors, [1])
    assert same(tensors, before)


# What comes along, and what does not


def test_a_tokenizer_comes_along(folder, out):
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(BUNDLED["tiny"] / name, folder)
    convert(folder, out)
    ours = minidistil.AutoTokenizer.from_pretrained(out)("Not bad")["input_ids"]
    assert ours == minidistil.AutoTokenizer.from_pretrained("tiny")("Not bad").input_ids


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_conversion_that_is_refused_leaves_the_targets_tokenizer(
    tmp_path, sound, out
):
    tensors, config = sound
    convert(write(tmp_path / "sound", tensors, config), out)
    (out / "vocab.txt").write_text("of the target")
    before = files_in(out)
    tensors["classifier.weight"][0, 0] = float("nan")
    spoilt = write(tmp_path / "in", tensors, config)
    (spoilt / "vocab.txt").write_text("of the source")
    with pytest.raises(CheckpointError, match="NaN"):
        convert(spoilt, out)
    assert files_in(out) == before


@pytest.mark.parametrize(
    "stale", ["tokenizer.json", "added_tokens.json", "vocab.txt", "modules.json"]
)
def test_what_would_be_read_with_the_new_weights_is_refused(folder, out, stale):
    out.mkdir()
    (out / stale).write_text("{}")
    with pytest.raises(ValueError, match=f"holds {stale}, which the source does not"):
        convert(folder, out)
    assert [path.name for path in out.iterdir()] == [stale]


def test_sentences_become_the_same_vectors(tmp_path, out):
    folder = write_checkpoint(tmp_path / "in", "DistilBertModel")
    say_how_sentences_become_vectors(folder)
    convert(folder, out)
    before, after = (
        minidistil.pipeline("sentence-embeddings", model=str(each))("Not bad")
        for each in (folder, out)
    )
    assert torch.equal(after, before)
    plain = minidistil.pipeline(
        "sentence-embeddings", model=str(folder), pooling="mean", max_length=64
    )
    assert not torch.equal(plain("Not bad"), before)


def test_modules_outside_the_checkpoint_are_refused(folder, out):
    modules = [{"type": "a.Pooling", "path": "../secret"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match="the name of a folder beside it"):
        convert(folder, out)
    assert not out.exists()


def test_labels_come_along(folder, out):
    convert(folder, out)
    assert config_in(out)["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config_in(out)["finetuning_task"] == "sst-2"


def test_a_checkpoint_can_be_converted_in_place(folder, sound):
    convert(folder, folder, dtype=torch.bfloat16)
    expected = {name: tensor.bfloat16() for name, tensor in sound[0].items()}
    assert same(tensors_of(folder), expected)


def test_the_source_is_left_as_it_was(folder, out):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    convert(folder, out, dtype=torch.float16, drop_heads=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_source_without_weights_is_told(tmp_path, out):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "config.json").write_text("{}")
    with pytest.raises(CheckpointNotFoundError, match=r"has no model\.safetensors"):
        convert(tmp_path / "in", out)


def test_another_model_is_told(tmp_path, sound, out):
    folder = write(tmp_path / "in", sound[0], {"model_type": "roberta"})
    with pytest.raises(ValueError, match="model_type is 'roberta'"):
        convert(folder, out)

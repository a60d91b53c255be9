"""Folding BERT into DistilBERT's shape, against transformers' own two classes."""

from __future__ import annotations

import json

import pytest
import torch
from engines import minilm_folder
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from minidistil.weights.bert import fold_bert

SIZES = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
}


@pytest.fixture
def bert() -> BertModel:
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SIZES)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.5)
    return model


@pytest.fixture
def config(bert: BertModel) -> dict:
    return {"layer_norm_eps": 1e-12, **bert.config.to_dict()}


@pytest.fixture
def tensors(bert: BertModel) -> dict[str, Tensor]:
    return dict(bert.state_dict())


def distilbert(config: dict, tensors: dict[str, Tensor]) -> DistilBertModel:
    model = DistilBertModel(DistilBertConfig(**config)).eval()
    model.load_state_dict(tensors)
    return model


def ragged_batch(vocab_size: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    lengths = torch.tensor([13, 5, 9])
    return (
        torch.randint(0, vocab_size, (3, 13)),
        (torch.arange(13) < lengths[:, None]).long(),
    )


@torch.no_grad()
def hidden_states(model: torch.nn.Module, ids: Tensor, mask: Tensor) -> list[Tensor]:
    out = model(ids, attention_mask=mask, output_hidden_states=True)
    return [state[mask.bool()] for state in out.hidden_states]


@torch.no_grad()
def test_every_hidden_state_is_that_of_bert(bert, config, tensors):
    ids, mask = ragged_batch(bert.config.vocab_size)
    folded = distilbert(*fold_bert(config, tensors))
    states = zip(
        hidden_states(folded, ids, mask), hidden_states(bert, ids, mask), strict=True
    )
    for ours, theirs in states:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-5)


@torch.no_grad()
def test_in_float64_only_the_rounding_of_one_addition_is_left(bert, config):
    bert.double()
    ids, mask = ragged_batch(bert.config.vocab_size)
    folded = distilbert(*fold_bert(config, bert.state_dict()))
    folded.double().load_state_dict(fold_bert(config, bert.state_dict())[1])
    ours, theirs = hidden_states(folded, ids, mask), hidden_states(bert, ids, mask)
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=0, atol=1e-12)


def test_real_weights_give_the_same_hidden_states():
    folder = minilm_folder()
    config = json.loads((folder / "config.json").read_text())
    ids, mask = ragged_batch(config["vocab_size"])
    bert = BertModel.from_pretrained(folder).eval()
    folded = distilbert(*fold_bert(config, load_file(folder / "model.safetensors")))
    ours, theirs = hidden_states(folded, ids, mask), hidden_states(bert, ids, mask)
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=0, atol=5e-6)


def test_the_prefix_of_a_task_checkpoint_is_removed(config, tensors):
    prefixed = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    plain, folded = fold_bert(config, tensors)[1], fold_bert(config, prefixed)[1]
    assert plain.keys() == folded.keys()
    assert all(torch.equal(plain[name], folded[name]) for name in plain)


def test_gamma_and_beta_are_weight_and_bias(config, tensors):
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert old.keys() != tensors.keys()
    plain, folded = fold_bert(config, tensors)[1], fold_bert(config, old)[1]
    assert plain.keys() == folded.keys()
    assert all(torch.equal(plain[name], folded[name]) for name in plain)


def test_the_position_ids_of_old_files_are_dropped(config, tensors):
    tensors["embeddings.position_ids"] = torch.arange(20)[None]
    assert "embeddings.position_ids" not in fold_bert(config, tensors)[1]


def test_the_tensors_given_are_left_as_they_were(config, tensors):
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    fold_bert(config, tensors)
    assert all(torch.equal(before[name], tensors[name]) for name in before)


def test_the_config_says_distilbert_with_the_same_sizes(config, tensors):
    folded = fold_bert(config | {"hidden_dropout_prob": 0.3}, tensors)[0]
    assert folded["model_type"] == "distilbert"
    assert (folded["vocab_size"], folded["max_position_embeddings"]) == (50, 20)
    assert (folded["dim"], folded["hidden_dim"]) == (24, 40)
    assert (folded["n_layers"], folded["n_heads"]) == (3, 4)
    assert (folded["dropout"], folded["attention_dropout"]) == (0.3, 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta', expected 'bert'"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05"),
        ({"position_embedding_type": "relative_key"}, "'relative_key'"),
        ({"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ({"is_decoder": True}, "decoder"),
    ],
)
def test_a_bert_that_distilbert_cannot_express_is_refused(
    config, tensors, change, message
):
    with pytest.raises(ValueError, match=message):
        fold_bert(config | change, tensors)


def test_a_config_without_a_size_names_the_size(config, tensors):
    del config["hidden_size"]
    with pytest.raises(ValueError, match="lacks hidden_size"):
        fold_bert(config, tensors)


def test_missing_and_unexpected_tensors_are_all_named(config, tensors):
    del tensors["encoder.layer.1.attention.self.key.bias"]
    del tensors["embeddings.LayerNorm.weight"]
    tensors["classifier.weight"] = torch.zeros(2, 24)
    with pytest.raises(ValueError, match="missing") as caught:
        fold_bert(config, tensors)
    for name in (
        "missing: embeddings.LayerNorm.weight, encoder.layer.1.attention.self.key.bias",
        "unexpected: classifier.weight",
    ):
        assert name in str(caught.value)


def test_more_layers_than_the_config_says_are_unexpected(config, tensors):
    with pytest.raises(ValueError, match=r"unexpected: encoder\.layer\.2"):
        fold_bert(config | {"num_hidden_layers": 2}, tensors)


def test_one_tensor_under_two_names_is_refused(config, tensors):
    name = "embeddings.word_embeddings.weight"
    tensors[f"bert.{name}"] = tensors[name]
    with pytest.raises(ValueError, match="two tensors are both"):
        fold_bert(config, tensors)


@pytest.mark.parametrize(
    "name",
    [
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "encoder.layer.0.intermediate.dense.bias",
    ],
)
def test_a_tensor_of_another_shape_is_named(config, tensors, name):
    tensors[name] = tensors[name][..., :1]
    with pytest.raises(ValueError, match=f"{name} has shape"):
        fold_bert(config, tensors)

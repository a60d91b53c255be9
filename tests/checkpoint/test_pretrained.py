"""Models from checkpoints and back: transformers' weights exactly, or one error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from reference import CHOICE, HEADS, MASKED_LM, NAMES, OURS, QUESTION, SEQUENCE, TOKEN
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from minidistil.checkpoint.tensors import CheckpointError
from minidistil.config import ConfigError, DistilBertConfig
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.hub import CheckpointNotFoundError
from minidistil.model import DistilBertModel

# No two sizes are equal.
SIZES = {
    "vocab_size": 31,
    "max_position_embeddings": 13,
    "dim": 12,
    "n_heads": 3,
    "hidden_dim": 20,
    "n_layers": 2,
}
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WORDS = "distilbert.embeddings.word_embeddings.weight"
OUTPUT = "vocab_projector.weight"


def ours(name: str, **config: Any) -> Any:
    return getattr(OURS, name)(DistilBertConfig(**SIZES | config))


def theirs(name: str, **config: Any) -> Any:
    """Build transformers' model, with biases and norms that are not 0 and 1."""
    model = getattr(transformers, name)(transformers.DistilBertConfig(**SIZES | config))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


def load(name: str, folder: Path, **options: Any) -> Any:
    return getattr(OURS, name).from_pretrained(folder, **options)


def edit(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def assert_same_weights(left: nn.Module, right: nn.Module) -> None:
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype, name
        assert torch.equal(ours[name], theirs[name]), name


def assert_does_not_fit(name: str, folder: Path, *parts: str, **options: Any) -> str:
    with pytest.raises(CheckpointError) as error:
        load(name, folder, **options)
    message = str(error.value)
    assert message.startswith(f"folder '{folder}' does not fit {name}:\n")
    for part in parts:
        assert part in message, f"{part!r} is not in {message!r}"
    return message


def run_python(program: str) -> str:
    """Run a program in a process of its own and return what it prints."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


# Both directions


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_what_transformers_saves_is_loaded_exactly(tmp_path, name, dtype):
    saved = theirs(name).to(dtype)
    saved.save_pretrained(tmp_path)
    assert_same_weights(load(name, tmp_path, dtype="auto"), saved)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_what_we_save_is_loaded_by_transformers_exactly(tmp_path, name, dtype):
    model = ours(name).to(dtype)
    model.save_pretrained(tmp_path)
    found, info = getattr(transformers, name).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info.values()), info
    assert_same_weights(model, found)
    assert found.config.architectures == [name]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_what_we_save_we_load_exactly(tmp_path, name, dtype):
    model = ours(name, num_labels=2 if name == QUESTION else 4).to(dtype)
    model.save_pretrained(tmp_path)
    found = load(name, tmp_path, dtype="auto")
    assert_same_weights(model, found)
    assert found.config.id2label == model.config.id2label


def test_transformers_chooses_our_class_by_the_architecture_we_write(tmp_path):
    ours(TOKEN, num_labels=3).save_pretrained(tmp_path)
    auto = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert type(auto).__name__ == TOKEN


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_parameters_is_transformers_own(name):
    assert ours(name).num_parameters() == theirs(name).num_parameters()


def test_files_from_both_give_the_same_answer(tmp_path):
    model = theirs(SEQUENCE)
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[1, 5, 9, 30]])
    with torch.no_grad():
        expected = model(ids, attention_mask=torch.ones_like(ids)).logits
        assert torch.equal(load(SEQUENCE, tmp_path)(ids).logits, expected)


# A loaded model


def test_a_loaded_model_infers_and_can_be_trained(tmp_path):
    theirs(MASKED_LM).save_pretrained(tmp_path)
    model = load(MASKED_LM, tmp_path)
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    model(torch.ones(1, 3, dtype=torch.long)).logits.sum().backward()


@pytest.mark.parametrize("new_head", [False, True])
def test_every_parameter_has_aligned_memory_of_its_own(tmp_path, new_head):
    theirs(SEQUENCE).save_pretrained(tmp_path)
    # As in the sst-2 checkpoint: data that begin off a multiple of 4.
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    padded = content[8 : 8 + length] + b" " * ((2 - length) % 4)
    path.write_bytes(len(padded).to_bytes(8, "little") + padded + content[8 + length :])
    parameters = list(load(SEQUENCE, tmp_path, new_head=new_head).parameters())
    assert {parameter.data_ptr() % 64 for parameter in parameters} == {0}
    memory = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    assert len(memory) == len(parameters)


def test_loading_draws_no_random_numbers(tmp_path):
    theirs(SEQUENCE).save_pretrained(tmp_path)
    before = torch.get_rng_state()
    load(SEQUENCE, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_imports_nothing_large(tmp_path):
    model = ours("DistilBertModel", sinusoidal_pos_embds=True)
    model.save_pretrained(tmp_path)
    # torch imports sympy, and much else, for work on the meta device.
    program = f"""
        import sys
        from minidistil.heads import DistilBertForSequenceClassification
        before = set(sys.modules)
        DistilBertForSequenceClassification.from_pretrained(
            {str(tmp_path)!r}, num_labels=2
        )
        more = sys.modules.keys() - before
        assert "sympy" not in more and len(more) < 50, sorted(more)
    """
    run_python(program)


def test_positions_come_from_the_file_even_if_they_were_sinusoidal(tmp_path):
    saved = theirs("DistilBertModel", sinusoidal_pos_embds=True)
    saved.save_pretrained(tmp_path)
    assert_same_weights(load("DistilBertModel", tmp_path), saved)


def test_the_attention_is_chosen_at_loading(tmp_path):
    ours("DistilBertModel").save_pretrained(tmp_path)
    model = load("DistilBertModel", tmp_path, attn_implementation="eager")
    assert model.attn_implementation == "eager"
    with pytest.raises(ValueError, match="attn_implementation is 'flash'"):
        load("DistilBertModel", tmp_path, attn_implementation="flash")


def test_a_model_is_loaded_from_the_hubs_cache(tmp_path):
    saved = ours(SEQUENCE)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--someone--a-model"
    saved.save_pretrained(repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "v1").write_text(commit)
    for revision in ("v1", commit):
        found = DistilBertForSequenceClassification.from_pretrained(
            "someone/a-model", revision=revision, cache_dir=tmp_path
        )
        assert_same_weights(found, saved)


def test_a_checkpoint_in_shards_is_loaded(tmp_path):
    saved = theirs(QUESTION)
    saved.save_pretrained(tmp_path, max_shard_size="2KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert_same_weights(load(QUESTION, tmp_path), saved)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_loading_takes_the_model_and_one_tensor(tmp_path):
    # Mapped pages are the file's and can be dropped at any time: what counts is
    # anonymous memory, at its highest. A thread looks at it all the time.
    model = ours("DistilBertModel", dim=64, n_heads=1, hidden_dim=2**15, n_layers=8)
    model.half().save_pretrained(tmp_path)
    size = sum(p.numel() for p in model.parameters()) * 4 / 2**20
    largest = 64 * 2**15 * 4 / 2**20
    del model
    program = f"""
        import re, threading, time, torch
        from minidistil.model import DistilBertModel

        def anonymous():
            text = open("/proc/self/status").read()
            return int(re.search(r"RssAnon:\\s+(\\d+)", text).group(1)) / 1024

        def watch():
            global highest
            while not done:
                highest = max(highest, anonymous())
                time.sleep(0.0005)

        torch.ones(10).half().float().aminmax()
        before = highest = anonymous()
        done = False
        watcher = threading.Thread(target=watch)
        watcher.start()
        model = DistilBertModel.from_pretrained({str(tmp_path)!r})
        done = True
        watcher.join()
        print(max(highest, anonymous()) - before)
    """
    slack = 16
    assert 0.95 * size <= float(run_python(program)) <= size + largest + slack


# Types and places


def test_weights_become_float32_unless_asked(tmp_path):
    theirs(SEQUENCE).half().save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.dtype == torch.float32


@pytest.mark.parametrize("new_head", [False, True])
@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("auto", torch.float16),
        ("float64", torch.float64),
        ("torch.bfloat16", torch.bfloat16),
        (torch.float16, torch.float16),
    ],
)
def test_weights_become_the_type_that_is_asked_for(tmp_path, asked, got, new_head):
    theirs(SEQUENCE).half().save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path, dtype=asked, new_head=new_head)
    assert {parameter.dtype for parameter in model.parameters()} == {got}


@pytest.mark.parametrize("dtype", ["int8", "half", torch.int64, 16])
def test_another_type_is_told(tmp_path, dtype):
    ours("DistilBertModel").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f'{dtype!r}, expected "auto" or')):
        load("DistilBertModel", tmp_path, dtype=dtype)


@pytest.mark.parametrize("new_head", [False, True])
def test_weights_go_to_the_device_that_is_asked_for(tmp_path, monkeypatch, new_head):
    # The meta device stands in for one that this machine may not have.
    from minidistil.checkpoint import tensors as checkpoint

    monkeypatch.setattr(checkpoint, "all_finite", lambda tensor: True)
    theirs(SEQUENCE).save_pretrained(tmp_path)
    for device in ("meta", torch.device("meta")):
        model = load(SEQUENCE, tmp_path, device=device, new_head=new_head)
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert load(SEQUENCE, tmp_path).device == torch.device("cpu")


# Old and odd files


def test_old_names_and_buffers_are_understood(tmp_path):
    saved = theirs(SEQUENCE)
    saved.save_pretrained(tmp_path)

    def age(tensors):
        for name in list(tensors):
            if "LayerNorm" in name or "layer_norm" in name:
                old = name.replace(".weight", ".gamma").replace(".bias", ".beta")
                tensors[old] = tensors.pop(name)
        tensors["distilbert.embeddings.position_ids"] = torch.arange(13)[None]

    edit(tmp_path, age)  # which also leaves the metadata out
    assert_same_weights(load(SEQUENCE, tmp_path), saved)


def test_an_encoder_with_the_prefix_is_loaded(tmp_path):
    saved = theirs("DistilBertModel")
    saved.save_pretrained(tmp_path)
    edit(
        tmp_path,
        lambda t: [t.update({f"distilbert.{n}": t.pop(n)}) for n in list(t)],
    )
    assert_same_weights(load("DistilBertModel", tmp_path), saved)


def test_a_head_over_an_encoder_without_the_prefix_is_loaded(tmp_path):
    saved = theirs(QUESTION)
    saved.save_pretrained(tmp_path)
    edit(
        tmp_path,
        lambda t: [
            t.update({n.removeprefix("distilbert."): t.pop(n)}) for n in list(t)
        ],
    )
    assert_same_weights(load(QUESTION, tmp_path), saved)


def test_a_classifier_without_labels_in_its_config_has_two(tmp_path):
    saved = theirs(SEQUENCE)
    saved.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("id2label", "label2id", "num_labels"):
        config.pop(key, None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = load(SEQUENCE, tmp_path)
    assert model.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert_same_weights(model, saved)


# The output matrix of masked language modelling


def test_a_tied_matrix_is_one_parameter_and_not_in_the_file(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    assert "vocab_projector.weight" not in load_file(tmp_path / "model.safetensors")
    model = load(MASKED_LM, tmp_path)
    words = model.distilbert.embeddings.word_embeddings.weight
    assert model.vocab_projector.weight is words


def test_a_matrix_in_the_file_that_equals_the_words_is_tied(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.update({"vocab_projector.weight": t[WORDS].clone()}))
    model = load(MASKED_LM, tmp_path)
    words = model.distilbert.embeddings.word_embeddings.weight
    assert model.vocab_projector.weight is words
    assert model.config.tie_word_embeddings


def test_a_matrix_in_the_file_that_differs_is_used_untied(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    other = torch.randn(31, 12)
    edit(tmp_path, lambda t: t.update({"vocab_projector.weight": other}))
    model = load(MASKED_LM, tmp_path)
    assert torch.equal(model.vocab_projector.weight, other)
    assert not torch.equal(model.distilbert.embeddings.word_embeddings.weight, other)
    assert model.config.tie_word_embeddings is False
    assert model.distilbert.config.tie_word_embeddings is False

    model.save_pretrained(tmp_path / "again")
    assert_same_weights(load(MASKED_LM, tmp_path / "again"), model)
    assert_same_weights(
        transformers.DistilBertForMaskedLM.from_pretrained(tmp_path / "again"), model
    )


def test_an_output_matrix_of_another_type_differs(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    words = torch.ones(31, 12)
    edit(tmp_path, lambda t: t.update({WORDS: words, OUTPUT: words.half()}))
    assert load(MASKED_LM, tmp_path).config.tie_word_embeddings is False


def test_an_output_matrix_of_another_size_does_not_fit(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.update({OUTPUT: torch.ones(30, 12)}))
    line = f"\n  {OUTPUT} is (30, 12) in the file, (31, 12) in the model\n"
    assert_does_not_fit(MASKED_LM, tmp_path, line)


def test_an_untied_matrix_of_transformers_stays_untied(tmp_path):
    saved = theirs(MASKED_LM, tie_word_embeddings=False)
    saved.save_pretrained(tmp_path)
    model = load(MASKED_LM, tmp_path)
    assert_same_weights(model, saved)
    assert not torch.equal(
        model.vocab_projector.weight, model.distilbert.embeddings.word_embeddings.weight
    )


def test_an_untied_matrix_of_ours_stays_untied_in_transformers(tmp_path):
    saved = ours(MASKED_LM, tie_word_embeddings=False)
    saved.save_pretrained(tmp_path)
    found = transformers.DistilBertForMaskedLM.from_pretrained(tmp_path)
    assert_same_weights(found, saved)


def test_an_untied_matrix_that_equals_the_words_is_not_tied(tmp_path):
    model = ours(MASKED_LM, tie_word_embeddings=False)
    words = model.distilbert.embeddings.word_embeddings.weight
    model.vocab_projector.weight.data.copy_(words.data)
    model.save_pretrained(tmp_path)
    found = load(MASKED_LM, tmp_path)
    assert found.config.tie_word_embeddings is False
    assert (
        found.vocab_projector.weight
        is not found.distilbert.embeddings.word_embeddings.weight
    )


def test_an_untied_matrix_may_not_be_absent(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    edit_config(tmp_path, tie_word_embeddings=False)
    assert_does_not_fit(
        MASKED_LM,
        tmp_path,
        "\n  vocab_projector.weight (31, 12) is missing from the file\n",
        "says that tie_word_embeddings is false",
        "say true there",
    )


@pytest.mark.parametrize("tied", [True, False])
def test_a_matrix_that_the_caller_ties_or_unties_is_saved_as_it_is(tmp_path, tied):
    model = ours(MASKED_LM, tie_word_embeddings=not tied)
    words = model.distilbert.embeddings.word_embeddings.weight
    model.vocab_projector.weight = words if tied else nn.Parameter(torch.ones(31, 12))
    model.save_pretrained(tmp_path)
    found = load(MASKED_LM, tmp_path)
    assert_same_weights(found, model)
    assert found.config.tie_word_embeddings is tied


# The bare encoder of a task checkpoint


@pytest.mark.parametrize("name", HEADS)
def test_the_bare_encoder_leaves_a_known_head_out(tmp_path, name):
    saved = theirs(name)
    saved.save_pretrained(tmp_path)
    assert_same_weights(load("DistilBertModel", tmp_path), saved.distilbert)


@pytest.mark.parametrize(
    "extra", ["pooler.weight", "classifier.scale", "vocab_projector", "distilbert.x"]
)
def test_the_bare_encoder_leaves_nothing_else_out(tmp_path, extra):
    ours(SEQUENCE).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.update({extra: torch.ones(2, 3)}))
    line = f"\n  {extra!r} (2, 3) is only in the file\n"
    assert_does_not_fit("DistilBertModel", tmp_path, line)


@pytest.mark.parametrize("option", ["new_head", "num_labels", "id2label"])
def test_the_bare_encoder_has_no_head_to_ask_for(tmp_path, option):
    ours("DistilBertModel").save_pretrained(tmp_path)
    value = {"new_head": True, "num_labels": 2, "id2label": {0: "a"}}[option]
    with pytest.raises(ValueError, match="DistilBertModel has no head: leave out new_"):
        load("DistilBertModel", tmp_path, **{option: value})


# A head that is not in the checkpoint

MISSING = {
    MASKED_LM: "vocab_layer_norm.bias (12,)",
    SEQUENCE: "pre_classifier.weight (12, 12)",
    TOKEN: "classifier.bias (2,)",
    QUESTION: "qa_outputs.weight (2, 12)",
    CHOICE: "classifier.weight (1, 12)",
}


@pytest.mark.parametrize("name", HEADS)
def test_a_missing_head_is_an_error_that_lists_it(tmp_path, name):
    ours("DistilBertModel").save_pretrained(tmp_path)
    message = assert_does_not_fit(
        name,
        tmp_path,
        f"\n  {MISSING[name]} is missing from the file\n",
        "The checkpoint has no head, and this model needs one of its own: new_",
    )
    assert "distilbert." not in message
    assert ("num_labels=" in message) == (name in (SEQUENCE, TOKEN))


@pytest.mark.parametrize(
    ("stored", "asked", "kind"),
    [
        (MASKED_LM, SEQUENCE, "masked language modelling"),
        (MASKED_LM, QUESTION, "masked language modelling"),
        (SEQUENCE, TOKEN, "sequence classification or multiple choice"),
        (SEQUENCE, MASKED_LM, "sequence classification or multiple choice"),
        (TOKEN, SEQUENCE, "token classification"),
        (QUESTION, TOKEN, "question answering"),
    ],
)
def test_another_heads_weights_are_not_taken(tmp_path, stored, asked, kind):
    ours(stored).save_pretrained(tmp_path)
    assert_does_not_fit(
        asked,
        tmp_path,
        f"\n  {MISSING[asked]} is missing from the file\n",
        f"The checkpoint has a head for {kind}, and this model needs one of its own",
    )


@pytest.mark.parametrize("stored", [MASKED_LM, "DistilBertModel", TOKEN, QUESTION])
def test_a_number_of_labels_asks_for_the_missing_head(tmp_path, stored):
    saved = theirs(stored)
    saved.save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path, num_labels=3)
    assert model.classifier.weight.shape == (3, 12)
    assert model.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert_same_weights(model.distilbert, getattr(saved, "distilbert", saved))


def test_names_of_labels_ask_for_the_missing_head(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path, id2label={0: "bad", 1: "fair", 2: "good"})
    assert model.classifier.weight.shape == (3, 12)
    assert model.config.label2id == {"bad": 0, "fair": 1, "good": 2}


def test_a_kind_of_problem_alone_asks_for_no_head(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    assert_does_not_fit(SEQUENCE, tmp_path, problem_type="regression")


@pytest.mark.parametrize("name", HEADS)
def test_a_new_head_is_as_in_a_new_model(tmp_path, name):
    saved = theirs(name, initializer_range=0.5)
    saved.save_pretrained(tmp_path)
    torch.manual_seed(5)
    model = load(name, tmp_path, new_head=True)
    assert_same_weights(model.distilbert, saved.distilbert)
    for key, parameter in model.named_parameters():
        if key.startswith("distilbert."):
            continue
        assert not torch.equal(parameter, saved.get_parameter(key)), key
        if key.endswith("bias"):
            assert not parameter.any(), key
        elif "norm" in key:
            assert bool((parameter == 1).all()), key
        else:
            # Five standard errors of a standard deviation.
            error = 5 * 0.5 / (2 * parameter.numel()) ** 0.5
            assert abs(parameter.std() - 0.5) < error, key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_seed_decides_a_new_head(tmp_path, dtype):
    ours(MASKED_LM).save_pretrained(tmp_path)
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = load(SEQUENCE, tmp_path, num_labels=2, dtype=dtype)
        heads.append(model.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_new_head_for_words_keeps_the_tie_and_the_words(tmp_path):
    saved = theirs(MASKED_LM)
    saved.save_pretrained(tmp_path)
    model = load(MASKED_LM, tmp_path, new_head=True)
    words = model.distilbert.embeddings.word_embeddings.weight
    assert model.vocab_projector.weight is words
    assert torch.equal(words, saved.distilbert.embeddings.word_embeddings.weight)


def test_a_new_head_for_words_has_its_own_matrix_if_the_config_unties_it(tmp_path):
    saved = theirs(MASKED_LM, tie_word_embeddings=False)
    saved.save_pretrained(tmp_path)
    model = load(MASKED_LM, tmp_path, new_head=True)
    words = model.distilbert.embeddings.word_embeddings.weight
    assert not torch.equal(model.vocab_projector.weight, words)
    assert not torch.equal(model.vocab_projector.weight, saved.vocab_projector.weight)


def test_a_new_head_does_not_untie_what_the_old_one_did(tmp_path):
    ours(MASKED_LM).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.update({"vocab_projector.weight": torch.ones(31, 12)}))
    model = load(MASKED_LM, tmp_path, new_head=True)
    assert model.config.tie_word_embeddings
    words = model.distilbert.embeddings.word_embeddings.weight
    assert model.vocab_projector.weight is words


# Labels of a head that is in the checkpoint


def test_a_head_of_as_many_labels_as_asked_for_is_loaded_with_its_names(tmp_path):
    saved = ours(SEQUENCE, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    saved.save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path, num_labels=2)
    assert_same_weights(model, saved)
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}


def test_labels_can_be_renamed(tmp_path):
    saved = ours(SEQUENCE, id2label={0: "NEGATIVE", 1: "POSITIVE"})
    saved.save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path, id2label={0: "bad", 1: "good"}, num_labels=2)
    assert_same_weights(model, saved)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert model.config.label2id == {"bad": 0, "good": 1}


def test_a_head_of_another_size_is_told(tmp_path):
    ours(SEQUENCE, num_labels=3).save_pretrained(tmp_path)
    assert_does_not_fit(
        SEQUENCE,
        tmp_path,
        "\n  classifier.weight is (3, 12) in the file, (2, 12) in the model",
        "\n  classifier.bias is (3,) in the file, (2,) in the model\n",
        "new_head=True gives the model a new head, to be trained.",
        "Or ask for as many labels as the head in the file has.",
        num_labels=2,
    )
    model = load(SEQUENCE, tmp_path, num_labels=2, new_head=True)
    assert model.classifier.weight.shape == (2, 12)


def test_a_choice_is_not_sized_by_labels(tmp_path):
    ours(SEQUENCE, num_labels=3).save_pretrained(tmp_path)
    message = assert_does_not_fit(CHOICE, tmp_path, "new_head=True gives the model a")
    assert "as many labels" not in message


@pytest.mark.parametrize("labels", [{"num_labels": 0}, {"id2label": {}}])
def test_no_labels_at_all_are_told(tmp_path, labels):
    ours(SEQUENCE).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="expected at least one label"):
        load(SEQUENCE, tmp_path, **labels)


def test_labels_that_contradict_each_other_are_told(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="num_labels is 3, but id2label names 1"):
        load(SEQUENCE, tmp_path, num_labels=3, id2label={0: "a"})


def test_the_kind_of_problem_can_be_given(tmp_path):
    ours(SEQUENCE, num_labels=1).save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path, problem_type="regression")
    assert model.config.problem_type == "regression"


# What does not fit


def test_all_that_does_not_fit_is_listed_at_once(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)

    def break_it(tensors):
        del tensors["classifier.bias"]
        del tensors["distilbert.transformer.layer.0.attention.k_lin.weight"]
        tensors["distilbert.embeddings.LayerNorm.weight"] = torch.ones(5)
        tensors["distilbert.transformer.layer.2.ffn.lin1.bias"] = torch.ones(20)
        tensors["stray"] = torch.ones(1)

    edit(tmp_path, break_it)
    message = assert_does_not_fit(
        SEQUENCE,
        tmp_path,
        "\n  classifier.bias (2,) is missing from the file\n",
        "\n  distilbert.transformer.layer.0.attention.k_lin.weight (12, 12) is missing",
        "\n  distilbert.embeddings.LayerNorm.weight is (5,) in the file, (12,) in the ",
        "\n  'distilbert.transformer.layer.2.ffn.lin1.bias' (20,) is only in the",
        "\n  'stray' (1,) is only in the file\n",
        "are of two different models: compare its n_layers, dim, hidden_dim",
        "new_head=True gives the model a new head",
    )
    assert len(message.splitlines()) == 1 + 5 + 1


def test_a_config_with_too_few_layers_does_not_fit(tmp_path):
    ours("DistilBertModel").save_pretrained(tmp_path)
    edit_config(tmp_path, n_layers=1)
    part = "'transformer.layer.1.sa_layer_norm.bias' (12,) is only in the file"
    assert_does_not_fit("DistilBertModel", tmp_path, part)


def test_a_part_of_a_head_is_no_head(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.pop("pre_classifier.bias"))
    assert_does_not_fit(SEQUENCE, tmp_path, "pre_classifier.bias (12,) is missing")
    assert_does_not_fit(
        SEQUENCE, tmp_path, "pre_classifier.bias (12,) is missing", num_labels=2
    )
    load(SEQUENCE, tmp_path, new_head=True)


def test_a_new_head_excuses_nothing_else(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.update(stray=torch.ones(1)))
    edit(tmp_path, lambda t: t.pop(WORDS))
    assert_does_not_fit(SEQUENCE, tmp_path, WORDS, "'stray'", new_head=True)


def test_weights_that_are_not_finite_are_told(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t["classifier.bias"].fill_(float("nan")))
    with pytest.raises(CheckpointError, match=r"'classifier.bias' holds NaN"):
        load(SEQUENCE, tmp_path)


def test_a_folder_without_config_is_told(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"has no file 'config.json'"):
        load(SEQUENCE, tmp_path)


def test_another_kind_of_model_is_told(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    edit_config(tmp_path, model_type="roberta")
    with pytest.raises(ConfigError, match=r"config\.json: model_type is 'roberta'"):
        load(SEQUENCE, tmp_path)


@pytest.mark.parametrize(
    ("keyword", "nearest"), [("torch_dtyp", "torch_dtype"), ("num_label", "num_labels")]
)
def test_an_unknown_keyword_is_told_with_the_nearest(tmp_path, keyword, nearest):
    message = (
        f"DistilBertModel.from_pretrained has no argument '{keyword}'; did you mean "
        f"'{nearest}'?"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        DistilBertModel.from_pretrained(tmp_path, **{keyword: 1})


# Saving


def test_the_config_says_what_was_saved(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    edit_config(tmp_path, torch_dtype="float32", finetuning_task="sst-2")
    load(SEQUENCE, tmp_path, dtype=torch.float16).save_pretrained(tmp_path / "half")
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["architectures"] == [SEQUENCE]
    assert config["dtype"] == "float16"
    assert "torch_dtype" not in config
    assert config["finetuning_task"] == "sst-2"


def test_saving_does_not_change_the_model(tmp_path):
    model = ours(MASKED_LM)
    before = model.config
    model.save_pretrained(tmp_path)
    assert model.config is before
    assert "vocab_projector.weight" in model.state_dict()


def test_a_model_can_be_saved_over_the_files_it_was_loaded_from(tmp_path):
    ours(SEQUENCE).save_pretrained(tmp_path)
    model = load(SEQUENCE, tmp_path)
    nn.init.ones_(model.classifier.weight)
    model.save_pretrained(tmp_path)
    assert_same_weights(load(SEQUENCE, tmp_path), model)


def test_a_model_that_diverged_is_not_saved(tmp_path):
    model = ours(SEQUENCE)
    nn.init.constant_(model.classifier.bias, float("inf"))
    with pytest.raises(CheckpointError, match=r"'classifier.bias' holds NaN or infin"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())

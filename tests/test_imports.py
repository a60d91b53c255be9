"""What is imported when, and so what an import costs.

`scripts/import_time.py` measures the seconds; they depend on the machine, and these
lists do not.
"""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

import minidistil
from minidistil.elsewhere import where_it_is

HEAVY = (
    "torch",
    "tokenizers",
    "huggingface_hub",
    "safetensors",
    "numpy",
    "click",
    "tqdm",
    "transformers",
    "httpx",
    "requests",
    "urllib3",
    "aiohttp",
)
EVERYTHING = "import minidistil; [getattr(minidistil, n) for n in minidistil.__all__]"


def heavy_after(program: str) -> set[str]:
    """Return which of `HEAVY` a fresh Python has loaded after running a program."""
    report = (
        f"import json, sys; print(json.dumps([*set({HEAVY}) & sys.modules.keys()]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def command(*arguments: str) -> str:
    return f"""
from minidistil.cli import main
try:
    main({list(arguments)})
except SystemExit as end:
    assert end.code == 0
"""


def test_the_package_alone_imports_nothing_heavy():
    assert heavy_after("import minidistil") == set()


def test_a_configuration_imports_nothing_heavy():
    program = "from minidistil import AutoConfig; AutoConfig.from_pretrained('tiny')"
    assert heavy_after(program) == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["classify", "--help"]], ids=" ".join
)
def test_help_imports_click_alone(arguments):
    assert heavy_after(command(*arguments)) == {"click"}


def test_a_tokenizer_does_without_torch():
    program = """
from minidistil import AutoTokenizer
assert AutoTokenizer.from_pretrained('tiny')('Hello')['input_ids'] == [101, 7592, 102]
"""
    assert heavy_after(program) == {"tokenizers"}


def test_the_python_backend_does_without_tokenizers():
    program = """
from minidistil import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained('tiny', backend='python')
assert tokenizer('Hello')['input_ids'] == [101, 7592, 102]
"""
    assert heavy_after(program) == set()


def test_all_names_together_import_little_beside_torch():
    torch = heavy_after("import torch")
    more = {"safetensors", "tokenizers"}  # AddedToken is a class of tokenizers
    assert heavy_after(f"import torch; {EVERYTHING}") <= torch | more


def test_every_public_name_is_there():
    for name in minidistil.__all__:
        assert getattr(minidistil, name) is not None
        assert name in dir(minidistil)
        assert name in vars(minidistil), "found at once the second time"


def test_what_a_type_checker_sees_is_what_is_there():
    """The names under TYPE_CHECKING and those of `__getattr__` are two lists."""
    tree = ast.parse(Path(minidistil.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = set()
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name, "only so is it exported"
                seen.add(alias.name)
        else:
            assert isinstance(node, ast.Assign)
            seen |= {target.id for target in node.targets}
    assert seen == set(minidistil.__all__)


def test_the_courses_names_are_the_classes_themselves():
    assert minidistil.AutoTokenizer is minidistil.DistilBertTokenizer
    assert minidistil.DistilBertTokenizerFast is minidistil.DistilBertTokenizer
    assert minidistil.AutoModel is minidistil.DistilBertModel
    head = "ForQuestionAnswering"
    ours = getattr(minidistil, f"DistilBert{head}")
    assert getattr(minidistil, f"AutoModel{head}") is ours


def test_an_unknown_name_is_an_attribute_error():
    for name in ("Auto" + "Modl", "Trai" + "ner", "__nonsense__"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(minidistil, name)
        assert not hasattr(minidistil, name)
        assert getattr(minidistil, name, None) is None


# What `from minidistil import …` says of a name that is not here: a part of it.
SENTENCES = {
    "Trainer": "from transformers import Trainer",
    "TrainingArguments": "from transformers import TrainingArguments",
    "Seq2SeqTrainer": "from transformers import Seq2SeqTrainer",
    "EarlyStoppingCallback": "from transformers import EarlyStoppingCallback",
    "DataCollatorWithPadding": "from transformers import DataCollatorWithPadding",
    "DataCollatorForLanguageModeling": "works with the models of minidistil",
    "DefaultDataCollator": "from transformers import DefaultDataCollator",
    "default_data_collator": "from transformers import default_data_collator",
    "get_scheduler": "from transformers import get_scheduler",
    "get_linear_schedule_with_warmup": "import get_linear_schedule_with_warmup",
    "set_seed": "from transformers import set_seed",
    "AdamW": "from torch.optim import AdamW",
    "Accelerator": "from accelerate import Accelerator",
    "get_peft_model": "from peft import get_peft_model",
    "LoraConfig": "from peft import LoraConfig",
    "load_dataset": "from datasets import load_dataset",
    "load_metric": "import evaluate",
    "notebook_login": "from huggingface_hub import notebook_login",
    "BertModel": "DistilBERT alone: DistilBertModel",
    "BertTokenizerFast": "DistilBERT alone: DistilBertTokenizerFast",
    "BertForSequenceClassification": "DistilBertForSequenceClassification",
    "RobertaModel": "other models are in transformers",
    "XLMRobertaForTokenClassification": "other models are in transformers",
    "ElectraTokenizer": "other models are in transformers",
    "TFAutoModel": "PyTorch's: AutoModel",
    "TFDistilBertForMaskedLM": "PyTorch's: DistilBertForMaskedLM",
    "FlaxAutoModelForTokenClassification": "AutoModelForTokenClassification",
    "AutoModelForCausalLM": "is an encoder",
    "AutoModelForSeq2SeqLM": "is an encoder",
    "GPT2LMHeadModel": "is an encoder",
    "T5ForConditionalGeneration": "is an encoder",
    "GenerationConfig": "is an encoder",
    "TextStreamer": "is an encoder",
    "SummarizationPipeline": "is an encoder",
    "AutoModelForPreTraining": "AutoModelForMaskedLM",
    "AutoModelForNextSentencePrediction": "no guess of the next sentence",
    "AutoProcessor": "images and sound",
    "AutoFeatureExtractor": "images and sound",
    "AutoModelForImageClassification": "images and sound",
    "WhisperProcessor": "images and sound",
    "BitsAndBytesConfig": "precision=",
    "PreTrainedModel": "DistilBertPreTrainedModel",
    "PreTrainedTokenizerFast": "DistilBertTokenizer",
    "PretrainedConfig": "DistilBertConfig",
    "AutoModl": "did you mean 'AutoModel'?",
    "AutoModelForSequenceClasification": "did you mean 'AutoModelForSequenceClass",
    "DistilBertForSequnceClassification": "did you mean 'DistilBertForSequenceClass",
    "pipline": "did you mean 'pipeline'?",
    "nonsense": "minidistil.__all__ lists the names",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_an_import_of_a_name_that_is_elsewhere_says_where(name):
    with pytest.raises(ImportError) as error:
        exec(f"from minidistil import {name}")
    text = str(error.value)
    assert text.startswith(f"cannot import {name!r} from minidistil: ")
    assert SENTENCES[name] in text


def test_what_is_said_to_be_in_transformers_is_there():
    for name in {*SENTENCES, *dir(transformers)}:
        if f"from transformers import {name}" in where_it_is(name, minidistil.__all__):
            assert hasattr(transformers, name), name


def test_the_names_of_other_models_are_no_misspellings():
    models = [name for name in dir(transformers) if name.endswith("Model")]
    assert len(models) > 300
    for name in models:
        if not name.startswith(("DistilBert", "Auto")):
            sentence = where_it_is(name, minidistil.__all__)
            assert "did you mean" not in sentence, name


def test_a_room_can_still_be_imported_by_its_name():
    program = """
from minidistil import hub, files, cli, tokenizer, weights
import minidistil
assert minidistil.hub is hub
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_all_names_can_be_imported_at_once():
    subprocess.run([sys.executable, "-c", "from minidistil import *"], check=True)


def test_a_name_that_is_not_here_imports_nothing_heavy():
    program = """
try:
    from minidistil import Trainer
except ImportError:
    pass
"""
    assert heavy_after(program) == set()


def test_inspection_finds_its_way():
    """What doctest, copy and mocks ask of any module."""
    assert inspect.unwrap(minidistil) is minidistil
    assert dict(inspect.getmembers(minidistil)).keys() >= {"load", "pipeline"}

"""Names that people import and that are not here: one sentence for each kind."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_TRAINING = (
    "it is in transformers, and works with the models of minidistil: "
    "from transformers import {name}"
)
_ENCODER = (
    "DistilBERT is an encoder: it reads text and generates none. "
    "AutoModelForMaskedLM fills in [MASK]; models that write are in transformers"
)
_OTHER_MODELS = "minidistil is DistilBERT alone; other models are in transformers"
_BERT = (
    "minidistil is DistilBERT alone: {ours}, and `minidistil weights convert` folds a "
    "BERT's encoder into one; BERT itself is in transformers"
)
_OTHER_FRAMEWORKS = "the models here are PyTorch's: {ours}"
_OTHER_SENSES = "minidistil reads text; models of images and sound are in transformers"
_FEWER_BITS = "Engine(model, precision=…) and pipeline(precision=…) run in fewer bits"
_LOGGING = "what there is to say is a warning of Python's: see the module warnings"
_PRETRAINING = (
    "DistilBERT was trained by guessing words: AutoModelForMaskedLM. It has no guess "
    "of the next sentence"
)

# Patterns of whole names, and what to say; the first that fits counts.
_KINDS = (
    (
        r"(Seq2Seq)?(Trainer|TrainingArguments)|Trainer\w+|\w+Callback|EvalPrediction|"
        r"\w*DataCollator\w*|default_data_collator|IntervalStrategy|SchedulerType|"
        r"get_scheduler|get_\w+_schedule(_\w+)?|Adafactor|set_seed|enable_full_\w+|"
        r"HfArgumentParser|EarlyStopping\w*",
        _TRAINING,
    ),
    ("AdamW", "it is torch's: from torch.optim import AdamW"),
    (
        r"Accelerator|notebook_launcher",
        "it is in accelerate: from accelerate import {name}",
    ),
    (
        r"get_peft_\w+|Peft\w+|AutoPeft\w+|Lora\w+|\w+AdapterModel|TaskType",
        "it is in peft, and works with the models of minidistil: from peft import "
        "{name}",
    ),
    (
        r"load_dataset|load_from_disk|Dataset(Dict)?|IterableDataset(Dict)?|"
        r"concatenate_datasets|ClassLabel|Features",
        "it is in datasets: from datasets import {name}",
    ),
    (r"load_metric", "metrics are in evaluate: import evaluate; evaluate.load(…)"),
    (r"SentenceTransformer", 'pipeline("sentence-embeddings") makes such vectors'),
    (
        r"(notebook_)?login|HfApi|HfFolder|create_repo|hf_hub_download|"
        r"snapshot_download|upload_\w+|Repository",
        "it is in huggingface_hub: from huggingface_hub import {name}",
    ),
    (
        r"BitsAndBytesConfig|\w*QuantizationConfig|\w+QuantConfig|QuantoConfig",
        _FEWER_BITS,
    ),
    (r"logging|logger", _LOGGING),
    (r"(TF|Flax|Jax)[A-Z]\w+|\w+ForTF|Keras\w+", _OTHER_FRAMEWORKS),
    (
        r"\w*(CausalLM|Seq2Seq\w*|ConditionalGeneration|LMHead\w*)|Generation\w+|"
        r"\w*TextGeneration\w*|Text\w*Streamer|(Summarization|Translation|"
        r"Conversational|Text2Text\w+)Pipeline|StoppingCriteria\w*|LogitsProcessor\w*",
        _ENCODER,
    ),
    (r"\w*For(PreTraining|NextSentencePrediction)", _PRETRAINING),
    (
        r"AutoProcessor|AutoFeatureExtractor|AutoImageProcessor|\w*(Image|Audio|Speech|"
        r"Video|Vision|Vision2Seq|CTC|ObjectDetection|Segmentation|Depth\w*|Visual\w*|"
        r"Document\w*)(\w*)|\w+(FeatureExtractor|ImageProcessor|Processor)",
        _OTHER_SENSES,
    ),
    (r"PreTrainedModel", "DistilBertPreTrainedModel is the base class of the models"),
    (r"PreTrainedTokenizer\w*", "DistilBertTokenizer is the tokenizer"),
    (r"PreTrainedConfig|PretrainedConfig", "DistilBertConfig is the configuration"),
    (r"NerPipeline", "TokenClassificationPipeline is its name"),
    (r"ModelOutput", "BaseModelOutput and its like are what the models return"),
    (r"Bert[A-Z]\w+", _BERT),
    (
        r"(?!DistilBert|Auto[A-Z])([A-Z]\w*)(Model|Config|Tokenizer|TokenizerFast|"
        r"PreTrainedModel|For[A-Z]\w+)",
        _OTHER_MODELS,
    ),
)


def where_it_is(name: str, known: Iterable[str]) -> str:
    """Say where a name is to be found, or which of ``known`` may be meant.

    Args:
        name: What was asked for.
        known: The names that there are.
    """
    known = sorted(known)
    for pattern, sentence in _KINDS:
        if re.fullmatch(pattern, name):
            return sentence.format(name=name, ours=_of_ours(name, known))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if near:
        return f"did you mean {near[0]!r}?"
    return "minidistil.__all__ lists the names that there are"


def _of_ours(name: str, known: list[str]) -> str:
    """The class that does the same for DistilBERT, or what to start with."""
    plain = re.sub("^(TF|Flax|Jax)", "", name)
    plain = re.sub("^(Bert)", "DistilBert", plain).replace("ForTF", "")
    return plain if plain in known else "DistilBertModel and its heads"

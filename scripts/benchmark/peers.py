"""The contestants, each set as well as its own documentation knows how.

Every one has the machine to itself while it runs: as many threads as there are cores,
and one request at a time, so that a text's answer comes as soon as it can.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from workloads import Workload, pad

SEED = 20191002
HEADS, DIM, LAYERS = 12, 768, 6

Run = Callable[[Workload], Any]
Scores = np.ndarray  # of the second label, one for each text


@dataclass(frozen=True)
class Contestant:
    """One way to classify texts.

    Attributes:
        family: What it is, as in "OpenVINO".
        variant: How it is used, as in "bfloat16".
        needs: The modules without which it cannot take part.
        load: Takes the folder and the number of threads; what it returns runs a whole
            workload, and only this is timed.
        read: Makes scores of what a run returned.
        prepare: Writes the files that `load` wants into the folder, if any.
    """

    family: str
    variant: str
    needs: tuple[str, ...]
    load: Callable[[Path, int], Run]
    read: Callable[[Workload, Any], Scores]
    prepare: Callable[[Path], None] | None = None

    @property
    def name(self) -> str:
        """Both, as in "OpenVINO, bfloat16"."""
        return f"{self.family}, {self.variant}"

    @property
    def missing(self) -> list[str]:
        """The modules that it needs and that are not installed."""
        return [module for module in self.needs if find_spec(module) is None]


def write_checkpoint(folder: Path) -> None:
    """Write a base-sized classifier with random weights, as it would lie on the hub."""
    import torch

    from minidistil import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        DistilBertTokenizer,
    )

    torch.manual_seed(SEED)
    config = DistilBertConfig(id2label={0: "NEGATIVE", 1: "POSITIVE"})
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    DistilBertTokenizer.from_pretrained("tiny").save_pretrained(folder)


# What a run returns ──────────────────────────────────────────────────────────────────


def from_logits(work: Workload, logits: list[Any]) -> Scores:
    """Read one (B, 2) for each batch."""
    scores = np.empty(len(work.texts))
    for batch, rows in zip(work.batches, logits, strict=True):
        first, second = np.stack([np.asarray(row) for row in rows]).T
        scores[batch.places] = 1 / (1 + np.exp(first - second))
    return scores


def from_answers(_: Workload, answers: list[dict[str, Any]]) -> Scores:
    """Read a pipeline's answers, which name the better label."""
    return np.array(
        [
            each["score"] if each["label"] == "POSITIVE" else 1 - each["score"]
            for each in answers
        ]
    )


# minidistil ──────────────────────────────────────────────────────────────────────────


def load_model(folder: Path, threads: int) -> Run:
    """Our model, on padded batches."""
    from minidistil import DistilBertForSequenceClassification

    return _on_batches(
        DistilBertForSequenceClassification.from_pretrained(folder), threads
    )


def load_engine(precision: str) -> Callable[[Path, int], Run]:
    """Our engine, on lists of ids."""

    def load(folder: Path, threads: int) -> Run:
        import torch

        from minidistil import DistilBertForSequenceClassification
        from minidistil.engine import Engine

        torch.set_num_threads(threads)
        model = DistilBertForSequenceClassification.from_pretrained(folder)
        engine = Engine(model, precision=precision)
        return lambda work: [engine(batch.sequences) for batch in work.batches]

    return load


def load_pipeline(precision: str) -> Callable[[Path, int], Run]:
    """Our pipeline, on texts as they arrive."""

    def load(folder: Path, threads: int) -> Run:
        import torch

        from minidistil import pipeline

        torch.set_num_threads(threads)
        classify = pipeline(model=folder, precision=precision, truncation="head")
        return lambda work: classify(work.texts)

    return load


def _on_batches(model: Any, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)

    def run(work: Workload) -> list[Any]:
        with torch.inference_mode():
            return [
                model(
                    input_ids=torch.from_numpy(batch.ids),
                    attention_mask=torch.from_numpy(batch.mask),
                ).logits.float()
                for batch in work.batches
            ]

    return run


# transformers ────────────────────────────────────────────────────────────────────────


def load_transformers(folder: Path, threads: int) -> Run:
    """The model of transformers, with the attention that it chooses itself."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return _on_batches(model, threads)


def load_autocast(folder: Path, threads: int) -> Run:
    """The same under autocast."""
    import torch

    plain = load_transformers(folder, threads)

    def run(work: Workload) -> list[Any]:
        # Around all batches: weights that were cast are kept until the context ends.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return plain(work)

    return run


def load_transformers_pipeline(batch_size: int) -> Callable[[Path, int], Run]:
    """The pipeline of transformers, on texts as they arrive."""

    def load(folder: Path, threads: int) -> Run:
        import torch
        from transformers import pipeline

        torch.set_num_threads(threads)
        classify = pipeline("text-classification", model=str(folder))
        return lambda work: classify(work.texts, batch_size=batch_size, truncation=True)

    return load


# ONNX Runtime ────────────────────────────────────────────────────────────────────────


def export(folder: Path) -> None:
    """Write the model of transformers as ONNX, batch and length left open."""
    import torch
    from transformers import AutoModelForSequenceClassification

    file = folder / "plain.onnx"
    if file.exists():
        return
    # The optimizer of ONNX Runtime knows attention by the shape that "eager" has; of
    # torch's fused one, as it is exported, it recognizes nothing.
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", return_dict=False
    ).eval()
    batch = pad([0, 1], [[101, 7592, 102], [101, 7592, 2088, 102]])
    inputs = {
        "input_ids": torch.from_numpy(batch.ids),
        "attention_mask": torch.from_numpy(batch.mask),
    }
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and that another exporter exists
        torch.onnx.export(
            model,
            tuple(inputs.values()),
            file,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in inputs},
            # The newer exporter asks for one more package.
            dynamo=False,
        )


def fuse(folder: Path) -> None:
    """Let ONNX Runtime's optimizer fuse attention, GELU and LayerNorm."""
    from onnxruntime.transformers import optimizer

    file = folder / "fused.onnx"
    if file.exists():
        return
    export(folder)
    fused = optimizer.optimize_model(
        str(folder / "plain.onnx"),
        "bert",
        num_heads=HEADS,
        hidden_size=DIM,
        opt_level=0,
    )
    counts = collections.Counter(node.op_type for node in fused.model.graph.node)
    wanted = {
        "EmbedLayerNormalization": 1,
        "Attention": LAYERS,
        "BiasGelu": LAYERS,
        "SkipLayerNormalization": 2 * LAYERS,
    }
    # A peer that was crippled without a word would make us look good.
    if found := {name: counts[name] for name in wanted if counts[name] != wanted[name]}:
        raise RuntimeError(
            f"ONNX Runtime's optimizer made {found}, expected {wanted}: this version "
            f"of it does not recognize what this version of torch exports"
        )
    fused.save_model_to_file(str(file))


def quantize(folder: Path) -> None:
    """Quantize the fused model dynamically: int8 weights, a scale for each column."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    file = folder / "int8.onnx"
    if file.exists():
        return
    fuse(folder)
    # Signed weights: unsigned ones took twice the time. Per channel costs nothing.
    quantize_dynamic(
        folder / "fused.onnx",
        file,
        weight_type=QuantType.QInt8,
        per_channel=True,
        # What a fused operator returns, its shape inference does not know.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def load_onnxruntime(name: str) -> Callable[[Path, int], Run]:
    """ONNX Runtime on one of the files above."""

    def load(folder: Path, threads: int) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Its threads may spin while it runs, which is fastest, and not after it, where
        # they took a core from the next contestant; that cost it no time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(
            folder / name, options, providers=["CPUExecutionProvider"]
        )
        return lambda work: [
            session.run(None, {"input_ids": batch.ids, "attention_mask": batch.mask})[0]
            for batch in work.batches
        ]

    return load


# OpenVINO ────────────────────────────────────────────────────────────────────────────


def convert(folder: Path) -> None:
    """Write the exported model in OpenVINO's own format, in float32."""
    import openvino

    export(folder)
    model = openvino.Core().read_model(folder / "plain.onnx")
    openvino.serialize(model, folder / "openvino.xml")


def load_openvino(precision: str) -> Callable[[Path, int], Run]:
    """OpenVINO, computing in a precision."""

    def load(folder: Path, threads: int) -> Run:
        import openvino

        compiled = openvino.Core().compile_model(
            folder / "openvino.xml",
            "CPU",
            {
                # All cores on one request. The other hint, a stream on each core and
                # several requests at once, was no faster on these batches.
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                # It would choose bfloat16 by itself where the processor has it.
                "INFERENCE_PRECISION_HINT": precision,
            },
        )
        request = compiled.create_infer_request()

        def run(work: Workload) -> list[Any]:
            # Arrays are shared, not copied; so the answer is, before the next comes.
            return [
                request.infer(
                    {"input_ids": batch.ids, "attention_mask": batch.mask},
                    share_inputs=True,
                    share_outputs=True,
                )[0].copy()
                for batch in work.batches
            ]

        return run

    return load


TRANSFORMERS = ("transformers",)
ONNXRUNTIME = ("transformers", "onnx", "onnxruntime")
OPENVINO = ("transformers", "onnx", "openvino")  # it reads what is exported

CONTESTANTS = [
    Contestant("minidistil model", "float32", (), load_model, from_logits),
    *(
        Contestant("minidistil engine", each, (), load_engine(each), from_logits)
        for each in ("float32", "bfloat16", "int8")
    ),
    *(
        Contestant("minidistil pipeline", each, (), load_pipeline(each), from_answers)
        for each in ("float32", "int8")
    ),
    Contestant(
        "transformers model", "float32", TRANSFORMERS, load_transformers, from_logits
    ),
    Contestant(
        "transformers model", "bfloat16", TRANSFORMERS, load_autocast, from_logits
    ),
    *(
        Contestant(
            "transformers pipeline",
            f"batch {each}",
            TRANSFORMERS,
            load_transformers_pipeline(each),
            from_answers,
        )
        for each in (1, 32)
    ),
    Contestant(
        "ONNX Runtime",
        "float32",
        ONNXRUNTIME,
        load_onnxruntime("fused.onnx"),
        from_logits,
        fuse,
    ),
    Contestant(
        "ONNX Runtime",
        "int8",
        ONNXRUNTIME,
        load_onnxruntime("int8.onnx"),
        from_logits,
        quantize,
    ),
    Contestant(
        "OpenVINO", "float32", OPENVINO, load_openvino("f32"), from_logits, convert
    ),
    Contestant(
        "OpenVINO", "bfloat16", OPENVINO, load_openvino("bf16"), from_logits, convert
    ),
]

"""ONNX Runtime and OpenVINO, each set as well as its own documentation knows how.

Both have one request at a time, so that a text's answer comes as soon as it can.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contestant import Contestant, Place, Run, from_batches
from workloads import Workload, pad

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

    from minidistil import DistilBertConfig

    file = folder / "fused.onnx"
    if file.exists():
        return
    export(folder)
    config = DistilBertConfig.from_pretrained(folder)
    fused = optimizer.optimize_model(
        str(folder / "plain.onnx"),
        "bert",
        num_heads=config.n_heads,
        hidden_size=config.dim,
        opt_level=0,
    )
    counts = collections.Counter(node.op_type for node in fused.model.graph.node)
    wanted = {
        "EmbedLayerNormalization": 1,
        "Attention": config.n_layers,
        "BiasGelu": config.n_layers,
        "SkipLayerNormalization": 2 * config.n_layers,
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


def load_onnxruntime(name: str) -> Callable[[Path, Place], Run]:
    """ONNX Runtime on one of the files above."""

    def load(folder: Path, place: Place) -> Run:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = place.threads
        # Its threads may spin while it runs, which is fastest, and not after it, where
        # they took a core from the next contestant; that cost it no time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(
            folder / name, options, providers=["CPUExecutionProvider"]
        )
        return lambda work, size: [
            session.run(None, {"input_ids": batch.ids, "attention_mask": batch.mask})[0]
            for batch in work.batches(size)
        ]

    return load


# OpenVINO ────────────────────────────────────────────────────────────────────────────


def convert(folder: Path) -> None:
    """Write the exported model in OpenVINO's own format, in float32."""
    import openvino

    export(folder)
    model = openvino.Core().read_model(folder / "plain.onnx")
    openvino.serialize(model, folder / "openvino.xml")


def load_openvino(precision: str) -> Callable[[Path, Place], Run]:
    """OpenVINO, computing in a precision."""

    def load(folder: Path, place: Place) -> Run:
        import openvino

        compiled = openvino.Core().compile_model(
            folder / "openvino.xml",
            "CPU",
            {
                # All cores on one request. The other hint, a stream on each core and
                # several requests at once, was no faster on these batches.
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": place.threads,
                # It would choose bfloat16 by itself where the processor has it.
                "INFERENCE_PRECISION_HINT": precision,
            },
        )
        request = compiled.create_infer_request()

        def run(work: Workload, size: int) -> list[Any]:
            # Arrays are shared, not copied; so the answer is, before the next comes.
            return [
                request.infer(
                    {"input_ids": batch.ids, "attention_mask": batch.mask},
                    share_inputs=True,
                    share_outputs=True,
                )[0].copy()
                for batch in work.batches(size)
            ]

        return run

    return load


def onnxruntime(precision: str, sizes: tuple[int, ...]) -> Contestant:
    """ONNX Runtime in float32 or int8."""
    file, prepare = {
        "float32": ("fused.onnx", fuse),
        "int8": ("int8.onnx", quantize),
    }[precision]
    needs = ("transformers", "onnx", "onnxruntime")
    return Contestant(
        "ONNX Runtime",
        precision,
        load_onnxruntime(file),
        from_batches,
        sizes,
        "tokens",
        needs,
        prepare,
    )


def openvino(precision: str, sizes: tuple[int, ...]) -> Contestant:
    """OpenVINO in float32 or bfloat16."""
    needs = ("transformers", "onnx", "openvino")  # it reads what is exported
    return Contestant(
        "OpenVINO",
        precision,
        load_openvino({"float32": "f32", "bfloat16": "bf16"}[precision]),
        from_batches,
        sizes,
        "tokens",
        needs,
        convert,
    )

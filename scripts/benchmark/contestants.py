"""Who takes part, on a CPU and on a GPU."""

from __future__ import annotations

import huggingface
import ours
import runtimes
from contestant import Contestant, Place

# Positions in a batch, padding counted. On a CPU few enough for the cache; which is
# best depends on the machine and on the texts.
ON_CPU = (256, 512, 1024, 2048, 4096)
ON_GPU = (65_536,)

# Texts in a batch of a pipeline, as they come.
TEXTS_ON_CPU = (1, 8, 32)
TEXTS_ON_GPU = (16, 64, 256)


def contestants(place: Place) -> list[Contestant]:
    """Everyone who can run there, ours first."""
    return on_gpu() if place.is_gpu else on_cpu()


def on_cpu() -> list[Contestant]:
    """Everyone who runs on a CPU."""
    return [
        *map(ours.engine, ("float32", "bfloat16", "int8")),
        *map(ours.pipeline, ("float32", "int8")),
        huggingface.model("float32", ON_CPU),
        huggingface.model("bfloat16", ON_CPU),
        huggingface.pipeline("float32", TEXTS_ON_CPU),
        runtimes.onnxruntime("float32", ON_CPU),
        runtimes.onnxruntime("int8", ON_CPU),
        runtimes.openvino("float32", ON_CPU),
        runtimes.openvino("bfloat16", ON_CPU),
    ]


def on_gpu() -> list[Contestant]:
    """Everyone who runs on a GPU."""
    precisions = ("float32", "bfloat16", "float16")
    return [
        *map(ours.engine, precisions),
        *map(ours.pipeline, precisions),
        *(huggingface.model(each, ON_GPU) for each in precisions),
        huggingface.model("bfloat16", ON_GPU, dynamic=True),
        huggingface.pipeline("float32", TEXTS_ON_GPU),
        huggingface.pipeline("float16", TEXTS_ON_GPU),
    ]

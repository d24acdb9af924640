"""The networks that are measured: built by layercc's own builder, with random seeded weights.

Architectures and parameter counts are the published ones; initial values keep activations near 1,
so that errors can be compared. Images are `[N, height, width, channels]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.networks import (
    audio,
    classic,
    efficient,
    mobile,
    residual,
    segmentation,
    sequence,
    transformer,
    upscaling,
    video,
)
from layercc.layers import Model


@dataclass(frozen=True)
class Network:
    """A network: the function that builds it, example inputs (name → shape, dtype), and the number
    of parameters that its publication or reference implementation has, statistics not counted."""

    name: str
    build: Callable[[], Model]
    inputs: dict[str, tuple[tuple[int, ...], str]]
    parameters: int

    def example_inputs(self, seed: int = 0) -> dict[str, np.ndarray]:
        """Random arrays for the inputs: normal floats; integers below 1000; masks of ones."""
        random = np.random.default_rng(seed)
        arrays = {}
        for name, (shape, dtype) in self.inputs.items():
            if name.endswith("mask"):
                arrays[name] = np.ones(shape, dtype)
            elif name.endswith("type_ids"):
                arrays[name] = np.zeros(shape, dtype)
            elif np.dtype(dtype).kind == "i":
                arrays[name] = random.integers(0, 1000, shape).astype(dtype)
            else:
                arrays[name] = random.standard_normal(shape).astype(dtype)
        return arrays


def trainable(model: Model) -> int:
    """Number of parameters, without the moving statistics of batch normalisation."""
    return sum(
        math.prod(weight.keras_shape)
        for weight in model.weights
        if not weight.name.startswith("moving_")
    )


def _image(size: int, channels: int = 3) -> dict[str, tuple[tuple[int, ...], str]]:
    return {"x": ((1, size, size, channels), "float32")}


_TOKENS: dict[str, tuple[tuple[int, ...], str]] = dict.fromkeys(
    ("input_ids", "token_type_ids", "attention_mask"), ((1, 128), "int64")
)

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("lenet5", classic.lenet5, _image(28, 1), 61_706),
        Network("mlp", classic.mlp, {"x": ((1, 784), "float32")}, 535_818),
        Network("alexnet", classic.alexnet, _image(227), 60_965_224),
        Network("vgg16", classic.vgg16, _image(224), 138_357_544),
        Network("resnet18", residual.resnet18, _image(224), 11_689_512),
        Network("resnet50", residual.resnet50, _image(224), 25_557_032),
        Network("mobilenet_v2", mobile.mobilenet_v2, _image(224), 3_504_872),
        Network("densenet121", residual.densenet121, _image(224), 7_978_856),
        Network("squeezenet", mobile.squeezenet, _image(224), 1_235_496),
        Network("resnext50", residual.resnext50, _image(224), 25_028_904),
        Network("convnext_tiny", residual.convnext_tiny, _image(224), 28_589_128),
        Network("mobilenet_v3", efficient.mobilenet_v3, _image(224), 5_483_032),
        Network("efficientnet_b0", efficient.efficientnet_b0, _image(224), 5_288_548),
        Network("c3d", video.c3d, {"x": ((1, 16, 112, 112, 3), "float32")}, 79_991_015),
        Network("r3d_18", video.r3d_18, {"x": ((1, 8, 112, 112, 3), "float32")}, 33_371_472),
        Network("dcgan_generator", upscaling.dcgan_generator, _image(1, 100), 3_576_704),
        Network("fsrcnn", upscaling.fsrcnn, _image(128, 1), 12_809),
        Network("espcn", upscaling.espcn, _image(224, 1), 22_729),
        Network("unet", segmentation.unet, _image(256), 31_031_810),
        Network("lstm", sequence.lstm, {"x": ((1, 32, 256), "float32")}, 13_649_930),
        Network("gru", sequence.gru, {"x": ((1, 32, 256), "float32")}, 10_246_154),
        Network("wavenet", audio.wavenet, {"x": ((1, 4096, 256), "float32")}, 671_232),
        Network("dnsmos", audio.dnsmos, {"x": ((1, 900, 120, 1), "float32")}, 184_227),
        Network("bert_base", transformer.bert_base, _TOKENS, 109_482_240),
        Network("gpt2", transformer.gpt2, {"input_ids": ((1, 64), "int64")}, 124_439_808),
        Network(
            "whisper_encoder",
            audio.whisper_encoder,
            {"x": ((1, 3000, 80), "float32")},
            7_632_384,
        ),
        Network("vit_b16", transformer.vit_b16, _image(224), 86_567_656),
    )
}

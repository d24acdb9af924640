"""The models of `keras.applications` with random weights, beside Keras.

`python -m tests.frontends.keras.applications [NAME...]` runs the named ones, or all, and prints how
far they are from Keras; tests run a few.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

import numpy as np

import layercc as lc
from tests.frontends.keras.comparing import keras, kernels

#: What tests run: small ones, of families that differ in their layers. All take minutes.
TESTED = ("MobileNetV3Small", "VGG16", "Xception")
#: Batch sizes, of which the second compiles no kernel.
_BATCHES = (2, 5)
#: Height and width of the input, where 64 is too little.
_SIZES = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
#: How far results may be from Keras', of the largest of them.
TOLERANCE = 1e-4


class Outcome(NamedTuple):
    """The largest error of two batch sizes, of the largest result; seconds of each step."""

    error: float
    spread: float  # of results, of the largest: what an error of 1 would be
    build: float
    read: float
    run: float
    nodes: int
    new_kernels: int  # for the second batch size


#: Models that Keras itself refuses on some back ends.
NOT_ON = {"NASNetLarge": ("torch",), "NASNetMobile": ("torch",)}


def names() -> list[str]:
    """All models of `keras.applications` that the back end has."""
    found = vars(keras.applications).items()
    every = sorted(name for name, value in found if callable(value) and name[0].isupper())
    return [name for name in every if keras.backend.backend() not in NOT_ON.get(name, ())]


def built(name: str) -> Any:
    """A model with weights for which activations neither vanish nor grow: kernels as He et al.
    2015, statistics of normalizations around 0 and 1."""
    size = _SIZES.get(name, 64)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        if not weight.shape or "float" not in weight.dtype or "normalization" in weight.path:
            continue
        kind = weight.path.rpartition("/")[2]
        if kind.endswith("kernel"):
            depthwise = "depthwise" in weight.path
            fan = int(np.prod(weight.shape[:2] if depthwise else weight.shape[:-1]))
            drawn = random.standard_normal(weight.shape, np.float32) * np.sqrt(2 / fan)
        elif kind in ("gamma", "moving_variance"):
            drawn = random.uniform(0.7, 1.3, weight.shape)
        else:
            drawn = random.uniform(-0.1, 0.1, weight.shape)
        weight.assign(drawn.astype(np.float32))
    return model


def compared(name: str) -> Outcome:
    """Runs a model here and in Keras, at two batch sizes."""
    started = time.perf_counter()
    model = built(name)
    made = time.perf_counter()
    graph = lc.from_keras(model)
    read = time.perf_counter()
    error = spread = 0.0
    new = 0
    example = np.zeros((_BATCHES[0], *model.input_shape[1:]), np.float32)
    fn = lc.compile(graph, example)
    elapsed = 0.0
    for batch in _BATCHES:
        x = np.random.default_rng(batch).standard_normal((batch, *model.input_shape[1:]))
        before, then = kernels(), time.perf_counter()
        found = fn(x.astype(np.float32))
        elapsed += time.perf_counter() - then
        new = len(kernels() - before)
        expected = keras.ops.convert_to_numpy(model(x.astype(np.float32), training=False))
        largest = float(np.abs(expected).max())
        error = max(error, float(np.abs(found - expected).max()) / largest)
        spread = float(expected.std()) / largest
    return Outcome(error, spread, made - started, read - made, elapsed, len(graph.nodes), new)


def main() -> int:
    """Prints a line for each model; returns 1 if one departs."""
    failed = []
    print("model                    error   spread  build s  read s   run s nodes")
    for name in sys.argv[1:] or names():
        one = compared(name)
        print(
            f"{name:20} {one.error:9.1e} {one.spread:8.2f} {one.build:8.1f} {one.read:7.1f} "
            f"{one.run:7.1f} {one.nodes}",
            flush=True,
        )
        if not one.error < TOLERANCE or one.spread < 0.01 or one.new_kernels:
            failed.append(name)
    print(f"departing: {', '.join(failed) or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())

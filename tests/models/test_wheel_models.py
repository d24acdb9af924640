"""Trained networks that come in wheels: file types, text in images, speech.

The wheels are no requirement of the tests: `pip install --no-deps magika rapidocr-onnxruntime
silero-vad` brings them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import layercc as lc
from tests.models.comparing import assert_close, run_onnxruntime

Shape = tuple[int, ...]

OCR = "rapidocr_onnxruntime/models/"
VAD = "silero_vad/data/silero_vad"
#: Path from the folder that packages are in → shapes of the first input to run at.
MODELS: dict[str, list[Shape]] = {
    "magika/models/standard_v3_3/model.onnx": [(1, 2048), (3, 2048)],
    OCR + "ch_PP-OCRv4_det_infer.onnx": [(1, 3, 96, 160), (2, 3, 64, 32)],
    OCR + "ch_PP-OCRv4_rec_infer.onnx": [(1, 3, 48, 192), (2, 3, 48, 100)],
    OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx": [(1, 3, 48, 192), (2, 3, 48, 192)],
    VAD + ".onnx": [(1, 576), (2, 576)],
    VAD + "_16k_op15.onnx": [(1, 576), (2, 576)],
    VAD + "_16k_sequence.onnx": [(1, 576), (5, 576)],
    VAD + "_half.onnx": [(1, 576), (2, 576)],
    VAD + "_op18_ifless.onnx": [(1, 576), (2, 576)],
    VAD + "_openvino_16k.onnx": [(1, 576)],
}


LETTERS = {
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "X": "10001 10001 01010 00100 01010 10001 10001",
}


def path_of(name: str) -> Path:
    package, _, rest = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    path = Path(found.submodule_search_locations[0]) / rest
    if not path.exists():
        pytest.skip(f"this version of {package} has no {rest}")
    return path


def written(word: str, shape: Shape) -> np.ndarray:
    """Pages [N, C, height, width] with a word on them, black (-1) on white (1).

    On noise the detector finds nothing: its outputs are all below 1e-4, where onnxruntime's
    Sigmoid has no correct digits.
    """
    height, width = shape[-2:]
    lines = zip(*(LETTERS[letter].split() for letter in word), strict=True)
    ink = np.array([[float(dot) for dot in "0".join(line)] for line in lines])
    scale = min(height // (ink.shape[0] + 2), width // (ink.shape[1] + 2))
    ink = np.kron(ink, np.ones((scale, scale)))
    top, left = (height - ink.shape[0]) // 2, (width - ink.shape[1]) // 2
    page = np.ones((height, width), np.float32)
    page[top : top + ink.shape[0], left : left + ink.shape[1]] -= 2 * ink
    return np.broadcast_to(page, shape).copy()


def inputs_of(graph: lc.Graph, first: Shape) -> dict[str, np.ndarray]:
    """The first input at a shape, pages or random numbers; states as large as its batch."""
    rng = np.random.default_rng(1)
    arrays: dict[str, np.ndarray] = {}
    for value in graph.inputs:
        dtype: np.dtype = value.dtype.value
        if value.name == "sr":
            arrays["sr"] = np.array(16000, dtype)
        elif len(first) == 4:
            arrays[value.name] = written("TEXT", first)
        elif dtype.kind == "i":
            arrays[value.name] = rng.integers(0, 256, first).astype(dtype)
        else:
            shape = first
            if value.name in ("state", "h", "c"):
                shape = tuple(d if isinstance(d, int) else first[0] for d in value.shape)
            arrays[value.name] = rng.standard_normal(shape).astype(dtype)
    return arrays


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str) -> None:
    path = path_of(name)
    fn = lc.compile(path)
    for shape in MODELS[name]:
        inputs = inputs_of(fn.graph, shape)
        wanted = run_onnxruntime(path, inputs)
        found = fn.run(inputs)
        assert_close([found[key] for key in wanted], list(wanted.values()))

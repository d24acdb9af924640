"""The bundled model and the demo."""

from __future__ import annotations

import io
import json

import numpy as np
from rich.console import Console

from ir.interpreter import interpret
from layercc.tools import demo


def test_the_bundled_model_reads_the_samples() -> None:
    images, labels = demo.load_samples()
    assert images.shape == (20, 8, 8) and images.max() <= demo.PIXEL_MAX
    assert np.bincount(labels).tolist() == [2] * 10
    found = interpret(demo.load_model(), {"pixels": images[:, None].astype(np.float32)})
    assert (found["probabilities"].argmax(1) == labels).mean() >= 0.95


def test_pictures_are_half_blocks() -> None:
    image = np.zeros((8, 8), np.uint8)
    image[0, 0], image[1, 1], image[2:4, 2] = 16, 16, 9
    lines = demo.picture(image, shades=False).plain.split("\n")
    assert [line.rstrip() for line in lines] == ["▀▄", "  █", "", ""]
    assert demo.picture(image, shades=True).plain.startswith("▀▀▀▀▀▀▀▀\n")


def test_the_demo_prints_pictures_and_figures() -> None:
    output = io.StringIO()
    demo.run(Console(file=output, width=100))
    text = output.getvalue()
    assert "of 20 held-out images read correctly" in text
    assert "One image takes" in text and "layercc" in text


def test_the_demo_as_json() -> None:
    output = io.StringIO()
    demo.run(Console(file=output, width=100), as_json=True)
    data = json.loads(output.getvalue())
    assert data["accuracy"] >= 0.95
    assert len(data["predictions"]) == len(data["labels"]) == 20
    assert data["benchmark"]["points"][0]["timings"][0]["median"]["value"] > 0

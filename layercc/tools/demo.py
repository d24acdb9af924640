"""The bundled model at work: it reads handwritten digits that it was not trained on.

Model and samples are made by `examples/train_digits.py`.
"""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

import numpy as np
from rich.columns import Columns
from rich.console import Console, Group
from rich.text import Text

from ir.units import seconds as readable
from layercc.tools.bench.table import table
from layercc.tools.benchmark import Benchmark, benchmark, installed_peers

PIXEL_MAX = 16
#: Seconds of measuring for each runtime.
SECONDS = 0.5


def load_samples() -> tuple[np.ndarray, np.ndarray]:
    """Images `[20, 8, 8]` with values 0 to 16, and their labels."""
    with (_models() / "digits_samples.npz").open("rb") as file:
        samples = np.load(file, allow_pickle=False)
        return samples["images"], samples["labels"]


def load_model() -> Any:
    """The graph of the bundled model: pixels `[N, 1, 8, 8]` to probabilities `[N, 10]`."""
    from layercc.frontends.onnx import from_onnx

    with importlib.resources.as_file(_models() / "digits.onnx") as path:
        return from_onnx(path)


def run(console: Console, as_json: bool = False) -> None:
    """Compiles the bundled model, lets it read the samples, and measures a call.

    Prints images with predictions, accuracy and times (those of onnxruntime too, where it is
    installed); with `as_json` the same as one JSON object.
    """
    from layercc.compiler import compile

    images, labels = load_samples()
    fn = compile(load_model())
    pixels = images[:, None].astype(np.float32)
    predictions = np.asarray(fn(pixels)).argmax(axis=1)
    peers = [name for name in installed_peers() if name == "onnxruntime"]
    timing = benchmark(fn, pixels[:1], against=peers, seconds=SECONDS)
    if as_json:
        console.print_json(json.dumps(_as_data(predictions, labels, timing)))
        return
    console.print(Columns(_pictures(console, images, predictions, labels), padding=(1, 2)))
    right = int((predictions == labels).sum())
    console.print(f"\n{right} of {len(labels)} held-out images read correctly\n")
    console.print(_sentence(timing), soft_wrap=True)
    console.print(table(timing, console.width), highlight=False, soft_wrap=True)


def _models() -> Any:
    return importlib.resources.files("layercc") / "models"


def _as_data(predictions: np.ndarray, labels: np.ndarray, timing: Benchmark) -> dict[str, Any]:
    return {
        "predictions": predictions.tolist(),
        "labels": labels.tolist(),
        "accuracy": float((predictions == labels).mean()),
        "benchmark": timing.to_dict(),
    }


def _sentence(timing: Benchmark) -> str:
    own, *others = timing.timings
    text = f"One image takes {readable(own.median.value)}"
    for other in others:
        text += f", with {other.runtime} {readable(other.median.value)}"
        text += f" (outputs differ by {other.difference:.0e} at most)"
    return text + "."


def _pictures(
    console: Console, images: np.ndarray, predictions: np.ndarray, labels: np.ndarray
) -> list[Group]:
    """Each image over what the model takes it for; a wrong reading shows the label as well."""
    shades = console.color_system in ("256", "truecolor", "windows")
    pictures = []
    for image, found, label in zip(images, predictions, labels, strict=True):
        right = found == label
        caption = f"{found}" if right else f"{found}, is {label}"
        style = "bold green" if right else "bold red"
        pictures.append(Group(picture(image, shades), Text(caption.center(8), style)))
    return pictures


def picture(image: np.ndarray, shades: bool) -> Text:
    """An image in half blocks, two rows of pixels a line: in shades of grey, or black and white."""
    lines = []
    for upper, lower in zip(image[::2], image[1::2], strict=True):
        line = Text()
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            if shades:
                line.append("▀", f"{_grey(above)} on {_grey(below)}")
            else:
                dark = (2 * above > PIXEL_MAX) + 2 * (2 * below > PIXEL_MAX)
                line.append(" ▀▄█"[dark])
        lines.append(line)
    return Text("\n").join(lines)


def _grey(value: int) -> str:
    level = 255 * min(value, PIXEL_MAX) // PIXEL_MAX
    return f"rgb({level},{level},{level})"

"""Winograd's convolutions beside the direct sum and other runtimes: time, and what is lost.

    python -m benchmarks.winograd layers --threads 1      # 3 x 3 layers of known networks
    python -m benchmarks.winograd networks vgg16 unet     # whole networks
    python -m benchmarks.winograd errors resnet50         # against float64, beside other runtimes
    python -m benchmarks.winograd points                  # sets of points of F(4), F(6)

Times are taken in turns. GFLOP/s count the operations of the direct sum. Errors are norms of the
difference to float64 over norms of the result, times 1e-7, the mean over a few random inputs; what
`precision="highest"` allows is PyTorch's own, or one and a half times onnxruntime's, if that is
more.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.export import export
from benchmarks.networks import NETWORKS
from benchmarks.reference import reference_outputs
from ir.graph import Graph
from layercc.cpu.cook_toom import cook_toom
from layercc.cpu.target import CpuTarget
from layercc.layers import Conv2D, Input, Model
from layercc.options import Options, Precision
from layercc.session.model import CompiledModel
from layercc.timing import in_turns
from layercc.tools.peers import PEERS, installed_peers

Run = Callable[[], list[np.ndarray]]

ALGORITHMS = ("winograd_2x2", "winograd_4x4", "winograd_6x6")
#: Size of the map, channels in and out.
LAYERS = {
    "ResNet conv2": (56, 64, 64),
    "ResNet conv3": (28, 128, 128),
    "ResNet conv4": (14, 256, 256),
    "ResNet conv5": (7, 512, 512),
    "VGG conv1": (224, 64, 64),
    "VGG conv2": (112, 128, 128),
    "VGG conv3": (56, 256, 256),
    "VGG conv4": (28, 512, 512),
    "VGG conv5": (14, 512, 512),
    "U-Net 1": (256, 64, 64),
    "U-Net 3": (64, 256, 256),
    "U-Net 5": (16, 1024, 1024),
    "U-Net up 1": (256, 128, 64),
    "DenseNet 2": (28, 128, 32),
    "SqueezeNet 2": (54, 16, 64),
}
CONVOLUTIONAL = (
    "resnet18", "resnet50", "resnext50", "vgg16", "unet", "squeezenet", "densenet121", "dnsmos",
    "espcn", "r3d_18", "c3d",
)  # fmt: skip
SEEDS = 3
#: Sets of points besides 0 and infinity: each stands for itself and its negative.
POINTS = (
    "1", "2/3 3/2", "1 2", "1/2 1", "5/8 8/5", "3/5 5/3", "1/2 2", "3/5 3/2", "3/4 4/3",
    "1/2 1 2", "1/2 1 7/4", "5/9 1 9/5", "2/5 1 2", "2/3 1 3/2", "3/7 1 7/3", "1/3 1 3",
)  # fmt: skip


def compiled(
    graph: Graph,
    threads: int,
    precision: Precision = "highest",
    choices: Mapping[str, str] | None = None,
) -> CompiledModel:
    """A graph for this machine, with a table of algorithms."""
    return CompiledModel(graph, Options(CpuTarget(), precision, threads, choices or {}))


def chosen(fn: CompiledModel, inputs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Algorithms by class of shapes."""
    shapes = {name: array.shape for name, array in inputs.items()}
    calls = fn.plan(shapes, inputs).program.calls
    return {call.shape_class: call.algorithm for call in calls if call.algorithm}


def peers(
    graph: Graph,
    inputs: Mapping[str, np.ndarray],
    threads: int,
    folder: str,
    names: Sequence[str] | None = None,
) -> dict[str, Run]:
    """Other runtimes on a graph, all that are installed by default; their outputs in its layout."""
    exported = export(graph, Path(folder) / "network.onnx")
    given = exported.inputs(inputs)
    made: dict[str, Run] = {}
    for name in installed_peers() if names is None else names:
        run = PEERS[name].runner(str(exported.path), given, threads)
        made[name] = lambda run=run: exported.outputs(run())  # type: ignore[misc]
    return made


def layers(threads: int, seconds: float) -> Iterator[list[str]]:
    """The table: a line a layer: GFLOP/s of each algorithm and runtime, and which is chosen."""
    names = ["direct", *ALGORITHMS, *installed_peers()]
    yield ["layer", "size", *names, "chosen"]
    for name, (size, channels, filters) in LAYERS.items():
        x = Input((size, size, channels))
        graph = Model(x, Conv2D(filters, 3, padding="same", activation="relu")(x))
        random = np.random.default_rng(0)
        shape = (1, size, size, channels)
        inputs = {graph.input_names[0]: random.standard_normal(shape).astype(np.float32)}
        ((kind, pick),) = chosen(compiled(graph, threads, "high"), inputs).items()
        with tempfile.TemporaryDirectory() as folder:
            runners: dict[str, Callable[[], object]] = {}
            for each in ("direct", *ALGORITHMS):
                fn = compiled(graph, threads, "high", {kind: each})
                runners[each] = partial(fn.run, inputs)
            runners |= peers(graph, inputs, threads, folder)
            times = in_turns(runners, seconds)
        flops = 2 * 9 * size**2 * channels * filters
        figures = [f"{flops / times[each].median / 1e9:.0f}" for each in names]
        shown = f"{channels}-{filters} at {size}"
        yield [name, shown, *figures, pick]


def networks(names: Sequence[str], threads: int, seconds: float) -> Iterator[list[str]]:
    """The table: a line a network: milliseconds, and how many times as long others take."""
    others = ["highest", *installed_peers()]
    yield ["network", "high ms", *(f"{each} x" for each in others)]
    for name in names:
        graph, inputs = NETWORKS[name].build(), NETWORKS[name].example_inputs()
        runners: dict[str, Callable[[], object]] = {
            "high": partial(compiled(graph, threads, "high").run, inputs),
            "highest": partial(compiled(graph, threads).run, inputs),
        }
        with tempfile.TemporaryDirectory() as folder:
            times = in_turns(runners | peers(graph, inputs, threads, folder), seconds)
        base = times["high"]
        ratios = [f"{times[each].over(base):.2f}" for each in others]
        yield [name, f"{1e3 * base.median:.2f}", *ratios]


def errors(names: Sequence[str], threads: int) -> Iterator[list[str]]:
    """The table: a line a network: errors of other runtimes, and of each precision."""
    others = [name for name in installed_peers() if name != "inductor"]  # its errors are torch's
    own = ["highest", "high"]
    yield ["network", *others, "allowed", *own]
    for name in names:
        graph = NETWORKS[name].build()
        found: dict[str, list[float]] = {each: [] for each in (*others, *own)}
        for seed in range(SEEDS):
            inputs = NETWORKS[name].example_inputs(seed)
            wanted = reference_outputs(graph, inputs)
            models = {
                "highest": compiled(graph, threads),
                "high": compiled(graph, threads, "high"),
            }
            with tempfile.TemporaryDirectory() as folder:
                for each, run in peers(graph, inputs, threads, folder, others).items():
                    found[each].append(error(run(), wanted))
            for each, fn in models.items():
                found[each].append(error(list(fn.run(inputs).values()), wanted))
        mean = {each: float(np.mean(values)) for each, values in found.items() if values}
        allowed = max(mean.get("torch", 0.0), 1.5 * mean.get("onnxruntime", 0.0))
        shown = [*(mean[each] for each in others), allowed, *(mean[each] for each in own)]
        yield [name, *(f"{1e7 * value:.2f}" for value in shown)]


def error(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The norm of the difference over that of the result, the largest of the outputs."""
    pairs = zip(found, wanted, strict=True)
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)


def points() -> Iterator[list[str]]:
    """The table: a line a set: the error of a convolution of 128 channels, put down every 32."""
    yield ["points", "F", "error"]
    for text in POINTS:
        pairs = [sign * Fraction(item) for item in text.split() for sign in (1, -1)]
        yield [text, str(len(pairs)), f"{1e7 * tile_error([Fraction(0), *pairs]):.2f}"]


def tile_error(
    given: Sequence[Fraction], channels: int = 128, stretch: int = 32, tiles: int = 24
) -> float:
    """The error of tiles of positive inputs, with multiply-adds that round once."""
    made = cook_toom(given)
    bt, g, at = (np.array(m, np.float64) for m in (made.inputs, made.filters, made.outputs))
    side, count = len(bt), len(at)
    random = np.random.default_rng(0)
    x = np.abs(random.standard_normal((tiles, side, side, channels))).astype(np.float32)
    w = random.standard_normal((3, 3, channels, 32)).astype(np.float32)
    u = np.einsum("xa,yb,abkn->xykn", g, g, w).astype(np.float32)
    v = _along(bt, _along(bt, x, 1), 2)
    total = np.zeros((tiles, side, side, w.shape[-1]), np.float32)
    for first in range(0, channels, stretch):
        part = np.zeros_like(total)
        for k in range(first, min(first + stretch, channels)):
            part = (part + v[..., k, None].astype(np.float64) * u[..., k, :]).astype(np.float32)
        total = total + part
    y = _along(at, _along(at, total, 1), 2)
    wanted = sum(
        x[:, i : i + count, j : j + count].astype(np.float64) @ w[i, j].astype(np.float64)
        for i in range(3)
        for j in range(3)
    )
    return float(np.linalg.norm(y - wanted) / np.linalg.norm(wanted))


def _along(matrix: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """A product with a matrix along an axis, in float32."""
    x = np.moveaxis(x, axis, 0)
    made = []
    for row in matrix:
        total = np.zeros(x.shape[1:], np.float32)
        for factor, part in zip(row, x, strict=True):
            total = (total + factor * part.astype(np.float64)).astype(np.float32)
        made.append(total)
    return np.moveaxis(np.array(made), 0, axis)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.winograd",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("layers", "networks", "errors", "points"))
    parser.add_argument("networks", nargs="*", help=f"default: {' '.join(CONVOLUTIONAL)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each runner")
    given = parser.parse_args()
    names = given.networks or CONVOLUTIONAL
    if given.what == "layers":
        lines = layers(given.threads, given.seconds)
    elif given.what == "networks":
        lines = networks(names, given.threads, given.seconds)
    elif given.what == "errors":
        lines = errors(names, given.threads)
    else:
        lines = points()
    for name, *figures in lines:
        print(f"{name:14}", *(f"{figure:>13}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()

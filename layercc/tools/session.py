"""What the commands that compile have in common: load, compile with progress, make inputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import click
import numpy as np

from layercc.options import Precision
from layercc.tools.bench.batches import at_batch, batch_axes, batch_symbol, with_batch
from layercc.tools.options import dims, load_model, named


@dataclass
class Session:
    """A compiled model, arrays to run it on, and the seconds that loading and compiling took."""

    model: Any
    inputs: dict[str, np.ndarray]
    load_seconds: float
    compile_seconds: float

    def profile(self, seconds: float = 2.0) -> Any:
        """The profile of about so many seconds of runs on the inputs. Raises as a call does."""
        names = self.model.graph.input_names
        arrays = [self.inputs[name] for name in takewhile(self.inputs.__contains__, names)]
        others = {name: self.inputs[name] for name in names[len(arrays) :] if name in self.inputs}
        return self.model.profile(*arrays, seconds=seconds, **others)


def compile_file(
    path: Path,
    inputs: Sequence[str],
    seed: int,
    precision: str,
    threads: int | None,
    show_progress: bool,
    batch: int | None = None,
) -> Session:
    """Loads and compiles a model file and plans it for the inputs asked for on the command line.

    With `batch`, inputs have so many samples, and a fixed batch dim becomes a symbol
    (`layercc.tools.bench.batches`).

    Raises LayerccError as compiling does, UsageError for options that do not fit.
    """
    from rich.console import Console

    console = Console(stderr=True, quiet=not show_progress)
    with console.status(f"loading {path.name}") as status:
        start = time.perf_counter()
        graph = load_model(path) if batch is None else with_batch(load_model(path))
        loaded = time.perf_counter()
        arrays = _inputs(graph, inputs, seed, batch)
        status.update(f"compiling {graph.name}: {len(graph.nodes)} nodes")
        compiling = time.perf_counter()
        from layercc.compiler import compile

        model = compile(graph, precision=cast(Precision, precision), threads=threads)
        model.plan({name: array.shape for name, array in arrays.items()}, arrays)
        done = time.perf_counter()
    return Session(model, arrays, loaded - start, done - compiling)


def given_arrays(
    options: Sequence[str],
) -> tuple[dict[str, np.ndarray], dict[str, tuple[int, ...]]]:
    """Arrays and dims by input name, as `--input` gives them.

    Raises UsageError for what is neither, InputError for a file that cannot be read.
    """
    from layercc.tools.arrays import load_array

    arrays: dict[str, np.ndarray] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, text in named(options).items():
        if text.endswith(".npy"):
            arrays[name] = load_array(Path(text))
            continue
        sizes = tuple(dim for dim in dims(text) if isinstance(dim, int) and dim >= 0)
        if len(sizes) != len(dims(text)):
            raise click.UsageError(f"--input {name}={text}: integers >= 0 or a .npy file would fit")
        shapes[name] = sizes
    return arrays, shapes


def _inputs(
    graph: Any, options: Sequence[str], seed: int, batch: int | None
) -> dict[str, np.ndarray]:
    from layercc.tools.arrays import make_inputs

    arrays, shapes = given_arrays(options)
    if batch is None:
        return make_inputs(graph, arrays, shapes, seed)
    axes = batch_axes(graph)
    for name in shapes.keys() & axes.keys():
        shape, axis = shapes[name], axes[name]
        shapes[name] = (*shape[:axis], batch, *shape[axis + 1 :])
    sizes = {str(batch_symbol(graph)): batch}
    return make_inputs(graph, at_batch(arrays, axes, batch), shapes, seed, sizes)

"""Timing a compiled model, side by side with other runtimes (`layercc.timing`)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ir.diagnostics import InputError
from ir.graph import Graph
from layercc.tools.arrays import make_inputs
from layercc.tools.bench.batches import at_batch, batch_axes, samples
from layercc.tools.bench.figures import Estimate, Point, Timing
from layercc.tools.bench.machine import digest, machine, versions
from layercc.tools.bench.measure import OWN, Effort, Loaded, load, measure, reason
from layercc.tools.bench.noise import Caution
from layercc.tools.bench.processes import in_processes
from layercc.tools.bench.results import Benchmark
from layercc.tools.peers import PEERS, Runner, installed_peers, settings_kept

__all__ = ["PEERS", "Benchmark", "Estimate", "Timing", "benchmark", "installed_peers"]


def benchmark(
    fn: Any,
    *inputs: Any,
    against: Sequence[str] | Mapping[str, Callable[[], Any]] = (),
    seconds: float = 2.0,
    iterations: int = 0,
    warm_up: int | None = None,
    streams: int = 1,
    batch: Sequence[int] = (),
    model: str | bytes | None = None,
    probe: bool = True,
    processes: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Times a compiled model on the given inputs, in turns with the runtimes named in `against`.

    `inputs`: arrays by position, or one mapping of arrays by name. `seconds` is spent on each
    runtime, in rounds in which all take turns (`layercc.timing`), and more until each has been
    called `iterations` times. Before that, each is called until its times are steady, or `warm_up`
    times. Of `streams` callers at once each uses as many threads as the model is compiled for. With
    `batch`, sizes of the batch dim, each of them is measured, on the samples of the inputs, taken
    in turn. With `probe` layercc is measured against itself too: what differs by less is no
    difference. With `processes`, each is also started in a process of its own, for the peak of its
    memory and the time to its first result.

    The others get the same model as ONNX, the same arrays and as many threads, and compute in f32:
    `model` if given, the bytes or the path of an ONNX file, else the graph exported. `against` may
    also map names to functions that run the model once on the same inputs (for one batch size), and
    return its outputs as arrays. One that cannot run the model is in `Point.failures`.

    Raises ValueError for an unknown runtime or a number out of range, ImportError for a runtime not
    installed, InputError for inputs that do not fit.
    """
    effort = Effort(seconds, iterations, warm_up, probe)
    _check(against, batch, streams, effort)
    if not isinstance(getattr(fn, "graph", None), Graph):
        raise TypeError(f"fn: a compiled model would fit; a {type(fn).__name__} was given")
    arrays = _by_name(fn, inputs)
    axes = batch_axes(fn.graph) if batch else {}
    peers = _Peers(fn, against, model, streams)
    known = digest(fn.graph)
    points = []
    given: list[tuple[int | None, dict[str, np.ndarray]]]
    given = [(size, at_batch(arrays, axes, size)) for size in batch]
    for size, held in given or [(samples(fn.graph, arrays), arrays)]:
        said = _prefixed(progress, f"batch {size}: ") if batch else progress
        with settings_kept():
            point = _point(fn, held, peers, effort, size, said)
        points.append(peers.with_processes(point, held, said) if processes else point)
    options = getattr(fn, "options", None)
    return Benchmark(
        fn.graph.name,
        known,
        fn.threads,
        streams,
        getattr(options, "precision", "highest"),
        datetime.now(UTC).isoformat(timespec="seconds"),
        machine(options),
        versions(),
        points,
    )


class _Peers:
    """The runtimes asked for, and the model that they are given."""

    def __init__(self, fn: Any, against: Any, model: str | bytes | None, streams: int) -> None:
        self.threads, self.streams = fn.threads, streams
        self._against = against
        self._graph = fn.graph
        self._model = model

    def loaders(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Callable[[], Loaded]]:
        """Name → what loads it."""
        if isinstance(self._against, Mapping):
            return {
                name: partial(load, partial(self._own_runners, run), "")
                for name, run in self._against.items()
            }
        return {name: partial(self._load, name, arrays) for name in self._against}

    def _load(self, name: str, arrays: Mapping[str, np.ndarray]) -> Loaded:
        peer, model = PEERS[name], self._onnx()
        return load(lambda: peer.load(model, arrays, self.threads, self.streams), peer.version)

    def _onnx(self) -> bytes | str:
        """The bytes or the path of the model that all get."""
        if self._model is None:
            from layercc.frontends.onnx import to_onnx
            from layercc.passes.channels_first import channels_first

            # channels first, as ONNX has it: no runtime pays for Transposes between layers
            self._model = to_onnx(channels_first.run(self._graph)).SerializeToString()
        return self._model

    def with_processes(
        self, point: Point, arrays: Mapping[str, np.ndarray], progress: Callable[[str], None]
    ) -> Point:
        """The point with what each runtime takes in a process of its own; one that fails there has
        none, and a caution says why."""
        timings, cautions = [], list(point.cautions)
        with tempfile.TemporaryDirectory() as folder:
            model, inputs = self._onnx(), Path(folder) / "inputs.npz"
            np.savez(inputs, **arrays)  # type: ignore[arg-type]
            if isinstance(model, bytes):
                path = Path(folder) / "model.onnx"
                path.write_bytes(model)
            else:
                path = Path(model)
            for timing in point.timings:
                found = None
                if timing.runtime == OWN or timing.runtime in PEERS:
                    progress(f"starting {timing.runtime} in a process of its own")
                    try:
                        found = in_processes(timing.runtime, path, inputs, self.threads)
                    except RuntimeError as error:
                        cautions.append(Caution("no figures of a process of its own", str(error)))
                timings.append(replace(timing, processes=found))
        return replace(point, timings=timings, cautions=cautions)

    def _own_runners(self, run: Callable[[], Any]) -> list[Runner]:
        def once() -> list[np.ndarray]:
            made = run()
            return [
                np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])
            ]

        return [once] * self.streams


def _point(
    fn: Any,
    arrays: dict[str, np.ndarray],
    peers: _Peers,
    effort: Effort,
    batch: int | None,
    progress: Callable[[str], None],
) -> Point:
    """Loads all runtimes for these inputs and measures them."""
    names = fn.graph.output_names

    def own() -> list[np.ndarray]:
        made = fn.run(arrays)
        return [made[name] for name in names]

    ready = {OWN: load(lambda: [own] * peers.streams, versions()["layercc"])}
    failures: dict[str, str] = {}
    for name, loader in peers.loaders(arrays).items():
        progress(f"loading {name}")
        try:
            ready[name] = loader()
        except Exception as error:  # another runtime may raise anything; it is told in its row
            failures[name] = reason(error)
    return measure(ready, failures, effort, arrays, batch, progress)


def _prefixed(progress: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: progress(prefix + text)


def _check(against: Any, batch: Sequence[int], streams: int, effort: Effort) -> None:
    if not isinstance(against, Mapping):
        unknown = [name for name in against if name not in PEERS]
        if unknown:
            raise ValueError(f"unknown runtime {unknown[0]!r}; there are {', '.join(PEERS)}")
        for name in against:
            if not PEERS[name].is_installed:
                raise ImportError(f"{name} needs the package {PEERS[name].package!r}")
    elif OWN in against:
        raise ValueError(f"against: any name but {OWN!r} would fit")
    for what, value, least in (
        ("streams", streams, 1),
        ("iterations", effort.iterations, 0),
        ("warm_up", effort.warm_up or 0, 0),
        *(("batch", size, 1) for size in batch),
    ):
        if value < least:
            raise ValueError(f"{what} must be at least {least}, not {value}")


def _as_array(name: str, given: Any) -> np.ndarray:
    try:
        return np.asarray(given)
    except Exception as error:  # whatever the conversion of a foreign object raises
        raise InputError(f"input {name!r} does not become an array: {error}") from error


def _by_name(fn: Any, inputs: Sequence[Any]) -> dict[str, np.ndarray]:
    if len(inputs) == 1 and isinstance(inputs[0], Mapping):
        given = dict(inputs[0])
    else:
        given = dict(zip(fn.graph.input_names, inputs, strict=False))
    arrays = {name: _as_array(name, array) for name, array in given.items()}
    optional = fn.graph.defaults
    missing = [n for n in fn.graph.input_names if n not in arrays and n not in optional]
    if missing or len(inputs) > max(len(given), 1):
        raise InputError(
            f"{len(inputs)} arrays given; the inputs are {', '.join(fn.graph.input_names)}"
        )
    return make_inputs(fn.graph, arrays)

"""The two sides of a comparison: a model, and what computes its values."""

from __future__ import annotations

import contextlib
import re
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from ir.diagnostics import InputError, LayerccError, ShapeError
from ir.graph import Graph
from layercc.options import Options, Precision
from layercc.session.inputs import SMALL
from layercc.tools.compare.exact import evaluate
from layercc.tools.compare.extract import extract
from layercc.tools.compare.onnx_part import OnnxFile
from layercc.tools.peers import PEERS

Arrays = Mapping[str, np.ndarray]
#: Bytes of a model that one protobuf holds.
MOST_BYTES = (1 << 31) - (1 << 24)
#: Characters of what another runtime says.
_MOST_SAID = 400


class RuntimeFailure(LayerccError):
    """Another runtime refuses a model, or part of it."""


@dataclass(frozen=True)
class Source:
    """A model: its graph, and the ONNX file that it is in, if it is in one."""

    graph: Graph
    path: Path | None = None


class Side(ABC):
    """A model on something that runs it.

    `exact`: floats are float64. `compiled`: with these options, by layercc.
    """

    exact = False
    compiled: Options | None = None

    def __init__(self, source: Source, label: str) -> None:
        self.graph = source.graph
        self.label = label
        #: Values that may be asked for.
        self.names = {name for node in self.graph.nodes for name in node.outputs if name}
        #: What a user would be told when `run` is called.
        self.notes: list[str] = []

    @abstractmethod
    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The outputs by name, as a user of the runtime gets them."""

    @abstractmethod
    def evaluate(self, given: Arrays, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """Values of the model, inner ones too, computed from `given` ones.

        Where a value is given, its readers read that array, not what its own node makes.
        """


class Reference(Side):
    """The NumPy interpreter."""

    def __init__(self, source: Source, exact: bool) -> None:
        super().__init__(source, "reference64" if exact else "reference")
        self.exact = exact

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return evaluate(self.graph, inputs, exact=self.exact)

    def evaluate(self, given: Arrays, wanted: Collection[str]) -> dict[str, np.ndarray]:
        part, ports = extract(self.graph, given, wanted)
        return evaluate(part, {port: given[n] for n, port in ports.items()}, exact=self.exact)


class Compiled(Side):
    """layercc itself."""

    def __init__(self, source: Source, options: Options, label: str = "layercc") -> None:
        super().__init__(source, label)
        self.compiled: Options = options

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            made = self._compile(self.graph, inputs)
        self.notes = [f"{self.label}: {each.message}" for each in caught]
        return made

    def evaluate(self, given: Arrays, wanted: Collection[str]) -> dict[str, np.ndarray]:
        part, ports = extract(self.graph, given, wanted)
        arrays = {port: given[name] for name, port in ports.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            try:
                return self._compile(part, arrays)
            except ShapeError:  # values that the whole model computes decide shapes here
                return self._compile(*_bound(part, arrays))

    def _compile(self, graph: Graph, inputs: Arrays) -> dict[str, np.ndarray]:
        from layercc.compiler import compile

        options = self.compiled
        model = compile(
            graph,
            example_inputs=dict(inputs),
            target=options.target,
            precision=options.precision,
            threads=options.threads,
        )
        return model.run(dict(inputs))


def _bound(graph: Graph, inputs: Arrays) -> tuple[Graph, Arrays]:
    """The graph with small inputs of integers as constants, and the other inputs."""
    small = {n: a for n, a in inputs.items() if a.dtype.kind in "iub" and a.size <= SMALL}
    bound = graph.copy()
    bound.inputs = [value for value in graph.inputs if value.name not in small]
    bound.constants = graph.constants | small
    bound.types = {}
    return bound, {name: array for name, array in inputs.items() if name not in small}


class Peer(Side):
    """Another runtime, on the file where there is one, else on the graph as ONNX."""

    def __init__(self, source: Source, name: str, threads: int) -> None:
        super().__init__(source, name)
        self._start = PEERS[name].runner
        self._threads = threads
        self._path = source.path
        self._file = None if source.path is None else OnnxFile(source.path)
        if self._file is not None:
            self.names &= self._file.names

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        wanted = self.graph.output_names
        if self._file is not None:
            return self._start_on(str(self._path), inputs, wanted)
        return self.evaluate(inputs, wanted)

    def evaluate(self, given: Arrays, wanted: Collection[str]) -> dict[str, np.ndarray]:
        from layercc.frontends.onnx import to_onnx
        from layercc.passes.channels_first import channels_first

        if self._file is not None:
            model, ports = self._file.part(given, wanted)
        else:
            part, ports = extract(self.graph, given, wanted)
            model = to_onnx(channels_first.run(part))
        arrays = {port: given[name] for name, port in ports.items()}
        return self._start_on(model, arrays, wanted)

    def _start_on(
        self, model: Any, inputs: Arrays, wanted: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Runs an `onnx.ModelProto`, or the file at a path."""
        with contextlib.ExitStack() as stack:
            if not isinstance(model, str):
                model = stack.enter_context(_readable(model))
            try:
                made = self._start(model, inputs, self._threads)()
            except Exception as error:  # each runtime has exceptions of its own
                said = " ".join(str(error).split())
                said = said if len(said) <= _MOST_SAID else f"{said[:_MOST_SAID]} ..."
                raise RuntimeFailure(f"{self.label} refuses the model: {said}") from error
        return dict(zip(wanted, made, strict=True))


@contextlib.contextmanager
def _readable(model: Any) -> Iterator[bytes | str]:
    """A model as its bytes, or, where these are more than one protobuf holds, as a file."""
    if model.ByteSize() <= MOST_BYTES:
        yield model.SerializeToString()
        return
    import onnx

    with tempfile.TemporaryDirectory(prefix="layercc-") as folder:
        path = str(Path(folder) / "model.onnx")
        onnx.save(model, path, save_as_external_data=True, location="model.data")
        yield path


#: What `--against` may name besides `KEY=VALUE` settings of layercc.
RUNTIMES = ("layercc", "reference", "reference64", *PEERS)
_SETTING = re.compile(r"(precision|isa|threads)=(\w+)")


def side_of(source: Source, text: str, options: Options) -> Side:
    """A model on the runtime that a text names, or on layercc with other settings than `options`:
    `precision=medium`, `isa=avx2`, `threads=1`, or several with commas between.

    Raises InputError for a text that names nothing, or a runtime that is not installed.
    """
    from layercc.cores import usable_cores

    if text == "layercc":
        return Compiled(source, options)
    if text in ("reference", "reference64"):
        return Reference(source, exact=text == "reference64")
    if text in PEERS:
        _check_installed(text)
        return Peer(source, text, options.threads or usable_cores())
    changed = options
    for part in text.split(","):
        found = _SETTING.fullmatch(part.strip())
        if found is None:
            known = ", ".join(RUNTIMES)
            raise InputError(
                f"nothing to compare with is called {part!r}; {known}, precision=NAME, isa=NAME "
                "and threads=NUMBER would fit"
            )
        changed = _changed(changed, *found.groups())
    return Compiled(source, changed, f"layercc {text}")


def _changed(options: Options, key: str, value: str) -> Options:
    from layercc.cpu.target import CpuTarget

    try:
        if key == "isa":
            target = CpuTarget(value)
            if not target.runs_here():
                raise InputError(f"this machine cannot run isa={value}")
            return replace(options, target=target)
        if key == "threads":
            return replace(options, threads=int(value))
        return replace(options, precision=cast(Precision, value))
    except ValueError as error:
        raise InputError(f"{key}={value}: {error}") from error


def _check_installed(name: str) -> None:
    import importlib.util

    if importlib.util.find_spec(name) is None:
        raise InputError(f"{name} is not installed; `pip install {name}` would help")

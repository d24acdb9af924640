"""Runs nodes on integers that are out of every range, in guarded memory; prints what came of it.

    python -m tests.onnx.wild_values [OP ...] [--variants N]

The nodes are those of the `onnx` package's tests that have integer inputs, and `more_cases`. Each
variant gives one or all of the integer inputs other values. A child process runs them, so that a
fault ends no more than one: prints JSON lines of case, variant, outcome, and what was given.

Outcomes: `ran`, to the values that the interpreter computes; `refused` with a LayerccError;
`accepted` values that the interpreter refuses; `unlike` what the interpreter computes; `crashed`
with any other exception; `died` of a signal.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ir.control_flow import CONTROL_FLOW
from ir.diagnostics import LayerccError
from ir.dims import symbol
from ir.graph import Graph, Value
from ir.interpreter import interpret
from ir.registry import all_ops
from ir.types import TensorType
from layercc import compile
from layercc.cpu.executor import EXECUTOR_KEYS
from layercc.cpu.isa import host_isa
from layercc.cpu.programs import program_of
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.declaration import KernelKey
from layercc.lower import lower
from layercc.passes import run_passes
from layercc.weights import Weights
from tests.guarded import guard_all_plans
from tests.ir.onnx_node_cases import node_cases
from tests.onnx.wild_cases import more_cases

#: Address space that a case may take beyond what the imports took, and seconds.
ALLOWED_BYTES = 1 << 31
ALLOWED_SECONDS = 120
WILD = (
    -(2**63), -(2**31) - 1, -(2**31), -100_000, -9, -2, -1, 0, 1, 2, 3, 5, 9, 127, 255, 100_000,
    2**31 - 1, 2**31, 2**32 + 1, 2**40, 2**62, 2**63 - 1,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A graph of one node, and arrays for its inputs."""

    name: str
    graph: Graph
    inputs: dict[str, np.ndarray]

    @property
    def integers(self) -> list[str]:
        return [name for name, array in self.inputs.items() if array.dtype.kind in "iu"]


def cases(ops: list[str]) -> Iterator[Case]:
    """The cases of these ops, or of all."""
    wanted = ops or [op.name for op in all_ops()]
    for case in node_cases(op for op in wanted if op not in CONTROL_FLOW):
        graph = case.graph.copy()
        graph.outputs = [Value(v.name, _opened(v.type, v.name)) for v in graph.outputs]
        yield Case(case.name, graph, case.inputs)
    for name, graph, inputs in more_cases():
        if graph.nodes[0].op in wanted:
            yield Case(name, graph, inputs)


def _opened(kind: TensorType, name: str) -> TensorType:
    return kind.with_shape(symbol(f"{name}_{axis}") for axis in range(kind.rank))


def variants(case: Case, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs with wild integers in one place, in one input, or in all."""
    rng = np.random.default_rng(sum(map(ord, case.name)))
    for variant in range(count):
        inputs = dict(case.inputs)
        chosen = case.integers if variant % 4 == 3 else [rng.choice(case.integers)]
        for name in chosen:
            array = inputs[name] = inputs[name].copy()
            info = np.iinfo(array.dtype)
            wild = np.array([v for v in WILD if info.min <= v <= info.max], array.dtype)
            where = rng.random(array.shape) < (0.2, 0.5, 1.0, 1.0)[variant % 4]
            if array.size and not where.any():
                where.flat[rng.integers(array.size)] = True
            array[where] = rng.choice(wild, int(where.sum()))
        yield inputs


def outcome_of(model: object, graph: Graph, inputs: dict[str, np.ndarray]) -> tuple[str, str]:
    try:
        wanted = interpret(graph, inputs)
    except Exception as error:
        wanted, refusal = None, f"{type(error).__name__}: {error}"
    try:
        found = model.run(inputs)  # type: ignore[attr-defined]
    except LayerccError as error:
        return "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:  # everything else is what this looks for
        return "crashed", f"{type(error).__name__}: {error}"
    if wanted is None:
        shown = ", ".join(map(_shown, found.values()))
        return "accepted", f"{shown}, although {refusal}"
    for name, array in wanted.items():
        if not alike(found[name], array):
            return "unlike", f"{name}: {_shown(found[name])} instead of {_shown(array)}"
    return "ran", ""


def alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if wanted.dtype.kind in "biu":
        return np.array_equal(found, wanted)
    one, other = found.astype(np.complex128), wanted.astype(np.complex128)
    tolerance = 1e-4 if wanted.dtype.itemsize >= 4 else 3e-2
    return bool(np.allclose(one, other, tolerance, tolerance, equal_nan=True))


def _shown(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)} {array.ravel()[:8].tolist()}"


def run_in_child(case: Case, first: int, count: int, pipe: int) -> None:
    """Prints a line before and after each variant from `first` on."""
    os.dup2(pipe, 1)
    signal.alarm(ALLOWED_SECONDS)
    guard_all_plans()
    warnings.simplefilter("ignore")
    model = None
    for index, inputs in enumerate(variants(case, count)):
        if index < first:
            continue
        given = {name: inputs[name].tolist() for name in case.integers}
        print(json.dumps(["begins", index, "", given]), flush=True)
        try:
            model = model or compile(case.graph, threads=1)
            outcome, message = outcome_of(model, case.graph, inputs)
        except LayerccError as error:
            outcome, message = "refused", f"{type(error).__name__}: {error}"
        except BaseException as error:
            outcome, message = "crashed", f"{type(error).__name__}: {error}"
        print(json.dumps([outcome, index, message[:400], given]), flush=True)


def run_case(case: Case, count: int) -> Iterator[list]:
    """[outcome, variant, message, integers given] of every variant."""
    done = 0
    while done < count:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            try:
                run_in_child(case, done, count, write)
            finally:
                os._exit(0)
        os.close(write)
        begun = None
        with os.fdopen(read) as lines:
            for line in lines:
                found = json.loads(line)
                begun = found if found[0] == "begins" else None
                if begun is None:
                    yield found
                    done = found[1] + 1
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            reason = signal.Signals(os.WTERMSIG(status)).name
            yield ["died", done, reason, begun and begun[3]]
            done += 1
        elif done < count:
            raise RuntimeError(f"{case.name}: the child stopped at variant {done}")


def prepare_kernels(chosen: list[Case]) -> None:
    """Compiles the kernels of all cases together, which takes a fraction of the time, and loads
    them, so that children have them."""
    keys: dict[KernelKey, None] = {}
    for case in chosen:
        shapes = {name: array.shape for name, array in case.inputs.items()}
        try:
            program = program_of(lower(run_passes(case.graph), shapes), Weights(), host_isa())
        except LayerccError:  # values decide shapes: the child compiles what it needs
            continue
        keys.update(dict.fromkeys(program.keys()))
    default_kernels(host_isa()).prepare([*keys, *EXECUTOR_KEYS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ops", nargs="*")
    parser.add_argument("--variants", type=int, default=8)
    given = parser.parse_args()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWED_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    chosen = [case for case in cases(given.ops) if case.integers]
    prepare_kernels(chosen)
    for case in chosen:
        for outcome, index, message, integers in run_case(case, given.variants):
            line = [case.name, str(case.graph.nodes[0]), index, outcome, message, integers]
            print(json.dumps(line), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()

"""Writes the reference tables `docs/ops.md`, `docs/layers.md` and `docs/cuda.md`.

Run as `python -m layercc.tools.docs`.

The tables are made from the registries and the docstrings; a test compares them with the files.
What `layercc bench` printed, in `docs/bench.md` and the README, is put there from the figures that
it saved, and the picture of them is drawn again.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from ir.registry import Attr, Op, all_ops, find_op
from layercc.tools.bench.figures import Figures
from layercc.tools.bench.results import Benchmark
from layercc.tools.bench.table import noise, summary, table
from layercc.tools.layer_table import side_by_side
from layercc.tools.left_to_numpy import LEFT_TO_NUMPY, Left

COMMAND = "python -m layercc.tools.docs"
FOLDER = Path(__file__).parents[2] / "docs"
FIGURES = FOLDER / "pictures/resnet18.json"
_PRINTED = re.compile(r"(^<!-- printed: .* -->\n```\n).*?^```\n", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Writes all tables to the folder given, or to `docs/` of the source tree."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")
        print(folder / name)
    if folder == FOLDER:
        for page in PRINTED:
            page.write_text(with_printed(page), encoding="utf-8")
            print(page)
        Benchmark.load(FIGURES).plot(FIGURES.with_suffix(".svg"))


def with_printed(page: Path) -> str:
    """A page with the block behind its marker `<!-- printed: ... -->` as the figures have it."""
    made = "\n".join(PRINTED[page](Benchmark.load(FIGURES)))
    text = page.read_text(encoding="utf-8")
    found, count = _PRINTED.subn(lambda match: f"{match[1]}{made}\n```\n", text)
    assert count == 1, f"{page} has {count} markers"
    return found


def ops_page() -> str:
    """`ops.md`: every op, by the file that defines it."""
    ops = sorted(all_ops(), key=lambda op: (op.__module__, op.name))
    lowered, decomposed = _lowered(), decomposed_ops()
    compiled = sum(bool(_cpu(op, lowered, decomposed)) for op in ops)
    lines = [
        "# Ops",
        "",
        f"Made by `{COMMAND}`. {len(ops)} ops, named and defined as in ONNX's newest",
        "opset; those of other domains carry the domain in front. Models of older opsets are",
        "lifted when they are read.",
        "",
        "- **inputs**: `?` optional, `*` any number.",
        "- **attributes** with their defaults; without one, the attribute is required; `?`: absent",
        "  unless given. `channels_last` and `fully_masked` are layercc's own.",
        "- **shapes**: a rule infers types and shapes, symbolic ones too. **values**: shape",
        "  computations are followed through it by value, `N` standing for itself.",
        "- **reference**: a NumPy implementation, which the kernels are tested against.",
        f"- **CPU**: what kernels compute, {compiled} ops. ✓: kernels of its own; `pass`: a pass",
        "  replaces it by others; `shape`: known before running; `body`: it runs compiled graphs.",
        "  NumPy runs the others, with a warning.",
    ]
    for module, group in groupby(ops, key=lambda op: op.__module__):
        lines += ["", f"## {_title(importlib.import_module(module))}", ""]
        rows = [
            [
                f"`{op.name}`",
                _code(", ".join(_input(op, i) for i in range(len(op.inputs)))),
                _code(", ".join(_attribute(name, a) for name, a in op.attributes.items())),
                _mark(op.infer is not Op.infer or op.scalar is not None or _has_bodies(op)),
                _mark(op.symbolic or op.symbolic_value is not None),
                _mark(op.reference is not Op.reference),
                _cpu(op, lowered, decomposed),
            ]
            for op in group
        ]
        names = ["op", "inputs", "attributes", "shapes", "values", "reference", "CPU"]
        lines += _table(names, rows)
    lines += ["", "## Left to NumPy", ""]
    lines += [
        "Element types that the definitions allow, and that have no kernels. A model with them",
        "runs, with a warning. Everything else compiles; a test runs every op at every type.",
        "",
    ]
    lines += _table(["ops", "element types", "why"], map(_left, LEFT_TO_NUMPY))
    return "\n".join(lines) + "\n"


def layers_page() -> str:
    """`layers.md`: which front end has which layer, and the arguments of those of the builder."""
    from layercc import layers

    found = [getattr(layers, name) for name in layers.__all__]
    classes = [item for item in found if inspect.isclass(item) or inspect.isfunction(item)]
    modules = list(dict.fromkeys(_imports_of(layers)))
    lines = [
        "# Layers",
        "",
        f"Made by `{COMMAND}`. A row is what computes the same, or nearly, by",
        "the names of its classes: in the builder (`lc.layers`), in `keras.layers`, which",
        "`lc.from_keras` reads, and in `torch.nn`, which `lc.from_torch` reads. Tests compare each",
        "class with its framework.",
        "",
        "- An empty cell: there is no such class. ✗: no compiled model has it.",
        "- **element types** of the input: those for which the builder makes a graph of the layer,",
        "  with some settings; `floats` have 16 bits at least, `integers` 8. Where the builder has",
        "  no layer, its framework decides. [ops.md](ops.md) lists what NumPy computes.",
        "",
        *_table(
            ["builder", "Keras", "PyTorch", "element types", "missing, and why"], side_by_side()
        ),
        "",
        "## Arguments of the builder's layers",
        "",
        "Names, arguments and defaults are Keras'. Every layer also takes `name`, `weights`",
        "(arrays in Keras' order and layout), `dtype` and `input_shape`; arguments that matter in",
        "training only are taken and ignored.",
    ]
    for module in modules:
        members = sorted(
            (item for item in classes if item.__module__ == module), key=lambda item: item.__name__
        )
        if members:
            rows = [
                [f"`{item.__name__}`", _code(_arguments(item)), _summary(item)] for item in members
            ]
            lines += ["", f"### {_title(importlib.import_module(module))}", ""]
            lines += _table(["layer", "arguments", "what it computes"], rows)
    return "\n".join(lines) + "\n"


def cuda_page() -> str:
    """`cuda.md`: every job, with the files that emit it on a GPU, and what the CPU runs instead."""
    from layercc.cuda.emit.registry import EMITTERS
    from layercc.tools.left_to_cpu import LEFT_JOBS, LEFT_TO_CPU, all_jobs

    rows = []
    for job in all_jobs():
        emitter = EMITTERS.of_kind(job)
        where = LEFT_JOBS.get(job.__name__, "") if emitter is None else _code(_file(emitter))
        rows.append([f"`{job.__name__}`", _code(_file(job)), where])
    lines = [
        "# Kernels on GPUs",
        "",
        f"Made by `{COMMAND}`. [architecture.md](architecture.md) says how GPUs are",
        "programmed; here is what has kernels there.",
        "",
        "## Jobs",
        "",
        "What is to be computed, by the file that defines it, and the file that emits it for a",
        "GPU, or why none does.",
        "",
        *_table(["job", "defined in", "emitted by"], rows),
        "",
        "## Left to the CPU",
        "",
        "Ops and element types that have kernels on the CPU and none on a GPU. A model with them",
        "runs in sections, those nodes on the CPU, with a warning that names them. What is left to",
        "NumPy on the CPU ([ops.md](ops.md)) is on a GPU, too. Everything else runs on the GPU.",
        "",
        *(
            _table(["ops", "element types", "why"], map(_left, LEFT_TO_CPU))
            if LEFT_TO_CPU
            else ["There are none."]
        ),
    ]
    return "\n".join(lines) + "\n"


def _file(item: Any) -> str:
    return item.__module__.replace(".", "/") + ".py"


PAGES: dict[str, Callable[[], str]] = {
    "ops.md": ops_page, "layers.md": layers_page, "cuda.md": cuda_page,
}  # fmt: skip
#: Pages that show what `layercc bench` printed, and how many lines of it.
PRINTED: dict[Path, Callable[[Figures], list[str]]] = {
    FOLDER.parent / "README.md": lambda figures: [*summary(figures), "", *noise(figures.points)],
    FOLDER / "bench.md": lambda figures: table(figures).splitlines(),
}


def decomposed_ops() -> set[str]:
    """Ops that a pass replaces by others: what the rules of the `decompose_` passes name."""
    from layercc.passes import PIPELINE

    found: set[str] = set()
    for each in PIPELINE:
        if each.name.startswith("decompose_"):
            tree = ast.parse(inspect.getsource(inspect.getmodule(each.transform)))  # type: ignore[arg-type]
            for rules in (node for node in ast.walk(tree) if isinstance(node, ast.Dict)):
                keys = [key.value for key in rules.keys if isinstance(key, ast.Constant)]
                found.update(key for key in keys if isinstance(key, str) and find_op(key))
    return found


def _left(row: Left) -> list[str]:
    types = "all" if row.types is None else _code(" ".join(sorted(map(str, row.types))))
    of = f" for {_code(row.variable)}" if row.variable else ""
    return [_code(", ".join(row.ops)), types + of, row.why]


def _lowered() -> set[str]:
    from layercc.lower import lowered_ops

    return {name.partition(":")[0] for name in lowered_ops()}


def _cpu(op: type[Op], lowered: set[str], decomposed: set[str]) -> str:
    if op.name in lowered:
        return "✓"
    if op.name in decomposed:
        return "pass"
    if _has_bodies(op):
        return "body"
    return "shape" if op.symbolic_value is not None else ""


def _has_bodies(op: type[Op]) -> bool:
    from ir.control_flow import WITH_SUBGRAPHS

    return op.name in WITH_SUBGRAPHS


def _input(op: type[Op], index: int) -> str:
    parameter = op.input_parameters[index]
    return parameter.name + "?" * parameter.optional + "*" * parameter.variadic


def _attribute(name: str, spec: Attr) -> str:
    if spec.required:
        return name
    if spec.default is None:
        return f"{name}?"
    default = spec.default
    if isinstance(default, float):
        default = f"{default:.6g}"
    return f"{name}={list(default) if isinstance(default, tuple) else default}"


def _arguments(item: Any) -> str:
    common = {"name", "weights", "dtype", "input_shape"}
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return ", ".join(
        name if p.default is inspect.Parameter.empty else f"{name}={p.default!r}"
        for name, p in inspect.signature(item).parameters.items()
        if p.kind not in variadic and name not in common
    )


def _summary(item: Any) -> str:
    """The first sentence of a docstring."""
    paragraph = (inspect.getdoc(item) or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<!et al\.)(?<=\.) ", paragraph)[0]


def _title(module: ModuleType) -> str:
    return re.split(r"[.]\s", (module.__doc__ or module.__name__).strip())[0].rstrip(".")


def _imports_of(module: ModuleType) -> Iterable[str]:
    """Names of the modules that a package takes its names from, in order."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _mark(yes: bool) -> str:
    return "✓" if yes else ""


def _code(text: Any) -> str:
    return f"`{text}`" if text else ""


def _table(names: list[str], rows: Iterable[list[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells]]


if __name__ == "__main__":
    main()

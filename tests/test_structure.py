"""The folders depend on each other in one direction only: what may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Module or folder → the modules and folders of this project that it may import besides itself.
#: The most specific entry counts.
ALLOWED: dict[str, tuple[str, ...]] = {
    "ir": (),
    "layercc.runtime": ("ir.diagnostics",),
    "layercc.algorithms": ("ir.diagnostics", "layercc.jobs", "layercc.limits"),
    "layercc.buffers": ("ir.dtypes", "layercc.runtime.arenas"),
    "layercc.cgroups": (),
    "layercc.cores": ("layercc.cgroups",),
    "layercc.jobs": (
        "ir.diagnostics",
        "ir.dtypes",
        "layercc.buffers",
        "layercc.kernels.expressions",
        "layercc.kernels.raised",
        "layercc.runtime.faults",
    ),
    "layercc.kernels": ("ir.scalar", "ir.primitives", "layercc.cores"),
    "layercc.emitters": ("ir.diagnostics", "layercc.jobs"),
    "layercc.weights": (),
    "layercc.program": (
        "layercc.buffers",
        "layercc.jobs.job",
        "layercc.jobs.workload",
        "layercc.kernels.declaration",
    ),
    "layercc.description": (
        "layercc.kernels.expressions",
        "layercc.memory_plan",
        "layercc.program",
        "layercc.recording",
    ),
    "layercc.memory_limit": (
        "ir.diagnostics",
        "ir.graph",
        "ir.inference",
        "ir.units",
        "layercc.cgroups",
        "layercc.memory_plan",
        "layercc.program",
    ),
    "layercc.memory_plan": ("layercc.buffers", "layercc.program"),
    "layercc.limits": ("layercc.kernels.element_types",),
    "layercc.processor": ("layercc.cores",),
    "layercc.profiling": (
        "ir.units",
        "layercc.limits",
        "layercc.recording",
        "layercc.timing",
    ),
    "layercc.recording": (),
    "layercc.statistics": (),
    "layercc.target": ("layercc.jobs.workload", "layercc.limits", "layercc.recording"),
    "layercc.timing": (),
    "layercc.cpu": ("layercc.kernels", "layercc.limits", "layercc.runtime"),
    "layercc.cpu.target": ("layercc.target",),
    "layercc.cpu.emit": (
        "ir.diagnostics",
        "ir.dtypes",
        "layercc.buffers",
        "layercc.building",
        "layercc.emitters",
        "layercc.jobs",
        "layercc.program",
        "layercc.weights",
    ),
    "layercc.cpu.programs": (
        "ir.diagnostics",
        "layercc.jobs.contraction",
        "layercc.jobs.workload",
        "layercc.memory_limit",
        "layercc.memory_plan",
        "layercc.program",
        "layercc.weights",
    ),
    "layercc.cpu.algorithms": (
        "layercc.algorithms",
        "ir.diagnostics",
        "ir.dtypes",
        "layercc.buffers",
        "layercc.jobs",
    ),
    "layercc.cpu.runtime": (
        "ir.diagnostics",
        "layercc.buffers",
        "layercc.cores",
        "layercc.description",
        "layercc.jobs",
        "layercc.memory_limit",
        "layercc.processor",
        "layercc.program",
        "layercc.recording",
        "layercc.runtime",
        "layercc.target",
        "layercc.weights",
    ),
    "layercc.building": ("ir.dtypes", "layercc.buffers", "layercc.program", "layercc.weights"),
    "layercc.cuda": (
        "ir.diagnostics",
        "layercc.kernels",
        "layercc.limits",
        "layercc.program",
        "layercc.target",
    ),
    "layercc.cuda.arrays": ("ir.dtypes",),
    "layercc.cuda.dlpack": ("ir.dtypes",),
    "layercc.cuda.algorithms": (
        "ir.dtypes",
        "layercc.algorithms",
        "layercc.buffers",
        "layercc.jobs",
    ),
    "layercc.cuda.driver": ("ir.units",),
    "layercc.cuda.instance": ("layercc.buffers", "layercc.jobs"),
    "layercc.cuda.emit": (
        "ir.dtypes",
        "layercc.algorithms",
        "layercc.buffers",
        "layercc.building",
        "layercc.emitters",
        "layercc.jobs",
        "layercc.weights",
    ),
    "layercc.cuda.programs": (
        "layercc.jobs.workload",
        "layercc.memory_plan",
        "layercc.weights",
    ),
    "layercc.cuda.backend": ("layercc.jobs.workload", "layercc.weights"),
    "layercc.cuda.torch_tensors": ("ir.dtypes",),
    "layercc.cuda.plan": ("layercc.description", "layercc.recording"),
    "layercc.frontends": ("ir", "layercc.own.bindings"),
    "layercc.frontends.keras": ("layercc.layers",),
    "layercc.layers": ("ir",),
    "layercc.own": ("ir", "layercc.kernels.replacing", "layercc.layers"),
    "layercc.passes": ("ir",),
    "layercc.lower": (
        "ir",
        "layercc.buffers",
        "layercc.jobs",
        "layercc.kernels",
        "layercc.memory_limit",
    ),
    "layercc.options": (
        "ir.diagnostics",
        "layercc.cpu.target",
        "layercc.cuda.target",
        "layercc.target",
    ),
    "layercc.session": (
        "ir",
        "layercc.cores",
        "layercc.lower",
        "layercc.memory_limit",
        "layercc.options",
        "layercc.passes",
        "layercc.profiling",
        "layercc.recording",
        "layercc.target",
    ),
    "layercc.compiler": (
        "ir",
        "layercc.frontends",
        "layercc.options",
        "layercc.session",
        "layercc.target",
    ),
    "layercc.integrations": ("ir", "layercc.compiler", "layercc.frontends"),
    "layercc.tools": (
        "ir",
        "layercc.cgroups",
        "layercc.compiler",
        "layercc.cores",
        "layercc.cuda.emit.registry",
        "layercc.kernels.expressions",  # to write kernels' names readably
        "layercc.frontends",
        "layercc.jobs",
        "layercc.layers",
        "layercc.lower",
        "layercc.options",
        "layercc.passes",
        "layercc.processor",
        "layercc.profiling",
        "layercc.session",
        "layercc.statistics",
        "layercc.timing",
    ),
    "layercc.tools.compare": (
        "layercc.buffers",
        "layercc.cpu",
        "layercc.program",
        "layercc.weights",
    ),
    "layercc.tools.doctor": (
        "layercc",
        "layercc.cgroups",
        "layercc.cores",
        "layercc.cpu.isa",
        "layercc.cpu.runtime.kernel_cache",
        "layercc.cpu.runtime.measured_limits",
        "layercc.kernels.cache",
        "layercc.processor",
    ),
    "layercc.onnx_backend": ("ir", "layercc", "layercc.frontends"),
    "layercc": ("ir", "layercc"),  # the package's face: names, loaded when first used
}

#: Folder → packages that it may not import, wherever in a file, and why.
FOREIGN: dict[str, tuple[set[str], str]] = {
    "ir": ({"numba", "llvmlite", "onnx", "torch", "keras"}, "shape checking needs NumPy only"),
    "layercc.layers": ({"numba", "llvmlite", "onnx", "keras"}, "the builder makes graphs only"),
    "layercc.frontends.onnx": ({"numba", "llvmlite", "torch", "keras"}, "ONNX needs onnx only"),
    "layercc.frontends.torch": ({"numba", "llvmlite", "onnx", "keras"}, "no detour by ONNX"),
    "layercc.own": ({"llvmlite", "onnx", "torch", "keras"}, "it knows no framework"),
    "layercc.frontends.keras": (
        {"numba", "llvmlite", "onnx", "torch", "tensorflow", "jax"},
        "any back end of Keras will do",
    ),
    "layercc.passes": ({"numba", "llvmlite", "onnx"}, "passes know graphs only"),
    "layercc.lower": ({"numba", "llvmlite", "onnx"}, "kernels are named, not built"),
    "layercc.runtime": ({"numba", "llvmlite", "onnx", "networkx"}, "it is shipped alone"),
    "layercc.jobs": ({"numba", "llvmlite", "onnx", "networkx"}, "jobs are data"),
    "layercc.kernels": ({"onnx", "networkx"}, "kernels know arrays, no graphs"),
    "layercc.cpu": ({"onnx", "networkx"}, "kernels know arrays, no graphs"),
    "layercc.cuda": ({"onnx", "networkx"}, "kernels know arrays, no graphs"),
}

#: Folders whose modules may not import Numba when they are imported: a warm start does without.
LAZY_NUMBA = (
    "layercc.cpu.algorithms",
    "layercc.cpu.emit",
    "layercc.cpu.kernels",
    "layercc.cpu.runtime",
    "layercc.cpu.executor",
    "layercc.cpu.trampoline",
    "layercc.cuda.kernels",
    "layercc.cuda.emit",
    "layercc.cuda.backend",
    "layercc.cuda.plan",
)
#: Modules that turn kernels into code.
COMPILERS = ("layercc.cpu.numba_target", "layercc.cuda.codegen.compiler")


@cache
def modules() -> dict[str, Path]:
    """All modules of the project: dotted name → file."""
    files = [path for package in ("ir", "layercc") for path in (ROOT / package).rglob("*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


@cache
def imports(module: str, top_level: bool = False) -> tuple[str, ...]:
    """Modules named in the import statements of a module, those inside functions included."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return tuple(_imported(_outside_functions(tree) if top_level else ast.walk(tree)))


def _imported(nodes: Iterable[ast.AST]) -> dict[str, None]:
    """The modules named in import statements, each once, in order."""
    found: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and not node.level, "imports are absolute here"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in modules() else node.module for name in members]
    return dict.fromkeys(found)


@cache
def imports_to_run(module: str) -> frozenset[str]:
    """Files of this project that one needs to do its work.

    They are those it imports, inside functions too (but not for type checkers alone), with the
    packages around them, which run first; and those it finds by going through a folder: that of
    a package that it imports, or its own if it is one.
    """
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = {name for name in _imported(ast.walk(tree)) if name in modules()}
    if "pkgutil" in imports(module):
        packages = {name for name in found if modules()[name].name == "__init__.py"}
        if modules()[module].name == "__init__.py":
            packages.add(module)
        for package in packages:
            found |= {name for name in modules() if name.rpartition(".")[0] == package}
    for name in list(found):
        while (name := name.rpartition(".")[0]) and not inside(module, name):
            found.add(name)
    return frozenset(found - {module})


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _outside_functions(child)


def inside(module: str, folder: str) -> bool:
    return module == folder or module.startswith(f"{folder}.")


def entry(module: str) -> str:
    """The entry of ALLOWED that counts for a module."""
    fitting = [folder for folder in ALLOWED if inside(module, folder)]
    assert fitting, f"{module} has no entry in ALLOWED"
    return max(fitting, key=len)


def family(module: str) -> str:
    """The folder, or module, directly below the package: what may import itself freely."""
    return ".".join(module.split(".")[: 1 if module.startswith("ir") else 2])


def may_import(module: str, imported: str) -> bool:
    if inside(imported, family(module)) and family(module) != "layercc":
        return True
    folder = entry(module)
    allowed = ALLOWED[folder]
    if folder != family(module):
        allowed += ALLOWED[family(module)]
    return any(
        imported == target if target == "layercc" else inside(imported, target)
        for target in allowed
    ) or (module == "layercc" and inside(imported, "layercc"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_go_one_way(folder):
    own = [module for module in modules() if entry(module) == folder]
    assert own, f"{folder} has no modules: remove its entry"
    wrong = [
        f"{module} imports {imported}"
        for module in own
        for imported in imports(module)
        if imported.split(".")[0] in ("ir", "layercc") and not may_import(module, imported)
    ]
    assert not wrong, f"{folder} may import {ALLOWED[folder] or 'itself only'}: {wrong}"


def test_the_folders_have_an_order():
    """ALLOWED itself has no cycle, the package's face and the tools that use it aside."""
    import networkx as nx

    flow = nx.DiGraph(
        (family(folder), family(target))
        for folder, targets in ALLOWED.items()
        for target in targets
        if family(folder) != family(target) and folder not in ("layercc", "layercc.onnx_backend")
    )
    assert nx.is_directed_acyclic_graph(flow), nx.find_cycle(flow)


def test_files_have_an_order():
    """No file needs another that needs it, however the import is written: a reader may start with
    what needs nothing."""
    import networkx as nx

    flow = nx.DiGraph((name, other) for name in modules() for other in imports_to_run(name))
    rings = [
        [edge[0] for edge in nx.find_cycle(flow.subgraph(ring))]
        for ring in nx.strongly_connected_components(flow)
        if len(ring) > 1
    ]
    assert not rings, f"files that import each other: {rings}"


@pytest.mark.parametrize("folder", FOREIGN)
def test_foreign_packages(folder):
    refused, why = FOREIGN[folder]
    wrong = [
        f"{module} imports {imported}"
        for module in modules()
        if inside(module, folder)
        for imported in imports(module)
        if imported.split(".")[0] in refused
    ]
    assert not wrong, f"{why}: {wrong}"


def imported_with(module: str) -> set[str]:
    """Modules that importing one brings, through others of this project as well."""
    found, todo = {module}, [module]
    while todo:
        current = todo.pop()
        new = set(imports(current, top_level=True) if current in modules() else ()) - found
        found |= new
        todo += new
    return found


def test_numba_is_imported_only_to_compile():
    lazy = [module for module in modules() if any(inside(module, f) for f in LAZY_NUMBA)]
    for module in [*lazy, *COMPILERS]:
        packages = {imported.split(".")[0] for imported in imported_with(module)}
        assert ("numba" in packages) == (module in COMPILERS), module


def test_one_file_knows_the_driver():
    """All of cuda.bindings is behind it, and imported when a device is asked for only."""
    knowing = {m for m in modules() if any(i.split(".")[0] == "cuda" for i in imports(m))}
    assert knowing == {"layercc.cuda.driver"}
    assert not any(i.split(".")[0] == "cuda" for i in imports("layercc.cuda.driver", True))


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ir", {"layercc", "numba", "llvmlite", "onnx", "networkx"}),
        ("import layercc", {"ir", "numpy", "numba", "onnx"}),
        ("import layercc.layers", {"numba", "llvmlite", "onnx"}),
        (
            "import layercc.session.model",
            {"numba", "llvmlite.binding", "onnx", "networkx", "layercc.recording"},
        ),
        ("import layercc; layercc.CpuTarget", {"layercc.cuda", "cuda"}),
        ("import layercc; layercc.CudaTarget('sm_80')", {"numba", "cuda", "layercc.cuda.backend"}),
        ("import layercc.compiler", {"numba", "onnx", "torch"}),
        ("import layercc.frontends.torch", {"numba", "onnx", "torch"}),
    ],
)
def test_what_an_import_brings(statement, absent):
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not absent & set(done.stdout.split())

"""`layercc compile`: compile a model and show what came out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from layercc.tools.options import (
    arrays_option,
    json_option,
    model_argument,
    precision_option,
    print_json,
    seed_option,
    threads_option,
)


@click.command(short_help="Compile a model.")
@model_argument
@arrays_option
@precision_option
@threads_option
@seed_option
@json_option
def command(
    model: Path,
    inputs: tuple[str, ...],
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Compile a model; print the time taken, its kernels, algorithms and memory plan.

    Kernels are kept in the cache, so that the next start is fast.

    \b
    Example:
      layercc compile resnet50.onnx --input x=8,3,224,224
    """
    from layercc.tools.session import compile_file

    session = compile_file(model, inputs, seed, precision, threads, show_progress=not as_json)
    shapes = {name: array.shape for name, array in session.inputs.items()}
    data = {
        "graph": session.model.graph.name,
        "load_seconds": session.load_seconds,
        "compile_seconds": session.compile_seconds,
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        **describe(session.model.plan(shapes, session.inputs)),
    }
    if as_json:
        print_json(data)
    else:
        click.echo(table(data))


def describe(plan: Any) -> dict[str, Any]:
    """What a plan runs, and its memory, or what NumPy runs in a partition, as JSON data."""
    from layercc.kernels.expressions import readable
    from layercc.session.partition import PartitionedPlan

    if isinstance(plan, PartitionedPlan):
        runs = {"fallback": plan.fallback, "elsewhere": plan.elsewhere}
        return {
            kind: [{"node": node.name, "op": node.op} for node in nodes]
            for kind, nodes in runs.items()
        }
    program = plan.program
    calls = Counter(readable(call.key) for call in program.calls)
    work: Counter[str] = Counter()
    for call in program.calls:
        work[readable(call.key)] += call.flops
    kernels = [
        {"kernel": kernel, "calls": count, "flops": work[kernel]}
        for kernel, count in calls.most_common()
    ]
    return {
        "kernels": kernels,
        "algorithms": algorithms(program),
        "calls": len(program.calls),
        "arena_bytes": program.arena_bytes,
        "constant_bytes": sum(array.nbytes for array in program.constants),
    }


def algorithms(program: Any) -> list[dict[str, Any]]:
    """Which algorithm computes layers of which shapes, where there was a choice; most work first.

    `shape_class` and `algorithm` are what `layercc.options.Options.choices` maps. `too_large` is
    the one that is expected to be faster, but for whose weights the model has no memory to spend.
    """
    layers: dict[tuple[str, str, str], set[str]] = {}
    work: Counter[tuple[str, str, str]] = Counter()
    for call in program.calls:
        if call.algorithm:
            choice = (call.shape_class, call.algorithm, call.too_large)
            layers.setdefault(choice, set()).add(call.node)
            work[choice] += call.flops
    return [
        {
            "shape_class": choice[0],
            "algorithm": choice[1],
            "too_large": choice[2],
            "layers": len(layers[choice]),
            "flops": flops,
        }
        for choice, flops in work.most_common()
    ]


def table(data: dict[str, Any]) -> str:
    """The same as text."""
    from ir.units import align, amount, seconds

    sums = [
        ["loaded in", seconds(data["load_seconds"])],
        ["compiled in", seconds(data["compile_seconds"])],
    ]
    tables = []
    if "fallback" in data:
        for kind, title in (("fallback", "run by NumPy"), ("elsewhere", "run by another target")):
            if data[kind]:
                rows = [[title, "op"], *([each["node"], each["op"]] for each in data[kind])]
                tables.append(align(rows))
        sums.append(["sections between", "planned when they first run"])
    else:
        rows = [["kernel", "calls", "work"]]
        for entry in data["kernels"]:
            work = amount(entry["flops"], "FLOP") if entry["flops"] else ""
            rows.append([entry["kernel"], str(entry["calls"]), work])
        tables.append(align(rows, right={1, 2}))
        if data["algorithms"]:
            rows = [["layers of shape", "layers", "work", "algorithm"]]
            for entry in data["algorithms"]:
                work, name = amount(entry["flops"], "FLOP"), entry["algorithm"]
                if entry["too_large"]:
                    name += f" ({entry['too_large']}: weights too large)"
                rows.append([entry["shape_class"], str(entry["layers"]), work, name])
            tables.append(align(rows, right={1, 2}))
        sums += [
            ["kernels", f"{len(data['kernels'])} for {data['calls']} calls"],
            ["activations", f"{amount(data['arena_bytes'], 'B')} in one arena"],
            ["constants", f"{amount(data['constant_bytes'], 'B')} packed"],
        ]
    shown = []
    for lines in tables:
        shown += [lines[0], "─" * max(map(len, lines)), *lines[1:], ""]
    return "\n".join([*shown, *align(sums)])

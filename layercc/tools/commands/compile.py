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
    """Compile a model; print the time taken, its kernels and its memory plan.

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
    """Kernels and memory of a plan, or what NumPy runs in a partition, as JSON data."""
    from layercc.kernels.expressions import readable
    from layercc.session.partition import PartitionedPlan

    if isinstance(plan, PartitionedPlan):
        return {"fallback": [{"node": node.name, "op": node.op} for node in plan.fallback]}
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
        "calls": len(program.calls),
        "arena_bytes": program.arena_bytes,
        "constant_bytes": sum(array.nbytes for array in program.constants),
    }


def table(data: dict[str, Any]) -> str:
    """The same as text."""
    from ir.units import align, amount, seconds

    sums = [
        ["loaded in", seconds(data["load_seconds"])],
        ["compiled in", seconds(data["compile_seconds"])],
    ]
    if "fallback" in data:
        rows = [["run by NumPy", "op"], *([each["node"], each["op"]] for each in data["fallback"])]
        lines = align(rows)
        sums.append(["sections between", "planned when they first run"])
    else:
        rows = [["kernel", "calls", "work"]]
        for entry in data["kernels"]:
            work = amount(entry["flops"], "FLOP") if entry["flops"] else ""
            rows.append([entry["kernel"], str(entry["calls"]), work])
        lines = align(rows, right={1, 2})
        sums += [
            ["kernels", f"{len(data['kernels'])} for {data['calls']} calls"],
            ["activations", f"{amount(data['arena_bytes'], 'B')} in one arena"],
            ["constants", f"{amount(data['constant_bytes'], 'B')} packed"],
        ]
    rule = "─" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], "", *align(sums)])

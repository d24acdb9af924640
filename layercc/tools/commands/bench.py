"""`layercc bench`: time a model, side by side with other runtimes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
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


class _Sizes(click.ParamType):
    """`1,2,4`."""

    name = "sizes"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[int, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not all(str(part).strip().isdecimal() and int(part) for part in parts):
            self.fail(f"{value!r}: a list of sizes such as 1,2,4 would fit", param, context)
        return tuple(int(part) for part in parts)


@click.command(short_help="Time a model against other runtimes.")
@model_argument
@arrays_option
@click.option(
    "--against",
    multiple=True,
    metavar="RUNTIME",
    help="onnxruntime, openvino, torch or inductor; 'none' for none. May be repeated. By default "
    "all installed.",
)
@click.option(
    "--batch",
    type=_Sizes(),
    metavar="SIZES",
    help="Sizes of the batch dim to measure, such as 1,2,4: a symbol, or the leading dim.",
)
@click.option(
    "--streams",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Callers at once, each on its part of the threads.",
)
@click.option(
    "--seconds",
    "--time",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Time to spend on each runtime, at each batch size.",
)
@click.option(
    "--iterations", type=click.IntRange(min=0), default=0, help="Calls to make, at the least."
)
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    help="Calls before measuring; by default as many as it takes until times are steady.",
)
@click.option(
    "--probe/--no-probe",
    default=True,
    help="Measure layercc against itself too, to know which differences are noise.  [default: on]",
)
@click.option(
    "--processes",
    is_flag=True,
    help="Also peak memory and the time to a first result, in fresh processes.",
)
@precision_option
@threads_option
@seed_option
@json_option
@click.option("--save", type=click.Path(dir_okay=False), help="Write the result to a JSON file.")
@click.option(
    "--against-file",
    "previous",
    type=click.Path(exists=True, dir_okay=False),
    help="Compare with a result that --save wrote.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the result: .svg, .png, .pdf or .html.",
)
def command(
    model: Path,
    inputs: tuple[str, ...],
    against: tuple[str, ...],
    batch: tuple[int, ...] | None,
    streams: int,
    seconds: float,
    iterations: int,
    warmup: int | None,
    probe: bool,
    processes: bool,
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
    save: str | None,
    previous: str | None,
    plot: Path | None,
) -> None:
    """Time a model, side by side with onnxruntime, OpenVINO and PyTorch where they are installed.

    \b
    Examples:
      layercc bench resnet50.onnx --input x=1,3,224,224 --threads 2
      layercc bench resnet50.onnx --batch 1,2,4,8 --save new.json --against-file old.json
      layercc bench resnet50.onnx --streams 4 --against openvino --plot load.svg
    """
    from layercc.cores import usable_cores
    from layercc.tools.bench.plot import check_plot
    from layercc.tools.bench.previous import compare
    from layercc.tools.bench.results import Benchmark
    from layercc.tools.bench.table import table
    from layercc.tools.benchmark import benchmark
    from layercc.tools.session import compile_file

    peers = _peers(against)
    old = Benchmark.load(previous) if previous else None  # before minutes are spent
    if plot is not None:
        check_plot(plot)
    if streams > 1:
        threads = max((threads or usable_cores()) // streams, 1)
    largest = max(batch) if batch else None
    session = compile_file(model, inputs, seed, precision, threads, not as_json, largest)
    result = benchmark(
        session.model,
        session.inputs,
        against=peers,
        seconds=seconds,
        iterations=iterations,
        warm_up=warmup,
        streams=streams,
        batch=batch or (),
        model=str(model) if model.suffix == ".onnx" and not batch else None,
        probe=probe,
        processes=processes,
        progress=_progress(as_json),
    )
    if save:
        result.save(save)
    if plot is not None:
        result.plot(plot)
    compared = compare(result, old) if old else None
    if as_json:
        print_json(result.to_dict() | ({"against": compared.to_dict()} if compared else {}))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(table(result, width))
    if compared:
        click.echo(f"\n{compared}")


def _peers(against: tuple[str, ...]) -> list[str]:
    """The runtimes to compare with. Raises UsageError for what is not known, or not installed."""
    from layercc.tools.benchmark import PEERS, installed_peers

    unknown = set(against) - {*PEERS, "none"}
    if unknown:
        known = ", ".join(PEERS)
        raise click.UsageError(f"unknown runtime {', '.join(sorted(unknown))}; there are {known}")
    absent = [name for name in against if name != "none" and not PEERS[name].is_installed]
    if absent:
        packages = " ".join(dict.fromkeys(PEERS[name].package for name in absent))
        raise click.UsageError(f"{', '.join(absent)}: not installed; pip install {packages}")
    return [name for name in against if name != "none"] if against else installed_peers()


def _progress(quiet: bool) -> Callable[[str], None]:
    """Says what goes on, to people at a terminal."""
    from rich.console import Console

    console = Console(stderr=True, quiet=quiet)

    def say(text: str) -> None:
        if console.is_terminal:
            console.print(text, style="dim", highlight=False)

    return say

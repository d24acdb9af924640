"""`layercc bench`: time a model, side by side with other runtimes."""

from __future__ import annotations

from pathlib import Path

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


@click.command(short_help="Time a model against other runtimes.")
@model_argument
@arrays_option
@click.option(
    "--against",
    multiple=True,
    metavar="RUNTIME",
    help="onnxruntime or openvino; 'none' for neither. May be repeated. By default all installed.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Time to spend on each runtime.",
)
@precision_option
@threads_option
@seed_option
@json_option
def command(
    model: Path,
    inputs: tuple[str, ...],
    against: tuple[str, ...],
    seconds: float,
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Time a model, side by side with onnxruntime and OpenVINO where they are installed.

    \b
    Example:
      layercc bench resnet50.onnx --input x=1,3,224,224 --threads 2
    """
    from layercc.tools.benchmark import PEERS, benchmark, installed_peers
    from layercc.tools.session import compile_file

    unknown = set(against) - {*PEERS, "none"}
    if unknown:
        known = ", ".join(PEERS)
        raise click.UsageError(f"unknown runtime {', '.join(sorted(unknown))}; there are {known}")
    peers = [name for name in against if name != "none"] if against else installed_peers()
    session = compile_file(model, inputs, seed, precision, threads, show_progress=not as_json)
    result = benchmark(session.model, session.inputs, against=peers, seconds=seconds)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(str(result))

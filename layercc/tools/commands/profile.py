"""`layercc profile`: where the time of a model goes."""

from __future__ import annotations

import json
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


@click.command(short_help="See where a model's time goes.")
@model_argument
@arrays_option
@click.option(
    "--by",
    type=click.Choice(["layer", "kind", "call"]),
    default="layer",
    show_default=True,
    help="What a row of the table is.",
)
@click.option("--top", type=click.IntRange(min=1), help="Show only the longest so many rows.")
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="A file to write a run to, as a trace that Perfetto and chrome://tracing open.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="A file to write a page to, that of `layercc report`.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=2.0,
    show_default=True,
    help="Time to spend on runs.",
)
@precision_option
@threads_option
@seed_option
@json_option
def command(
    model: Path,
    inputs: tuple[str, ...],
    by: str,
    top: int | None,
    trace: Path | None,
    page: Path | None,
    seconds: float,
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Run a model many times and show where the time goes: by layer, by kind of work, or by kernel
    call.

    \b
    Examples:
      layercc profile resnet50.onnx --input x=1,3,224,224 --top 10
      layercc profile lenet.onnx --by call --trace run.json
    """
    from rich.console import Console

    from layercc.profiling.tables import rich
    from layercc.tools.session import compile_file

    session = compile_file(model, inputs, seed, precision, threads, show_progress=not as_json)
    profile = session.profile(seconds)
    if trace is not None:
        trace.write_text(json.dumps(profile.chrome_trace()), encoding="utf-8")
    if page is not None:
        from layercc.tools.report.page import write_page

        shapes = {name: array.shape for name, array in session.inputs.items()}
        write_page(page, session.model.graph, profile.to_dict(), inputs=shapes)
    if as_json:
        print_json(profile.to_dict())
        return
    console = Console()
    if console.is_terminal:
        console.print(rich(profile, by, top, console.width))
    else:
        click.echo(profile.table(by, top))
    for file in filter(None, (trace, page)):
        click.echo(f"wrote {file}")

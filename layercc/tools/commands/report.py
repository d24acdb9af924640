"""`layercc report`: a page that shows a model, in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from layercc.tools.options import (
    arrays_option,
    json_option,
    load_model,
    model_argument,
    named,
    precision_option,
    print_json,
    seed_option,
    threads_option,
)


@click.command(short_help="Write a page that shows a model.")
@model_argument
@click.option(
    "-o",
    "--output",
    "page",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The file to write; that of the model with the suffix .html by default.",
)
@arrays_option
@click.option("--no-profile", is_flag=True, help="Do not compile and run the model.")
@click.option(
    "--profile",
    "profile_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Show this profile, which `layercc profile --json` printed, instead of taking one.",
)
@precision_option
@threads_option
@seed_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    page: Path | None,
    inputs: tuple[str, ...],
    no_profile: bool,
    profile_file: Path | None,
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Write a page that shows a model: its graph as imported and after passes, its layers, what is
    wrong with its shapes, and where its time goes. The page is one file and needs no network.

    \b
    Examples:
      layercc report resnet50.onnx --input x=1,3,224,224 -o resnet50.html
      layercc report lenet.onnx --no-profile

    Exits with 1 if the model has errors, which the page shows.
    """
    from ir.checking import INPUT_FAULTS
    from ir.diagnostics import LayerccError
    from layercc.tools.report.page import write_page

    page = page or model.with_suffix(".html")
    graph, profile, missing = None, None, "The page was made with --no-profile."
    if profile_file is not None:
        profile = _read_profile(profile_file)
    elif not no_profile:
        try:
            graph, profile = _profiled(model, inputs, precision, threads, seed, not as_json)
        except LayerccError as error:
            missing = str(error)
    graph = graph or load_model(model)
    try:
        report = write_page(page, graph, profile, missing=missing, inputs=_shapes(inputs))
    except OSError as error:
        raise click.UsageError(f"cannot write {page}: {error}") from error
    if as_json:
        data = {"graph": graph.name, "file": str(page), "profiled": profile is not None}
        data["why_not"] = "" if profile else missing
        print_json({**data, "errors": len(report.errors), "warnings": len(report.warnings)})
    else:
        click.echo(f"wrote {page}")
        if profile is None and not no_profile:
            click.echo(f"without a profile: {missing}", err=True)
    if not report.ok:
        context.exit(2 if any(found.code in INPUT_FAULTS for found in report.errors) else 1)


def _profiled(
    path: Path,
    inputs: tuple[str, ...],
    precision: str,
    threads: int | None,
    seed: int,
    show_progress: bool,
) -> tuple[Any, dict[str, Any]]:
    """The graph, and a profile of its runs. Raises LayerccError if it cannot be run."""
    from layercc.tools.session import compile_file

    session = compile_file(path, inputs, seed, precision, threads, show_progress)
    return session.model.graph, session.profile().to_dict()


def _shapes(inputs: tuple[str, ...]) -> dict[str, Any]:
    """The dims asked for, by input; of arrays in files, theirs."""
    from layercc.tools.arrays import load_array
    from layercc.tools.options import dims

    return {
        name: load_array(Path(text)).shape if text.endswith(".npy") else dims(text)
        for name, text in named(inputs).items()
    }


def _read_profile(path: Path) -> dict[str, Any]:
    """Raises UsageError for a file that holds no profile."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot read {path}: {error}") from error
    calls = data.get("calls") if isinstance(data, dict) else None
    known = isinstance(calls, list) and all(
        isinstance(call, dict) and {"node", "layer", "op", "kernel", "seconds"} <= call.keys()
        for call in calls
    )
    if not known:
        raise click.UsageError(f"{path} is no profile; `layercc profile --json` prints one")
    return data

"""`layercc check`: do the shapes of a model fit together?"""

from __future__ import annotations

from pathlib import Path

import click

from layercc.tools.options import (
    dims,
    input_option,
    json_option,
    load_model,
    model_argument,
    named,
    print_json,
)


@click.command(short_help="Check that a model's shapes fit together.")
@model_argument
@input_option("Dims to check with instead of the declared ones. May be repeated.", "NAME=DIMS")
@json_option
@click.pass_context
def command(context: click.Context, model: Path, inputs: tuple[str, ...], as_json: bool) -> None:
    """Check that a model's shapes fit together, and print its layer table.

    \b
    Example:
      layercc check resnet50.onnx --input x=N,3,224,224

    Exits with 1 if the model has errors.
    """
    from ir.checking import INPUT_FAULTS, check

    report = check(load_model(model), {name: dims(text) for name, text in named(inputs).items()})
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(str(report))
    if not report.ok:
        context.exit(2 if any(found.code in INPUT_FAULTS for found in report.errors) else 1)

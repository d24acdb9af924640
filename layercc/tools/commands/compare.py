"""`layercc compare`: where do two models, or two runtimes, first depart?"""

from __future__ import annotations

from pathlib import Path

import click

from layercc.tools.options import (
    arrays_option,
    json_option,
    precision_option,
    print_json,
    seed_option,
    threads_option,
)


@click.command(short_help="Find the first layer that departs from another model or runtime.")
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.argument("other", type=click.Path(exists=True, path_type=Path), required=False)
@click.option(
    "--on",
    default="layercc",
    show_default=True,
    metavar="RUNTIME",
    help="What runs MODEL: layercc, reference, reference64, onnxruntime or openvino.",
)
@click.option(
    "--against",
    metavar="RUNTIME|SETTING",
    help="What the other side runs on: a runtime, or layercc with another setting "
    "(precision=medium, isa=avx2, threads=1). By default reference64, the interpreter in double "
    "precision; with OTHER, what MODEL runs on.",
)
@click.option("--passes", is_flag=True, help="Look for the fault in layercc: pass, kernel, plan.")
@click.option("--all", "every_layer", is_flag=True, help="Show every layer in the table.")
@click.option(
    "--memory",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="MB of values to hold at a time.",
)
@arrays_option
@precision_option
@threads_option
@seed_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    other: Path | None,
    on: str,
    against: str | None,
    passes: bool,
    every_layer: bool,
    memory: int,
    inputs: tuple[str, ...],
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Compare a model with another one, or with itself on another runtime, layer by layer.

    Both get the same inputs. The first layer that departs is named: by how much, where, and whether
    its weights explain it.

    \b
    Examples:
      layercc compare lenet.onnx
      layercc compare lenet.onnx --against onnxruntime
      layercc compare lenet.onnx --against precision=medium --passes
      layercc compare lenet.onnx lenet2.onnx

    Exits with 1 if something departs.
    """
    from typing import cast

    from rich.console import Console

    from layercc.options import Precision
    from layercc.tools.compare import compare
    from layercc.tools.session import given_arrays

    arrays, shapes = given_arrays(inputs)
    with Console(stderr=True, quiet=as_json).status(f"comparing {model.name}"):
        result = compare(
            model,
            other,
            on=on,
            against=against,
            inputs=arrays,
            shapes=shapes,
            seed=seed,
            precision=cast(Precision, precision),
            threads=threads,
            passes=passes,
            memory=memory << 20,
        )
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(result.text(every_layer))
    if not result.same:
        context.exit(1)

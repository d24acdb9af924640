"""`layercc inspect`: the graph as text, as imported or after a pass."""

from __future__ import annotations

from pathlib import Path

import click

from layercc.tools.options import json_option, load_model, print_json


@click.command(short_help="Print a model's graph.")
@click.argument("model", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--after", metavar="PASS", help="Run the passes up to this one; 'all' runs all.")
@click.option("--passes", "list_passes", is_flag=True, help="List the passes, in their order.")
@click.option("--sources", is_flag=True, help="Add where nodes came from, as comments.")
@json_option
def command(
    model: Path | None, after: str | None, list_passes: bool, sources: bool, as_json: bool
) -> None:
    """Print a model's graph: as imported, or after a pass.

    \b
    Examples:
      layercc inspect lenet.onnx
      layercc inspect lenet.onnx --after fuse_epilogues
      layercc inspect --passes
    """
    if list_passes:
        print_passes(as_json)
        return
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'.")
    from ir.text import print_graph
    from ir.typefill import fill_types

    graph = load_model(model)
    if after is not None:
        from layercc.passes import PIPELINE, run_passes

        names = [each.name for each in PIPELINE]
        if after not in (*names, "all"):
            raise click.UsageError(f"no pass is called {after!r}; there are {', '.join(names)}")
        graph = run_passes(graph, until=None if after == "all" else after)
    fill_types(graph)
    text = print_graph(graph, sources=sources)
    if as_json:
        print_json({"graph": graph.name, "after": after, "text": text})
    else:
        click.echo(text, nl=False)


def print_passes(as_json: bool) -> None:
    from ir.units import align
    from layercc.passes import PIPELINE

    rows = [[each.name, each.stage, each.description] for each in PIPELINE]
    if as_json:
        print_json([dict(zip(("name", "stage", "description"), row, strict=True)) for row in rows])
    else:
        click.echo("\n".join(align(rows)))

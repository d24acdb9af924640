"""`layercc demo`: the bundled model at work."""

from __future__ import annotations

import click

from layercc.tools.options import json_option


@click.command(short_help="See the bundled model read digits.")
@json_option
def command(as_json: bool) -> None:
    """Compile the bundled handwritten-digits model and let it read digits.

    \b
    Example:
      layercc demo
    """
    from rich.console import Console

    from layercc.tools import demo

    demo.run(Console(), as_json)

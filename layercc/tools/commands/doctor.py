"""`layercc doctor`: what this machine is and what layercc makes of it."""

from __future__ import annotations

import sys

import click

from layercc.tools.options import json_option, print_json


@click.command(short_help="Tell what this machine is and what may be wrong with it.")
@click.option("--no-measure", is_flag=True, help="Leave out the machine's limits (some seconds).")
@json_option
@click.pass_context
def command(context: click.Context, no_measure: bool, as_json: bool) -> None:
    """Tell what this machine is, what layercc makes of it, and what may be wrong: the thing to
    paste into a bug report. It has no names of users, and no paths of theirs.

    \b
    Example:
      layercc doctor --no-measure

    Exits with 1 if a finding is an error.
    """
    from layercc.tools.doctor.examine import examine
    from layercc.tools.doctor.registry import Machine

    if sys.stderr.isatty():
        click.echo("examining this machine, which takes some seconds", err=True)
    found = examine(Machine(measure=not no_measure))
    if as_json:
        print_json(found.to_dict())
    else:
        click.echo(str(found))
    if not found.ok:
        context.exit(1)

"""The command line: `layercc COMMAND MODEL`. A command is a file in `layercc/tools/commands`.

Exit codes: 0 good; 1 the model is wrong or cannot be compiled; 2 the command line is wrong, or the
inputs it names.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import click

from layercc.tools import commands


class _Commands(click.Group):
    """Finds commands by module name. Modules import what is heavy only when their command runs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        command = importlib.import_module(f"{commands.__name__}.{name}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from ir.diagnostics import InputError, LayerccError  # too slow for --help

            if isinstance(error, InputError):
                raise click.UsageError(str(error)) from error
            if not isinstance(error, LayerccError):
                raise
            click.echo(f"error: {error}", err=True)
            context.exit(1)


def version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version as installed

        click.echo(f"layercc {installed('layercc')}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=version,
    help="Show the version and exit.",
)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A Python module to import before, which defines ops of your own. May be repeated.",
)
def main(modules: tuple[str, ...] = ()) -> None:
    """Compile neural networks to fast native code, check their shapes, and measure them.

    MODEL is an ONNX file, a graph in layercc's text form (.graph), or a folder that holds one with
    its weights.
    """
    for module in modules:
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise click.UsageError(f"--import {module}: {error}") from error

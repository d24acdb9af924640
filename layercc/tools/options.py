"""Options and arguments that commands share, and how their values read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ir import Graph

model_argument = click.argument("model", type=click.Path(exists=True, path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="Threads to run on; all usable cores by default."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of random inputs."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["highest", "high", "medium"]),
    default="highest",
    show_default=True,
    help="How much accuracy may be given for speed.",
)


def input_option(help: str, metavar: str) -> Callable[..., Any]:
    return click.option("--input", "inputs", multiple=True, metavar=metavar, help=help)


arrays_option = input_option(
    "An array, or the dims of a random one. May be repeated; inputs not named are random, "
    "symbolic dims 1.",
    "NAME=FILE.npy|NAME=DIMS",
)


def named(options: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping. Raises UsageError."""
    found: dict[str, str] = {}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator or not name:
            raise click.UsageError(f"--input {option!r}: NAME=VALUE would fit")
        if name in found:
            raise click.UsageError(f"--input {name!r} is given twice")
        found[name] = value
    return found


def dims(text: str) -> list[str | int]:
    """`N,3,224,224` as dims; commas in parentheses do not separate; the empty text has none."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    texts = [part.strip() for part in parts] if text.strip() else []
    if not all(texts):
        raise click.UsageError(f"dims {text!r}: a list such as N,3,224,224 would fit")
    return [int(part) if part.lstrip("-").isdecimal() else part for part in texts]


def load_model(path: Path) -> Graph:
    """The graph in a model file: ONNX, or another form by its suffix or in a folder."""
    import ir

    if path.is_dir():
        return ir.load_text(path)
    if path.suffix == ".graph":
        return ir.parse_graph(_read(path), file=path.name)
    from layercc.frontends import read_model

    return read_model(path)


def _read(path: Path) -> str:
    from ir.diagnostics import InvalidModelError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidModelError(f"cannot read {path}: {error}") from error


def print_json(data: Any) -> None:
    """Prints JSON; NaN and infinities, which it lacks, become null."""
    click.echo(json.dumps(_finite(data), indent=2, allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(item) for item in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data

"""`layercc run`: run a model once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    import numpy as np


@click.command(short_help="Run a model once.")
@model_argument
@arrays_option
@click.option(
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder to write the outputs to, as NAME.npy.",
)
@precision_option
@threads_option
@seed_option
@json_option
def command(
    model: Path,
    inputs: tuple[str, ...],
    folder: Path | None,
    precision: str,
    threads: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Run a model on arrays from files, or on random ones; summarise its outputs.

    \b
    Examples:
      layercc run lenet.onnx --input x=digit.npy --output results
      layercc run resnet50.onnx --input x=1,3,224,224 --seed 7
    """
    import numpy as np

    from layercc.tools.session import compile_file

    session = compile_file(model, inputs, seed, precision, threads, show_progress=not as_json)
    outputs = session.model.run(session.inputs)
    rows = [summary(name, array) for name, array in outputs.items()]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for row, array in zip(rows, outputs.values(), strict=True):
            row["file"] = str(folder / f"{file_name(row['name'])}.npy")
            np.save(row["file"], array, allow_pickle=False)
    if as_json:
        print_json(rows)
    else:
        click.echo(table(rows))


def summary(name: str, array: np.ndarray) -> dict[str, Any]:
    """What an array holds, as JSON data; the statistics are None for an empty array."""
    import numpy as np

    from ir.dtypes import dtype_of

    numbers = array.astype(np.float64) if array.dtype.kind != "c" else np.abs(array)
    known = bool(array.size)
    return {
        "name": name,
        "dtype": str(dtype_of(array)),
        "shape": list(array.shape),
        "min": float(numbers.min()) if known else None,
        "mean": float(numbers.mean()) if known else None,
        "max": float(numbers.max()) if known else None,
    }


def file_name(name: str) -> str:
    """A value name as a file name: characters that file systems treat specially become `_`."""
    plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    return plain if plain.strip(".") else "_"


def table(rows: list[dict[str, Any]]) -> str:
    from ir.types import format_shape
    from ir.units import align

    cells = [["output", "type", "min", "mean", "max"]]
    for row in rows:
        numbers = ["" if row[key] is None else f"{row[key]:.6g}" for key in ("min", "mean", "max")]
        cells.append([row["name"], row["dtype"] + format_shape(row["shape"]), *numbers])
    lines = align(cells, right={2, 3, 4})
    written = [f"wrote {row['file']}" for row in rows if "file" in row]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:], *written])

"""The result of a benchmark: shown, drawn, written to a file, and read from one."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ir.diagnostics import InputError
from layercc.tools.bench.figures import Figures
from layercc.tools.bench.json_data import read
from layercc.tools.bench.plot import draw
from layercc.tools.bench.table import table

FORMAT = "layercc.benchmark"
#: Of the layout of files, which is that of `Figures`. A reader refuses versions it does not know.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Benchmark(Figures):
    """The result of `benchmark`; `str` of it is a table."""

    def to_dict(self) -> dict[str, Any]:
        """JSON data; seconds."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    def save(self, path: str | Path) -> None:
        """Writes a JSON file, from which `Benchmark.load` makes an equal one."""
        text = json.dumps(_named(self.to_dict()), allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> Benchmark:
        """Reads what `save` wrote. Raises InputError for anything else."""
        path = Path(path)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"cannot read {path}: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InputError(f"{path} is no file of `layercc bench --save`")
        version = data.get("version")
        if version != VERSION:
            raise InputError(
                f"{path} has version {version!r} of its layout; this layercc reads {VERSION}"
            )
        found: Benchmark = read(Benchmark, data, str(path))
        for point in found.points:
            for timing in point.timings:
                if not timing.rounds or not all(
                    map(_is_time, [timing.median.value, *timing.rounds])
                ):
                    raise InputError(f"{path}: the times of {timing.runtime!r} are no times")
        return found

    def plot(self, path: str | Path) -> None:
        """Draws it, as the suffix says: .svg, .png, .pdf or .html.

        Raises InputError for another suffix, or where matplotlib is not installed.
        """
        draw(self, Path(path))

    def __str__(self) -> str:
        return table(self)


def _is_time(seconds: float) -> bool:
    return 0 < seconds < math.inf


def _named(data: Any) -> Any:
    """JSON has no infinities and no NaN: they are written by their names."""
    if isinstance(data, dict):
        return {key: _named(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_named(item) for item in data]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data

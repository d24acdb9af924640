"""What a comparison has found: as data, and for people to read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ir.types import format_shape
from ir.units import align as columns
from layercc.tools.compare.difference import Difference
from layercc.tools.compare.layers import Layer
from layercc.tools.compare.weights import WeightDifference

#: `same`: no layer departs, nor do outputs. `layer`: a layer departs. `weights`: only weights
#: differ. `amplified`: outputs differ as they do by any rounding. `grows`: they differ by more,
#: though no layer departs by itself. `whole`: only in the model as a whole, uncut. `pass`,
#: `kernel`, `plan`: what `--passes` has found.
Verdict = Literal[
    "same", "layer", "weights", "amplified", "grows", "whole", "pass", "kernel", "plan"
]
_BARS = "▁▂▃▄▅▆▇█"
#: The errors that the lowest and the highest bar stand for, as powers of ten.
_LOWEST, _HIGHEST = -9, 0
#: Layers in the table, unless all are asked for.
_ROWS = 12
_WIDTH = 72


@dataclass
class Comparison:
    """The result of `compare`; `str` of it is a report.

    `left` and `right` say what ran the models, `inputs` the dims that they ran on. `outputs`: by
    name, how those of the models as they are differ. `layers`: in order, where they were looked at.
    `culprit`: the first layer that departs. `weights`: those that differ. `verdict` and what it
    says in words (`said`); `steps`: how that was found out, a line each.
    """

    graph: str
    left: str
    right: str
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, Difference] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    culprit: Layer | None = None
    weights: list[WeightDifference] = field(default_factory=list)
    alone: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    notes: list[str] = field(default_factory=list)
    verdict: Verdict = "same"
    said: str = ""
    steps: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether nothing departs that rounding does not explain."""
        return self.verdict in ("same", "amplified")

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "graph": self.graph,
            "left": self.left,
            "right": self.right,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "same": self.same,
            "verdict": self.verdict,
            "said": self.said,
            "found": self.found,
            "steps": self.steps,
            "culprit": self.culprit and self.culprit.to_dict(),
            "outputs": {name: each.to_dict() for name, each in self.outputs.items()},
            "weights": [each.to_dict() for each in self.weights],
            "layers": [each.to_dict() for each in self.layers],
            "alone": {"left": self.alone[0], "right": self.alone[1]},
            "notes": self.notes,
        }

    def __str__(self) -> str:
        return self.text()

    def text(self, every_layer: bool = False) -> str:
        """The report; with `every_layer`, none is left out of the table."""
        shapes = ", ".join(f"{name}{format_shape(dims)}" for name, dims in self.inputs.items())
        lines = [f"{self.graph}: {self.left} against {self.right}, on {shapes or 'no inputs'}"]
        lines += [f"note: {note}" for note in self.notes]
        for side, names in zip(("first", "second"), self.alone, strict=True):
            if names:
                some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                lines.append(f"{len(names)} nodes of the {side} have no partner: {some}")
        lines.append("")
        if self.weights:
            lines += [str(each) for each in self.weights[:_ROWS]]
            if len(self.weights) > _ROWS:
                lines.append(f"... and {len(self.weights) - _ROWS} more weights")
            lines.append("")
        if self.layers:
            lines += [*self._table(every_layer), "", *growth(self.layers), ""]
        lines += [f"output {name!r}: {each}" for name, each in self.outputs.items()]
        lines += ["", *self.steps] if self.steps else [""]
        return "\n".join([*lines, self.said])

    def _table(self, every_layer: bool) -> list[str]:
        rows = [["layer", "op", "local error", "tolerance", "accumulated", "norm", ""]]
        shown = range(len(self.layers)) if every_layer else self._of_interest()
        last = -1
        for at in shown:
            if at != last + 1:
                rows.append([f"... {at - last - 1} more", "", "", "", "", "", ""])
            rows.append(_row(self.layers[at], self.layers[at] is self.culprit))
            last = at
        if last + 1 != len(self.layers):
            rows.append([f"... {len(self.layers) - last - 1} more", "", "", "", "", "", ""])
        lines = columns(rows, right={2, 3, 4, 5})
        return [lines[0], "─" * max(map(len, lines)), *lines[1:]]

    def _of_interest(self) -> list[int]:
        """The layers around the one that departs, and the worst ones; in order."""
        total = len(self.layers)
        if total <= _ROWS:
            return list(range(total))
        chosen = {0, total - 1}
        if self.culprit is not None:
            at = next(i for i, layer in enumerate(self.layers) if layer is self.culprit)
            chosen.update(range(max(0, at - 2), min(total, at + 3)))
        worst = sorted(range(total), key=lambda i: (not self.layers[i].departs, -self._excess(i)))
        for index in worst:
            if len(chosen) >= _ROWS:
                break
            chosen.add(index)
        return sorted(chosen)

    def _excess(self, index: int) -> float:
        """The local error of a layer over its tolerance."""
        local = self.layers[index].local
        if local is None:
            return -1.0
        return local.error / local.tolerance if local.tolerance else local.error


def _row(layer: Layer, culprit: bool) -> list[str]:
    def number(found: Difference | None, part: str) -> str:
        if found is None:
            return "?"
        if found.kind in ("shape", "dtype"):
            return found.kind
        value = getattr(found, part)
        return "NaN/Inf" if math.isinf(value) else f"{value:.1e}" if value else "0"

    local = layer.local
    mark = "◀ departs" if culprit else "departs" if layer.departs else layer.note[:60]
    bound = f"{local.tolerance:.1e}" if local is not None and local.tolerance else ""
    accumulated, node = layer.accumulated, layer.pair.node
    errors = [number(local, "error"), bound, number(accumulated, "error")]
    return [layer.pair.left, node.own_op, *errors, number(accumulated, "norm"), mark]


def growth(layers: Sequence[Layer]) -> list[str]:
    """The accumulated and the local errors from the inputs to the outputs, as bars on a scale of
    powers of ten; where there are more layers than columns, a column is the worst of several."""
    scale = f"{_BARS[0]} 1e{_LOWEST} or less ... {_BARS[-1]} 1 or more"
    accumulated = [None if x.accumulated is None else x.accumulated.error for x in layers]
    local = [None if x.local is None else x.local.error for x in layers]
    return [
        f"error from input to output ({scale})",
        f"  accumulated {bars(accumulated)}",
        f"  local       {bars(local)}",
    ]


def bars(errors: Sequence[float | None]) -> str:
    """A bar for each error, or for each group of neighbours; a space where none is known."""
    size = max(1, -(-len(errors) // _WIDTH))
    made = ""
    for start in range(0, len(errors), size):
        known = [error for error in errors[start : start + size] if error is not None]
        made += _bar(max(known)) if known else " "
    return made


def _bar(error: float) -> str:
    if error <= 10.0**_LOWEST:
        return _BARS[0]
    if error >= 1:
        return _BARS[-1]
    share = (math.log10(error) - _LOWEST) / (_HIGHEST - _LOWEST)
    return _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]

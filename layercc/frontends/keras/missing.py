"""What of a model has no translation."""

from __future__ import annotations

from collections import Counter, defaultdict

from ir.diagnostics import UnsupportedError


class Missing:
    """Layers and ops without a translation, with reasons, and the paths of the layers they are
    in."""

    def __init__(self) -> None:
        self._found: dict[str, Counter[str]] = defaultdict(Counter)

    def note(self, what: str, path: str) -> None:
        self._found[what][repr(path) if path else "the model itself"] += 1

    def raise_for_any(self, where: str) -> None:
        """Raises UnsupportedError that lists all that was noted, the most frequent first."""
        if not self._found:
            return
        lines = [
            f"  {what} ×{paths.total()} in {', '.join(paths)}"
            for what, paths in sorted(self._found.items(), key=lambda item: -item[1].total())
        ]
        count = "1 layer or op" if len(lines) == 1 else f"{len(lines)} layers and ops"
        listed = "\n".join(lines)
        op = next((what for what in self._found if what.startswith("keras.ops.")), None)
        if op is not None and " (" not in op:
            name = op.removeprefix("keras.ops.")
            listed += f"\n@translates_op({name!r}) on a function in layercc/frontends/keras/ops"
            listed += " adds one"
        if any(not what.startswith("keras.ops.") for what in self._found):
            listed += "\n@lc.op(keras=...) on a function stands for a layer: docs/own-layers.md"
        raise UnsupportedError(
            f"{where} uses {count} that from_keras has no translation for:\n{listed}",
            dict.fromkeys(what.partition(" ")[0] for what in self._found),
        )

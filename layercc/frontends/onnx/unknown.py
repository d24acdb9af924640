"""Ops of a model that layercc does not know: which, how often, and where they are."""

from __future__ import annotations

from collections import defaultdict

from ir.diagnostics import UnsupportedError

#: Places of an op that a message names.
_MOST_PLACES = 8


class Unknown:
    """Unknown ops, noted one by one."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = defaultdict(list)

    def note(self, op: str, place: str) -> None:
        """An op, and the node of the model that it is in, with the functions around it."""
        self._places[op].append(place)

    def raise_for_any(self, where: str) -> None:
        """Raises UnsupportedError that names every op that was noted, how often it occurs, where,
        and how one is added."""
        if not self._places:
            return
        ranked = sorted(self._places.items(), key=lambda item: -len(item[1]))
        listed = ", ".join(f"{op} ×{len(places)}" for op, places in ranked)
        ops = "1 op" if len(ranked) == 1 else f"{len(ranked)} ops"
        lines = [f"{where} uses {ops} layercc does not know: {listed}"]
        lines += [f"  {op}: {_named(places)}" for op, places in ranked]
        domain, _, name = next((op for op, _ in ranked if "." in op), "").rpartition(".")
        if domain and " " not in name:
            how = f"@lc.op(domain={domain!r}, name={name!r}) on a function adds one"
        else:
            how = "@lc.op on a function adds an op, in a domain other than ONNX's"
        lines.append(f"{how}: docs/own-layers.md")
        raise UnsupportedError("\n".join(lines), [op for op, _ in ranked])


def _named(places: list[str]) -> str:
    kept = list(dict.fromkeys(places))
    more = f" and {len(kept) - _MOST_PLACES} more" if len(kept) > _MOST_PLACES else ""
    return ", ".join(map(repr, kept[:_MOST_PLACES])) + more

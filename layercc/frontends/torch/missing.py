"""What of a program has no translation."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from ir.diagnostics import UnsupportedError
from layercc.frontends.torch.paths import module_of


class Missing:
    """Ops without a translation, with reasons where there are any, and the modules of each."""

    def __init__(self) -> None:
        self._found: dict[str, Counter[str]] = defaultdict(Counter)

    def note(self, node: Any, what: str) -> None:
        path, _ = module_of(node)
        self._found[what][repr(path) if path else "forward"] += 1

    @property
    def count(self) -> int:
        """How many nodes have been noted."""
        return sum(modules.total() for modules in self._found.values())

    def raise_for_any(self, where: str) -> None:
        """Raises UnsupportedError that lists all that was noted, the most frequent first."""
        if not self._found:
            return
        lines = [
            f"  {what} ×{modules.total()} in {', '.join(modules)}"
            for what, modules in sorted(self._found.items(), key=lambda item: -item[1].total())
        ]
        count = "1 op" if len(lines) == 1 else f"{len(lines)} ops"
        listed = "\n".join(lines)
        unknown = next((what for what in self._found if " (" not in what), "")
        if unknown:
            op = unknown.removeprefix("aten.").removesuffix(".default")
            how = "on a function in layercc/frontends/torch/ops adds one"
            if unknown.startswith("aten."):
                listed += f"\n@translates({op!r}) {how}"
            else:
                custom = op.replace(".", "::", 1)
                listed += f"\n@lc.op(torch={custom!r}) on a function adds one: docs/own-layers.md"
        raise UnsupportedError(
            f"{where} uses {count} that from_torch has no translation for:\n{listed}",
            dict.fromkeys(what.partition(" ")[0] for what in self._found),
        )

"""Modules that write what they keep, or what they are given."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from torch.export.graph_signature import OutputKind

from ir.diagnostics import UnsupportedError

_INPUTS = "forward"  # what writes the inputs


def refuse_writes(program: Any, module: Any, where: str) -> None:
    """Raises UnsupportedError that names every parameter, buffer and input which a program writes.

    `module` is what it was exported from, if that is known.
    """
    writes: dict[str, Counter[str]] = defaultdict(Counter)
    for spec in program.graph_signature.output_specs:
        if spec.kind in (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION):
            writes[str(spec.target).rpartition(".")[0]][repr(spec.target)] += 1
        elif spec.kind is OutputKind.USER_INPUT_MUTATION:
            writes[_INPUTS][repr(spec.target)] += 1
    if not writes:
        return
    said, trains = [], False
    for path, names in writes.items():
        owner = None if path == _INPUTS else _submodule(module, path)
        kind = path if owner is None else f"{type(owner).__name__} {path!r}"
        training = owner is not None and owner.training
        trains = trains or training
        mode = " (in training mode)" if training else " (its inputs)" if path == _INPUTS else ""
        said.append(f"{kind}{mode} writes {', '.join(names)}")
    fits = "module.eval()" if trains else "a forward that returns the new value"
    raise UnsupportedError(f"{where} changes state: {'; '.join(said)}. {fits} would fit")


def _submodule(module: Any, path: str) -> Any:
    """The module of that path; None if there is none."""
    return None if module is None else dict(module.named_modules()).get(path)

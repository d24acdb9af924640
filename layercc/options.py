"""What a caller of `lc.compile` asked for, as one value that is passed down and pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal, get_args

from ir.diagnostics import UnsupportedError
from layercc.cpu.target import CpuTarget
from layercc.target import Target

Precision = Literal["highest", "high", "medium"]


@dataclass(frozen=True)
class Options:
    """`threads`: how many a run may use, all usable cores if None. `precision`: the least that
    results must keep, as in `torch.set_float32_matmul_precision`. `choices` overrule which
    algorithm computes a layer: a mapping of classes of shapes to names, both as `layercc compile`
    prints them, kept as sorted pairs. An algorithm that does not fit a layer is passed over; a
    plan raises ValueError for a name that none has.

    Raises ValueError for a value that none of these can have, TypeError for a number of threads
    that is none.
    """

    target: Target = field(default_factory=CpuTarget)
    precision: Precision = "highest"
    threads: int | None = None
    choices: Mapping[str, str] | tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        known = get_args(Precision)
        if not isinstance(self.precision, str) or self.precision not in known:
            raise ValueError(f"precision is one of {', '.join(known)}, not {self.precision!r}")
        if self.threads is not None:
            if isinstance(self.threads, bool) or not isinstance(self.threads, Integral):
                raise TypeError(f"threads is an integer or None, not {self.threads!r}")
            if self.threads < 1:
                raise ValueError(f"threads must be at least 1 or None, not {self.threads}")
            if not self.target.takes_threads:
                raise ValueError(f"threads: none run a model on {self.target}; leave them out")
            object.__setattr__(self, "threads", int(self.threads))
        object.__setattr__(self, "choices", tuple(sorted(dict(self.choices).items())))


def target_of(given: Any) -> Target:
    """The target that a caller means: one itself, or its name.

    Raises UnsupportedError for a name that is not known, TypeError for what is neither.
    """
    if isinstance(given, Target):
        return given
    if not isinstance(given, str):
        kind = type(given).__name__
        raise TypeError(f"target: a name or a Target would fit; a {kind} was given")
    if given == "cpu":
        return CpuTarget()
    if given == "cuda" or given.startswith("cuda:"):
        from layercc.cuda.target import CudaTarget

        return CudaTarget(given)
    raise UnsupportedError(f"target {given!r} is not known; 'cpu', 'cuda' and 'cuda:1' are")

"""A benchmark beside one that was saved before."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ir.diagnostics import InputError
from ir.units import align
from ir.units import seconds as readable
from layercc.statistics import interval
from layercc.tools.bench.figures import Estimate, Figures, Point, Timing
from layercc.tools.bench.measure import OWN, verdict

#: Of each of the two medians, so that their ratio has 95 %.
_CONFIDENCE = 0.975


@dataclass(frozen=True, slots=True)
class Change:
    """One runtime's median time over that of the older run, at one point; seconds.

    `margin`: the share by which it must differ for `verdict` to be other than `no difference`.
    """

    batch: int | None
    runtime: str
    old: float
    new: float
    ratio: Estimate
    margin: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences`: what the runs do not have in common; `str` of it is a table."""

    made: str
    changes: list[Change]
    differences: list[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON data; seconds."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [["batch", "runtime", "old p50", "new p50", "new/old", "95 %", ""]]
        for change in self.changes:
            rows.append(
                [
                    "" if change.batch is None else str(change.batch),
                    change.runtime,
                    readable(change.old),
                    readable(change.new),
                    f"{change.ratio.value:.3f}",
                    f"{change.ratio.low:.3f} to {change.ratio.high:.3f}",
                    change.verdict,
                ]
            )
        lines = align(rows, right=(0, 2, 3, 4, 5))
        title = f"against the run of {self.made}"
        margin = max((change.margin for change in self.changes), default=0.0)
        notes = [f"noise: up to {margin:.1%} of difference is none, by what did not change"]
        notes += [f"caution: not alike: {text}" for text in self.differences]
        return "\n".join([title, "", lines[0], "─" * max(map(len, lines)), *lines[1:], "", *notes])


def compare(new: Figures, old: Figures) -> Comparison:
    """The times of `new` over those of `old`, where both have a runtime at the same inputs.

    The runs did not take turns, so a drift of the machine lies between them. What it may be is read
    from what did not change: layercc beside itself in either run, and other runtimes of the same
    version. A ratio is a difference where it is larger than that.

    Raises InputError where the two have no inputs in common.
    """
    pairs = [
        (point, other)
        for point in new.points
        for other in old.points
        if _key(new, point) == _key(old, other)
    ]
    if not pairs:
        raise InputError(
            f"the runs have nothing in common to compare: this one has {_described(new)}, the one "
            f"of {old.made} has {_described(old)}"
        )
    changes = [change for point, other in pairs for change in _changes(point, other)]
    return Comparison(old.made, changes, _differences(new, old))


def _changes(new: Point, old: Point) -> list[Change]:
    before = {timing.runtime: timing for timing in old.timings}
    both = [(timing, before[timing.runtime]) for timing in new.timings if timing.runtime in before]
    ratios = {timing.runtime: _ratio(timing, other) for timing, other in both}
    unchanged = [
        abs(ratios[timing.runtime].value - 1)
        for timing, other in both
        if timing.runtime != OWN and timing.version == other.version
    ]
    margin = max([new.resolution or 0.0, old.resolution or 0.0, *unchanged])
    return [
        Change(
            new.batch,
            timing.runtime,
            other.median.value,
            timing.median.value,
            ratios[timing.runtime],
            margin,
            verdict(ratios[timing.runtime], margin),
        )
        for timing, other in both
    ]


def _ratio(new: Timing, old: Timing) -> Estimate:
    """Of independent medians: as far as either interval allows."""
    above, below = interval(new.rounds, 0.5, _CONFIDENCE), interval(old.rounds, 0.5, _CONFIDENCE)
    return Estimate(
        new.median.value / old.median.value, above.low / below.high, above.high / below.low
    )


def _key(run: Figures, point: Point) -> Any:
    return (run.streams, point.batch or 0, sorted(point.inputs.items()))


def _described(run: Figures) -> str:
    shapes = ["; ".join(f"{k}: {v}" for k, v in point.inputs.items()) for point in run.points]
    return f"{run.streams} stream(s) on {' | '.join(shapes)}"


def _differences(new: Figures, old: Figures) -> list[str]:
    """What else than layercc may make times differ."""
    found = []
    pairs: list[tuple[str, Any, Any]] = [
        ("model", f"{old.graph} {old.digest[:8]}", f"{new.graph} {new.digest[:8]}"),
        ("threads", old.threads, new.threads),
        ("precision", old.precision, new.precision),
    ]
    for kind in ("machine", "versions"):
        before, after = getattr(old, kind), getattr(new, kind)
        keys = [key for key in {**before, **after} if key != "layercc"]
        pairs += [(key, before.get(key, "none"), after.get(key, "none")) for key in keys]
    for what, before, after in pairs:
        if before != after:
            found.append(f"{what} was {before}, is {after}")
    return found

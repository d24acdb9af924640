"""A benchmark as text."""

from __future__ import annotations

from ir.units import align, amount
from ir.units import seconds as readable
from layercc.statistics import calls_needed
from layercc.tools.bench.figures import QUANTILES, Estimate, Figures, Point, Timing

_NONE = "–"


def table(result: Figures, width: int | None = None) -> str:
    """A row for each runtime at each batch size; what the reader must know stands below.

    Where lines would be longer than `width`, times and what they are compared with are two tables.
    """
    batched = any(point.batch is not None for point in result.points)
    processes = any(timing.processes for point in result.points for timing in point.timings)
    names = ["batch"] * batched + ["runtime"]
    times = ["p50", "± 95 %", *QUANTILES, "min", "mean", "calls"]
    compared = ["samples/s" if batched else "calls/s", "ratio", "95 %", "", "diff"]
    compared += ["peak memory", "cold", "warm"] * processes
    groups = []
    for point in result.points:
        rows = []
        for timing in point.timings:
            cells = _cells(timing, point.batch or 1, own=timing is point.timings[0])
            rows.append([timing.runtime, *cells, *(_processes(timing) if processes else [])])
        for runtime in point.failures:
            rows.append([runtime, *(_NONE if name else "cannot run" for name in times + compared)])
        if batched:
            rows = [[str(point.batch) if row is rows[0] else "", *row] for row in rows]
        groups.append(rows)
    head = names + times + compared
    blocks = [_block(head, groups)]
    if width is not None and max(map(len, blocks[0])) > width:
        own, middle = len(names), len(names) + len(times)
        blocks = [
            _block(head[:middle], [[row[:middle] for row in rows] for rows in groups]),
            _block(
                head[:own] + head[middle:],
                [[row[:own] + row[middle:] for row in rows] for rows in groups],
            ),
        ]
    text = [_title(result)]
    for block in blocks:
        text += ["", *block]
    if batched and len(result.points) > 1:
        text += ["", *summary(result)]
    return "\n".join([*text, *_notes(result)])


def summary(result: Figures) -> list[str]:
    """The lines of a small table: samples a second of each runtime at each batch size."""
    runtimes = dict.fromkeys(
        name for p in result.points for name in [*(t.runtime for t in p.timings), *p.failures]
    )
    rows = [["samples/s at batch", *(str(point.batch) for point in result.points)]]
    for runtime in runtimes:
        rates = []
        for point in result.points:
            found = {timing.runtime: timing for timing in point.timings}.get(runtime)
            rates.append(_rate(found.rate.value * (point.batch or 1)) if found else _NONE)
        rows.append([runtime, *rates])
    lines = align(rows, range(1, len(rows[0])))
    return [lines[0], "─" * max(map(len, lines)), *lines[1:]]


def _block(head: list[str], groups: list[list[list[str]]]) -> list[str]:
    """The lines of one table; empty ones between groups."""
    left = {index for index, name in enumerate(head) if name in ("runtime", "")}
    right = [index for index in range(len(head)) if index not in left]
    lines = align([head, *(row for rows in groups for row in rows)], right)
    made, body = [lines[0], "─" * max(map(len, lines))], lines[1:]
    for rows in groups:
        made += ["", *body[: len(rows)]] if len(made) > 2 else body[: len(rows)]
        body = body[len(rows) :]
    return made


def _title(result: Figures) -> str:
    plural = "s" * (result.threads != 1)
    title = f"{result.graph}, {result.threads} thread{plural}"
    if result.streams > 1:
        title += f" in each of {result.streams} streams"
    return title


def _cells(timing: Timing, batch: int, own: bool) -> list[str]:
    half = max(timing.median.high - timing.median.value, timing.median.value - timing.median.low)
    share = half / timing.median.value if timing.median.value else 0.0
    tail = [timing.quantiles.get(name) for name in QUANTILES]
    compared = ["", "", "", ""]
    if not own:
        compared = [
            f"{timing.ratio.value:.2f}",
            _range(timing.ratio),
            timing.verdict,
            f"{timing.difference:.1e}",
        ]
    return [
        readable(timing.median.value),
        ">100%" if share > 1 else f"{share:.1%}",
        *(_NONE if one is None else readable(one.seconds) for one in tail),
        readable(timing.minimum),
        readable(timing.mean),
        str(timing.calls),
        _rate(timing.rate.value * batch),
        *compared,
    ]


def _processes(timing: Timing) -> list[str]:
    if timing.processes is None:
        return [_NONE] * 3
    memory = amount(int(timing.processes["peak_memory"]), "B")
    return [memory, *(readable(timing.processes[key]) for key in ("cold", "warm"))]


def _rate(value: float) -> str:
    """Three digits at least."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _range(estimate: Estimate) -> str:
    return f"{estimate.low:.2f}–{estimate.high:.2f}"


def _notes(result: Figures) -> list[str]:
    """Why cells are empty, how the calls before measuring went, and what may have disturbed."""
    lines = []
    absent = {
        name: calls_needed(q)
        for name, q in QUANTILES.items()
        if any(name not in timing.quantiles for p in result.points for timing in p.timings)
    }
    if absent:
        needed = ", ".join(f"{name} {count}" for name, count in absent.items())
        lines.append(f"{_NONE}: too few calls to tell ({needed})")
    for point in result.points:
        at = "" if len(result.points) == 1 else f"batch {point.batch}: "
        lines += [f"{at}{name} cannot run it: {why}" for name, why in point.failures.items()]
    return ["", *lines, *_cautions(result.points)]


def noise(points: list[Point]) -> list[str]:
    """One line, or none where that was not measured: which differences are none."""
    found = [point.resolution for point in points if point.resolution is not None]
    if not found:
        return []
    return [
        f"noise: layercc beside itself differs by up to {max(found):.1%}; less is no difference"
    ]


def _cautions(points: list[Point]) -> list[str]:
    warming = []
    for timing in points[0].timings:
        calls = timing.warm_up.calls
        known = _NONE if calls is None else str(calls)
        warming.append(f"{timing.runtime} {known} of {timing.warm_up.made}")
    at = f" at batch {points[0].batch}" if len(points) > 1 else ""
    lines = [f"warm-up{at}, calls until times were steady: {', '.join(warming)}"]
    lines += noise(points)
    seen: dict[str, dict[int | None, list[str]]] = {}
    for point in points:
        for caution in point.cautions:
            seen.setdefault(caution.what, {}).setdefault(point.batch, []).append(caution.value)
    for what, values in seen.items():
        told = [
            ", ".join(of) + (f" (batch {batch})" if len(points) > 1 else "")
            for batch, of in values.items()
        ]
        lines.append(f"caution: {what}: {'; '.join(told)}")
    return lines

"""A profile as a table: plain text, or for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ir.units import align, amount
from ir.units import seconds as duration
from layercc.profiling.groups import CallRow, Group, ratio
from layercc.recording import CallInfo

if TYPE_CHECKING:
    from rich.console import RenderableType

    from layercc.profiling.profile import Profile

BY = ("layer", "kind", "call")
#: Columns that are flush left; all others are numbers.
_TEXTS = ("layer", "kind", "op", "kernel")
#: Columns that only a terminal of so many characters has room for.
_WIDE, _FOR_WIDE = 110, ("FLOP", "bytes")


def rows_of(profile: Profile, by: str, top: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table by `layer`, `kind` or `call`.

    With `top`, the longest so many rows and one for the rest; the last are what is between calls,
    and around the run.
    Raises ValueError for another `by`, or a `top` below 1.
    """
    if by not in BY:
        raise ValueError(f"by={by!r}; there are {', '.join(BY)}")
    if top is not None and top < 1:
        raise ValueError(f"top={top}: 1 or more would fit")
    limited = profile.limits is not None
    shared = by == "call" and profile.threads > 1
    heads = {"layer": ["layer"], "kind": ["kind"], "call": ["layer", "op", "kernel"]}[by]
    counted = "tasks" if by == "call" else "calls"
    heads += ["time", "share", "FLOP", "FLOP/s", "bytes", "B/s", counted]
    heads += ["of limit"] * limited + ["busy"] * shared
    given = rows_by(profile, by)
    chosen = list(given)
    if top is not None and len(chosen) > top:
        longest = sorted(range(len(chosen)), key=lambda i: -chosen[i].seconds)[:top]
        chosen = [chosen[i] for i in longest]
    rows = [_row(profile, each, limited, shared) for each in chosen]
    texts = sum(head in _TEXTS for head in heads)
    rest = sum(each.seconds for each in given) - sum(each.seconds for each in chosen)
    sums = [(f"{len(given) - len(chosen)} more", rest)] if len(chosen) < len(given) else []
    sums += [("between calls", profile.between), ("around the run", profile.around)]
    for name, seconds in sums:
        row = [name, *[""] * (texts - 1), *_times(profile, seconds)]
        rows.append(row + [""] * (len(heads) - len(row)))
    return heads, rows


def rows_by(profile: Profile, by: str) -> Sequence[CallRow | Group]:
    """The calls, or groups of them."""
    if by == "call":
        return profile.calls
    return profile.layers if by == "layer" else profile.kinds


def _row(profile: Profile, each: CallRow | Group, limited: bool, shared: bool) -> list[str]:
    if isinstance(each, CallRow):
        texts = [each.layer, each.call.op, _kernel(each.call)]
        flops, nbytes, count = each.call.flops, each.call.bytes, each.call.tasks
    else:
        texts = [each.name]
        flops, nbytes, count = each.flops, each.bytes, each.calls
    cells = [*texts, *_times(profile, each.seconds)]
    for value, unit in ((flops, "FLOP"), (nbytes, "B")):
        rate = value / each.seconds if each.seconds else 0.0
        cells += [amount(value, unit), amount(round(rate), f"{unit}/s")] if value else ["", ""]
    cells.append(str(count))
    if limited:
        share = ratio(each.limit, each.seconds)
        cells.append("" if share is None else f"{share:.0%}")
    if shared and isinstance(each, CallRow):
        cells.append(f"{each.busy:.0%}")
    return cells


def _kernel(call: CallInfo) -> str:
    """The family of the kernel, and the algorithm that it is part of."""
    family = call.kernel.partition("[")[0]
    return f"{family} ({call.algorithm})" if call.algorithm else family


def _times(profile: Profile, seconds: float) -> list[str]:
    return [duration(seconds), f"{profile.share(seconds):.1%}"]


def title(profile: Profile) -> str:
    """What was measured, in one line."""
    plural = "s" * (profile.threads != 1)
    given = ", ".join(f"{n}={list(shape)}" for n, shape in profile.inputs.items())
    return f"{profile.graph}, {profile.device}, {profile.threads} thread{plural}, {given}"


def summary(profile: Profile) -> list[list[str]]:
    """What holds for the run as a whole: names and values."""
    calls = sum(row.seconds for row in profile.calls)
    flops = sum(row.call.flops for row in profile.calls)
    rate = amount(round(flops / profile.seconds), "FLOP/s") if profile.seconds else ""
    most = max(profile.alive_bytes(), default=0)
    return [
        ["a run", f"{duration(profile.seconds)}, median; {amount(flops, 'FLOP')}, {rate}"],
        ["recorded", f"{duration(profile.total)} in all, {profile.runs} runs"],
        ["in calls", f"{duration(calls)}, {profile.accounted:.1%} of a run"],
        ["memory", f"{amount(profile.arena_bytes, 'B')} in the arena, of which {amount(most, 'B')} "
         f"are in use at most; {amount(profile.constant_bytes, 'B')} of constants"],
    ]  # fmt: skip


def plain(profile: Profile, by: str = "layer", top: int | None = None) -> str:
    """The table as text. Raises ValueError as `rows_of`."""
    heads, rows = rows_of(profile, by, top)
    numbers = [index for index, head in enumerate(heads) if head not in _TEXTS]
    lines = align([heads, *rows], right=numbers)
    rule = "─" * max(map(len, lines))
    return "\n".join([title(profile), "", lines[0], rule, *lines[1:], "", *align(summary(profile))])


def rich(profile: Profile, by: str, top: int | None, width: int) -> RenderableType:
    """The table for a terminal so many characters wide. Raises ValueError as `rows_of`."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group as Together
    from rich.table import Table
    from rich.text import Text

    heads, rows = rows_of(profile, by, top)
    shown = [i for i, head in enumerate(heads) if width >= _WIDE or head not in _FOR_WIDE]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index in shown:
        text = heads[index] in _TEXTS
        table.add_column(
            heads[index], justify="left" if text else "right", no_wrap=not text, overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(row[index]) for index in shown))
    return Together(Text(title(profile)), table, Text("\n".join(align(summary(profile)))))

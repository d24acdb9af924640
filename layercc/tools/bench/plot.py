"""The picture of a benchmark: how times are distributed, or how they grow with the batch."""

from __future__ import annotations

import html
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.diagnostics import InputError
from layercc.tools.bench.figures import QUANTILES, Figures, Timing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf", ".html")
#: Colours that people with any colour vision tell apart (Okabe & Ito, 2008), and markers.
_STYLES = [
    ("#0072B2", "o"),
    ("#E69F00", "s"),
    ("#009E73", "^"),
    ("#CC79A7", "D"),
    ("#D55E00", "v"),
    ("#56B4E9", "P"),
]
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "layercc",  # the same picture is the same file
}
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
pre {{ overflow-x: auto; font-size: 12px }} svg {{ width: 100%; height: auto }}</style>
{picture}
<pre>{table}</pre>
</html>
"""


def check_plot(path: Path) -> None:
    """Raises InputError unless a picture can be drawn there."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: a name that ends in {', '.join(SUFFIXES)} would fit a picture")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("pictures need matplotlib: pip install 'layercc[report]'")


def draw(result: Figures, path: Path) -> None:
    """Draws a result into a file, in the form that its suffix says.

    Of several batch sizes, throughput and latency over the batch; of one, the distribution of
    times. Raises InputError as `check_plot` does.
    """
    check_plot(path)
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        figure = _figure(result)
        if path.suffix.lower() == ".html":
            picture = io.StringIO()
            figure.savefig(picture, format="svg", metadata={"Date": None})
            text = picture.getvalue()
            page = _PAGE.format(
                title=html.escape(result.graph),
                picture=text[text.index("<svg") :],
                table=html.escape(str(result)),
            )
            path.write_text(page, encoding="utf-8")
            return
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        figure.savefig(path, dpi=160, metadata=metadata)


def _figure(result: Figures) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), facecolor="white")
    runtimes = dict.fromkeys(t.runtime for point in result.points for t in point.timings)
    styles = {name: _STYLES[i % len(_STYLES)] for i, name in enumerate(runtimes)}
    if len(result.points) > 1:
        left, right = figure.subplots(1, 2)
        _over_batches(result, left, right, styles)
    else:
        left, right = figure.subplots(1, 2, width_ratios=[4, 3])
        _distribution(result.timings, left, styles)
        _quantiles(result.timings, right, styles)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        ncols=len(labels),
        loc="upper left",
        bbox_to_anchor=(0.05, 0.905),
        frameon=False,
    )
    plural = "s" * (result.threads != 1)
    about = f"{result.threads} thread{plural}"
    if result.streams > 1:
        about += f" in each of {result.streams} streams"
    told = (result.machine.get(key, "") for key in ("processor", "instruction set"))
    machine = ", ".join(str(text) for text in told if text)
    figure.text(0.06, 0.945, result.graph, fontsize=12, fontweight="bold", va="center")
    figure.text(
        0.97, 0.945, f"{machine} · {about}", fontsize=8, color="#666666", ha="right", va="center"
    )
    figure.subplots_adjust(left=0.075, right=0.975, bottom=0.115, top=0.77, wspace=0.27)
    return figure


def _over_batches(result: Figures, rates: Axes, times: Axes, styles: dict[str, Any]) -> None:
    """Samples a second and milliseconds a call over the batch size, both with 95 % intervals."""
    batches = [point.batch or 1 for point in result.points]
    for name, (color, marker) in styles.items():
        found = [
            (point.batch or 1, timing)
            for point in result.points
            for timing in point.timings
            if timing.runtime == name
        ]
        x = [batch for batch, _ in found]
        for axes, value, scale in (
            (rates, "rate", [float(batch) for batch in x]),
            (times, "median", [1e3] * len(x)),
        ):
            estimates = [getattr(timing, value) for _, timing in found]
            low, middle, high = (
                np.multiply([getattr(estimate, end) for estimate in estimates], scale)
                for end in ("low", "value", "high")
            )
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
            axes.plot(x, middle, color=color, marker=marker, ms=4.5, lw=1.6, label=name)
    for axes in (rates, times):
        axes.set_xscale("log", base=2)
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.set_xlabel("batch")
        axes.minorticks_off()
    rates.set_ylim(bottom=0)
    rates.set_title("samples a second (median, 95 %)")
    times.set_yscale("log")
    times.set_title("ms a call (median, 95 %)")
    _plain_numbers(times.yaxis)


def _distribution(timings: list[Timing], axes: Axes, styles: dict[str, Any]) -> None:
    """The share of calls that took no longer."""
    for timing in timings:
        color, marker = styles[timing.runtime]
        curve = 1e3 * np.asarray(timing.curve)
        share = np.linspace(0, 1, len(curve))
        axes.step(curve, share, where="post", color=color, lw=1.6)
        middle = [1e3 * timing.median.value], [0.5]
        axes.plot(*middle, color=color, marker=marker, ms=5, lw=1.6, label=timing.runtime)
    # the slowest calls of all, which are the machine's, would press the rest together
    last = max(np.quantile(timing.curve, 0.98) for timing in timings)
    first = min(timing.minimum for timing in timings)
    axes.set_xscale("log")
    axes.set_xlim(1e3 * first / 1.05, 1e3 * last * 1.15)
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.9, 1], ["0", "25 %", "p50", "75 %", "p90", "100 %"])
    axes.set_title("share of calls that took no longer")
    axes.set_xlabel("ms")
    _plain_numbers(axes.xaxis)


def _quantiles(timings: list[Timing], axes: Axes, styles: dict[str, Any]) -> None:
    """From the fastest call to the rarest quantile that can be told, a line for each runtime."""
    for row, timing in enumerate(reversed(timings)):
        color, marker = styles[timing.runtime]
        told = {"min": timing.minimum, "p50": timing.median.value}
        told |= {name: one.seconds for name, one in timing.quantiles.items()}
        values = 1e3 * np.asarray(list(told.values()))
        axes.plot(values, [row] * len(values), color=color, lw=1.2, alpha=0.6)
        axes.plot(values, [row] * len(values), color=color, ls="", marker="|", ms=8)
        axes.plot(1e3 * timing.median.value, row, color=color, marker=marker, ms=6)
        axes.annotate(
            list(told)[-1],
            (values[-1], row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="#666666",
        )
    axes.set_yticks(range(len(timings)), [timing.runtime for timing in reversed(timings)])
    axes.set_ylim(-0.6, len(timings) - 0.4)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.grid(axis="y", visible=False)
    axes.set_title("min, p50 (marked), " + ", ".join(QUANTILES))
    axes.set_xlabel("ms")
    _plain_numbers(axes.xaxis)


def _plain_numbers(axis: Any) -> None:
    """1, 2, 5 and 10 rather than powers of ten; over many decades, 1 and 10 only."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if np.log10(high / low) < 2.5 else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

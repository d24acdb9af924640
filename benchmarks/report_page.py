"""How fast the page of a model opens (`layercc report`) in headless Chromium.

    python -m benchmarks.report_page                        # bert_base, 5 times
    python -m benchmarks.report_page resnet18 densenet121 --times 9
    python -m benchmarks.report_page --file model.onnx

A line a model: nodes, seconds to make the page and its size; then milliseconds from the start of
navigation to the load event, and to the graph drawn, median and worst of so many fresh tabs; and to
the graph drawn again with all modules unfolded, once. Problems in the console fail the run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import layercc as lc
from benchmarks.browser import browser, why_not
from benchmarks.export import export
from benchmarks.networks import NETWORKS
from ir.graph import Graph
from ir.units import align, amount, seconds
from layercc.tools.report.page import write_page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--file", type=Path, action="append", default=[])
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    if why_not():
        sys.exit(why_not())
    names = options.networks or ([] if options.file else ["bert_base"])
    rows = [["model", "nodes", "made in", "size", "load", "worst", "drawn", "worst", "unfolded"]]
    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        for name in names:
            file = Path(folder) / f"{name}.onnx"
            export(NETWORKS[name].build(), file)
            rows.append(measure(opened, name, lc.from_onnx(file), Path(folder), options.times))
            file.unlink()
        for file in options.file:
            graph = lc.from_onnx(file)
            rows.append(measure(opened, file.stem, graph, Path(folder), options.times))
    print("\n".join(align(rows, right=set(range(1, 9)))))


def measure(opened: Any, name: str, graph: Graph, folder: Path, times: int) -> list[str]:
    page = folder / f"{name}.html"
    start = time.perf_counter()
    write_page(page, graph)
    made = time.perf_counter() - start
    found = [opening(opened, page, unfold=False) for _ in range(times)]
    _, _, unfolded = opening(opened, page, unfold=True)
    figures = []
    for which in (0, 1):
        taken = [each[which] for each in found]
        figures += [seconds(statistics.median(taken)), seconds(max(taken))]
    size = amount(page.stat().st_size, "B")
    return [name, str(len(graph.nodes)), seconds(made), size, *figures, seconds(unfolded)]


def opening(opened: Any, page: Path, unfold: bool) -> tuple[float, float, float]:
    """Seconds to the load event, to the graph drawn, and to the graph drawn unfolded."""
    tab = opened.new_page(viewport={"width": 1440, "height": 900})
    problems: list[str] = []
    tab.on("console", lambda said: problems.append(said.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-drawn]", state="attached")
    timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    load = tab.evaluate(timing) / 1e3
    drawn = float(tab.get_attribute("html", "data-drawn")) / 1e3
    taken = 0.0
    if unfold:
        start = time.perf_counter()
        tab.click("#open-all")
        tab.wait_for_selector("#pane-before g.item.closed", state="detached", timeout=120_000)
        taken = time.perf_counter() - start
    tab.close()
    if problems:
        sys.exit(f"{page.name}: {problems}")
    return load, drawn, taken


if __name__ == "__main__":
    main()

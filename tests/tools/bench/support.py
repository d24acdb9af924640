"""A benchmark whose figures are made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layercc.tools.bench.figures import Point, Quantile, Timing
from layercc.tools.bench.measure import median, verdict
from layercc.tools.bench.noise import Noise
from layercc.tools.bench.results import Benchmark
from layercc.tools.bench.warmup import WarmUp

QUIET = Noise(1.0, 2, 0.25, 0.0, 0.0, None, 12.0, None)


def timing(runtime: str, rounds: Sequence[float], own: Sequence[float], version: str) -> Timing:
    ratio = median([a / b for a, b in zip(rounds, own, strict=True)])
    return Timing(
        runtime=runtime,
        version=version,
        calls=100,
        median=median(list(rounds)),
        minimum=min(rounds),
        mean=float(np.mean(rounds)),
        quantiles={"p90": Quantile(0.9, max(rounds), max(rounds), max(rounds))},
        rate=median([1 / seconds for seconds in rounds]),
        ratio=ratio,
        verdict="" if runtime == "layercc" else verdict(ratio, 0.01),
        difference=float("inf") if runtime == "odd" else 1e-6,
        warm_up=WarmUp(30, 0.4, 3),
        load=0.1,
        first=0.2,
        spinning=0.0,
        rounds=list(rounds),
        curve=list(np.linspace(min(rounds), max(rounds), 101)),
    )


def made_up(
    seconds: dict[str, float], batches: Sequence[int | None] = (None,), version: str = "1"
) -> Benchmark:
    """Each runtime takes so long for a sample, 1 % more or less."""
    points = []
    for batch in batches:
        noise = 1 + 0.01 * np.array([-1, -0.5, -0.2, 0, 0, 0.2, 0.5, 1])
        rounds = {name: list(one * (batch or 1) * noise) for name, one in seconds.items()}
        timings = [timing(name, of, rounds["layercc"], version) for name, of in rounds.items()]
        inputs = {"x": f"float32[{batch or 1}, 4]"}
        points.append(Point(inputs, batch, timings, {}, 0.01, QUIET, []))
    machine: dict[str, str | int] = {"processor": "Abacus & Sons", "processors": 2}
    made, digest = "2026-01-02T03:04:05+00:00", "0123456789abcdef"
    versions = {"layercc": version, "numpy": "2"}
    return Benchmark("toy", digest, 2, 1, "highest", made, machine, versions, points)

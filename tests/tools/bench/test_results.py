"""Results as tables, as files that may be damaged, beside older ones, and as pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layercc as lc
from layercc.tools.bench.noise import Caution
from layercc.tools.bench.previous import compare
from layercc.tools.bench.results import VERSION, Benchmark
from layercc.tools.bench.table import table
from tests.tools.bench.support import made_up

SECONDS = {"layercc": 1e-3, "onnxruntime": 1.5e-3, "odd": 1e-3}


def test_the_table_of_one_point() -> None:
    result = made_up(SECONDS)
    point = replace(
        result.points[0],
        failures={"inductor": "RuntimeError: no compiler"},
        cautions=[Caution("loud", "9")],
    )
    text = str(replace(result, points=[point], streams=3))
    lines = text.splitlines()
    assert lines[0] == "toy, 2 threads in each of 3 streams"
    head, _, own, peer, odd, none = lines[2:8]
    assert head.split()[:4] == ["runtime", "p50", "±", "95"]
    assert own.split()[:3] == ["layercc", "1", "ms"] and own.split()[-1] == "1,000"  # calls/s
    assert "1.50  1.50–1.50  slower" in peer
    assert "no difference" in odd and odd.endswith("inf")
    assert none.split() == ["inductor", *["–"] * 11, "cannot", "run", "–"]
    assert "–: too few calls to tell (p99 299, p99.9 2995)" in lines
    assert "inductor cannot run it: RuntimeError: no compiler" in lines
    assert "warm-up, calls until times were steady: layercc 3 of 30, onnxruntime 3 of 30" in text
    assert "noise: layercc beside itself differs by up to 1.0%; less is no difference" in lines
    assert lines[-1] == "caution: loud: 9"


def test_a_narrow_terminal_has_two_tables() -> None:
    result = made_up(SECONDS, batches=(1, 2))
    whole, narrow = table(result), table(result, 90)
    assert whole == str(result) == table(result, 1000)
    assert max(map(len, whole.splitlines())) > 100
    lines = narrow.splitlines()
    assert max(map(len, lines[:22])) <= 90
    assert [line.split()[:3] for line in lines if line.startswith("batch ")] == [
        ["batch", "runtime", "p50"],
        ["batch", "runtime", "samples/s"],
    ]


def test_the_table_of_a_sweep() -> None:
    result = made_up({"layercc": 1e-3, "torch": 2e-3}, batches=(1, 2, 16))
    loud = [Caution("loud", "a"), Caution("loud", "b"), Caution("late", "c")]
    cautions = {1: loud[:2], 2: [], 16: loud[1:]}
    points = [replace(point, cautions=cautions[point.batch or 0]) for point in result.points]
    lines = str(replace(result, points=points)).splitlines()
    assert lines[2].split()[:2] == ["batch", "runtime"] and "samples/s" in lines[2]
    rows = [line.split() for line in lines[4:12] if line]
    assert [row[:2] for row in rows[::2]] == [["1", "layercc"], ["2", "layercc"], ["16", "layercc"]]
    assert all(row[0] == "torch" for row in rows[1::2])
    assert all("500" in row for row in rows[1::2])  # samples a second, at any batch
    head = lines.index("samples/s at batch      1      2     16")
    assert lines[head + 2 : head + 4] == [
        "layercc             1,000  1,000  1,000",
        "torch                 500    500    500",
    ]
    assert lines[-2:] == [
        "caution: loud: a, b (batch 1); b (batch 16)",
        "caution: late: c (batch 16)",
    ]


def test_a_file_gives_the_result_back(tmp_path: Path) -> None:
    result = made_up(SECONDS, batches=(1, 4))
    point = result.points[0]
    memory = {"peak_memory": 1e6, "cold": 2.0, "warm": 0.5}
    timings = [replace(point.timings[0], processes=memory), *point.timings[1:]]
    result = replace(result, points=[replace(point, timings=timings), *result.points[1:]])
    result.save(tmp_path / "r.json")
    assert Benchmark.load(tmp_path / "r.json") == result
    assert "1.00 MB   2 s  500 ms" in str(result)
    data = json.loads((tmp_path / "r.json").read_text())
    assert (data["format"], data["version"]) == ("layercc.benchmark", VERSION)
    assert data["points"][0]["timings"][2]["difference"] == "inf"
    data["later"] = data["points"][0]["later"] = 1  # what this version does not know
    (tmp_path / "r.json").write_text(json.dumps(data))
    assert Benchmark.load(tmp_path / "r.json") == result


def _at(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return data


TIMING = ("points", 0, "timings", 0)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("format",), "other", "is no file of `layercc bench --save`"),
        (("version",), VERSION + 1, f"version {VERSION + 1} of its layout; this layercc reads"),
        (("version",), None, "version None"),
        (("threads",), "two", r"threads: an integer would fit; 'two' is there"),
        (("threads",), True, "threads: an integer would fit"),
        (("threads",), 2.5, "threads: an integer would fit"),
        (("points",), {}, "points: a list would fit"),
        (("points",), [None], r"points\[0\]: an object would fit; None"),
        (("machine",), {"processors": []}, "machine.processors: a text would fit"),
        ((*TIMING, "median"), 3.5, r"timings\[0\]: median: an object would fit; 3.5"),
        ((*TIMING, "median"), {"value": 1.0}, "median: 'low' is missing"),
        ((*TIMING, "median", "value"), 0, "the times of 'layercc' are no times"),
        ((*TIMING, "rounds"), [], "the times of 'layercc' are no times"),
        ((*TIMING, "rounds"), [1.0, "nan"], "the times of 'layercc' are no times"),
        ((*TIMING, "rounds"), [1.0, "slow"], r"rounds\[1\]: a number would fit; 'slow'"),
        ((*TIMING, "rounds"), [1.0, 10**400], r"rounds\[1\]: a number would fit; 1000"),
        ((*TIMING, "runtime"), 5, "runtime: a text would fit"),
    ],
)
def test_a_damaged_file_is_refused(
    place: tuple[Any, ...], value: Any, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(_at(json.loads(_text()), place, value)))
    with pytest.raises(lc.InputError, match=said):
        Benchmark.load(path)


def _text() -> str:
    from layercc.tools.bench.results import _named

    return json.dumps(_named(made_up(SECONDS).to_dict()))


def test_whatever_is_in_a_file_it_is_refused_or_read(tmp_path: Path) -> None:
    """Bytes cut off, changed and added: no other error comes out, and what is read can be shown."""
    path, text, random = tmp_path / "r.json", _text().encode(), np.random.default_rng(0)
    read = 0
    for _ in range(300):
        damaged = bytearray(text)
        for _ in range(int(random.integers(1, 4))):
            place = int(random.integers(len(damaged)))
            damaged[place : place + int(random.integers(0, 9))] = random.bytes(1)
        path.write_bytes(damaged)
        try:
            found = Benchmark.load(path)
        except lc.InputError:
            continue
        read += 1
        str(found)
    assert read < 150
    for content in (b"", b"[" * 100_000, b"null", b"\xff\xfe", b"[1]", b"{}"):
        path.write_bytes(content)
        with pytest.raises(lc.InputError):
            Benchmark.load(path)
    with pytest.raises(lc.InputError, match="cannot read"):
        Benchmark.load(tmp_path / "absent.json")


def test_a_run_beside_an_older_one() -> None:
    old = made_up({"layercc": 1.0e-3, "onnxruntime": 1.5e-3}, batches=(1, 2))
    new = made_up({"layercc": 0.8e-3, "onnxruntime": 1.5e-3, "torch": 2e-3}, batches=(2, 4))
    found = compare(new, old)
    assert [(c.batch, c.runtime) for c in found.changes] == [(2, "layercc"), (2, "onnxruntime")]
    own, peer = found.changes
    assert (own.old, own.new) == (pytest.approx(2e-3), pytest.approx(1.6e-3))
    assert own.ratio.value == pytest.approx(0.8)
    assert own.ratio.low < 0.8 < own.ratio.high
    assert (own.verdict, peer.verdict) == ("faster", "no difference")
    assert found.differences == []
    assert "0.800" in str(found) and "of 2026-01-02T03:04:05" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["changes"][0]["verdict"] == "faster"


def test_what_did_not_change_tells_how_the_machine_drifted() -> None:
    """All is a tenth slower: that is the machine, unless the other runtime is another version."""
    old = made_up({"layercc": 1.0e-3, "onnxruntime": 1.5e-3})
    new = made_up({"layercc": 1.1e-3, "onnxruntime": 1.65e-3})
    assert {change.verdict for change in compare(new, old).changes} == {"no difference"}
    other = made_up({"layercc": 1.1e-3, "onnxruntime": 1.65e-3}, version="2")
    assert {change.verdict for change in compare(other, old).changes} == {"slower"}


def test_runs_that_are_not_alike() -> None:
    old = made_up(SECONDS)
    new = replace(
        old,
        threads=4,
        digest="f" * 32,
        machine={"processor": "Slide Rule", "processors": 2, "instruction set": "avx2"},
        versions={"layercc": "9", "numpy": "3"},
    )
    found = compare(new, old)
    assert found.differences == [
        "model was toy 01234567, is toy ffffffff",
        "threads was 2, is 4",
        "processor was Abacus & Sons, is Slide Rule",
        "instruction set was none, is avx2",
        "numpy was 2, is 3",
    ]
    assert "caution: not alike: threads was 2, is 4" in str(found)


def test_runs_with_nothing_in_common_are_refused() -> None:
    old = made_up(SECONDS, batches=(1, 2))
    for new in (made_up(SECONDS, batches=(4,)), replace(old, streams=2)):
        with pytest.raises(lc.InputError, match="the runs have nothing in common to compare"):
            compare(new, old)


@pytest.mark.parametrize("batches", [(None,), (1, 2, 16)])
@pytest.mark.parametrize("suffix", ["svg", "png", "html"])
def test_pictures(batches: tuple[int | None, ...], suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = made_up(SECONDS, batches=batches)
    path, again = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    result.plot(path)
    result.plot(again)
    assert path.read_bytes() == again.read_bytes()  # the same result, the same file
    if suffix == "png":
        assert path.read_bytes()[:4] == b"\x89PNG"
        return
    text = path.read_text(encoding="utf-8")
    assert "<svg" in text
    assert all(f">{name}<" in text for name in (*SECONDS, "toy"))
    assert "Abacus &amp; Sons" in text
    assert ("samples a second" in text) == (len(batches) > 1)
    if suffix == "html":
        assert "http" not in text.replace("http://www.w3.org", "").replace(
            "http://purl", ""
        ).replace("http://creativecommons", "").replace("https://matplotlib.org", "")
        assert "<pre>toy, 2 threads" in text


def test_a_picture_that_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(lc.InputError, match=r"a name that ends in .svg, .png, .pdf, .html would"):
        made_up(SECONDS).plot(tmp_path / "a.gif")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(lc.InputError, match=r"pip install 'layercc\[report\]'"):
        made_up(SECONDS).plot(tmp_path / "a.svg")

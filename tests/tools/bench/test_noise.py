"""What else went on is read from the system's counters, and told where it matters."""

from __future__ import annotations

from pathlib import Path

import pytest

from layercc.tools.bench.noise import Noise, Watch, spinning
from tests.test_timing import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("layercc.tools.bench.noise.time", made)
    return made


def write(root: Path, busy: int, idle: int, steal: int, throttled: str, mhz: float) -> None:
    """The files of a machine of two processors, of which `layercc` uses what the clock says."""
    for name, text in {
        "proc/stat": f"cpu {busy} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1\ncpu1 1\nintr 5\n",
        "proc/loadavg": "1.25 0.5 0.25 1/99 4321\n",
        "proc/cpuinfo": f"processor: 0\ncpu MHz\t\t: {mhz}\nprocessor: 1\ncpu MHz: {mhz + 20}\n",
        "sys/fs/cgroup/cpu.stat": throttled,
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_noisy_machine(tmp_path: Path, clock: Clock) -> None:
    write(tmp_path, 1000, 1000, 0, "usage_usec 5\nthrottled_usec 1000\n", 3000.0)
    watch = Watch(tmp_path)
    clock.now += 10.0  # of one processor too: the fake clock is that of the process as well
    # 10 s of two processors are 2000 ticks: 1600 busy, of which 1000 are ours, 100 stolen
    write(tmp_path, 2600, 1300, 100, "usage_usec 9\nthrottled_usec 251000\n", 2000.0)
    found = watch.noise()
    assert (found.seconds, found.processors, found.load) == (10.0, 2, 1.25)
    assert found.background == pytest.approx(0.6)
    assert found.stolen == pytest.approx(0.05)
    assert found.throttled == pytest.approx(0.25)
    assert found.clock == [3010.0, 2010.0]
    assert [str(caution) for caution in found.cautions()] == [
        "other programs kept processors busy: 0.6 of 2",
        "the host took processors' time away (steal): 5%",
        "the cgroup's quota held threads back: for 0.25 s",
        "the clock changed: from 3010 to 2010 MHz",
    ]


def test_a_quiet_machine(tmp_path: Path, clock: Clock) -> None:
    write(tmp_path, 1000, 1000, 7, "throttled_usec 1000\n", 3000.0)
    watch = Watch(tmp_path)
    clock.now += 10.0
    write(tmp_path, 2000, 2000, 7, "throttled_usec 1000\n", 3000.0)
    found = watch.noise()
    assert (found.background, found.stolen, found.throttled) == (0.0, 0.0, 0.0)
    assert found.cautions() == []


def test_the_quota_of_the_older_cgroups(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "sys/fs/cgroup/cpu/cpu.stat"
    file.parent.mkdir(parents=True)
    file.write_text("nr_throttled 1\nthrottled_time 500000000\n")
    watch = Watch(tmp_path)
    file.write_text("nr_throttled 3\nthrottled_time 2000000000\n")
    assert watch.noise().throttled == pytest.approx(1.5)


def test_a_system_that_tells_nothing(tmp_path: Path, clock: Clock) -> None:
    found = Watch(tmp_path).noise()
    assert (found.load, found.background, found.stolen, found.throttled, found.clock) == (
        (None,) * 5
    )
    assert found.cautions() == []


def test_threads_that_spin_behind_a_call(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    used = iter([0.0, 0.02, 0.0, 0.012, 0.0, 0.005])  # before and behind three pauses
    monkeypatch.setattr(clock, "process_time", lambda: next(used))
    run = clock.runner("a", 1.0)
    assert spinning(run, 0.02) == 0.012  # of two tries
    assert spinning(run, 0.2) == 0.005  # that is next to nothing: one is enough
    assert clock.called == ["a", "-"] * 3


def test_this_machine() -> None:
    found = Watch().noise()
    assert isinstance(found, Noise) and found.processors >= 1

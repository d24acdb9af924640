"""Model files are untrusted: each gives one clear error or a right result; never a crash, a hang,
or gigabytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontends.hostile_models import write_all

ROOT = Path(__file__).parents[2]
SECONDS_A_FILE = 10  # of processor time, the kernels that it compiles included
BATCH = 60


def run_batch(paths: list[Path]) -> dict[str, list]:
    """Path → [path, outcome, message, seconds] of the files that were survived."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.frontends.hostile_worker"],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith("[")]
    return {line[0]: line for line in lines}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """Name of the damage → what became of the file."""
    folder = tmp_path_factory.mktemp("outer") / "models"
    folder.mkdir()
    paths = write_all(folder)
    assert len(paths) >= 200
    found: dict[str, list] = {}
    for start in range(0, len(paths), BATCH):
        left = paths[start : start + BATCH]
        while left:
            done = run_batch(left)
            found.update(done)
            rest = [path for path in left if str(path) not in done]
            if rest:  # the process died on the first of these
                found[str(rest[0])] = [str(rest[0]), "died", "", 0.0]
            left = rest[1:]
    return {path.with_suffix(".name").read_text(): found[str(path)] for path in paths}


def test_nothing_crashes(outcomes: dict[str, list]) -> None:
    bad = {
        name: f"{outcome}: {message}"
        for name, (_, outcome, message, _) in outcomes.items()
        if outcome in ("crashed", "died", "wrong")
    }
    assert bad == {}


def test_nothing_hangs(outcomes: dict[str, list]) -> None:
    slow = {name: line[3] for name, line in outcomes.items() if line[3] > SECONDS_A_FILE}
    assert slow == {}


def test_every_refusal_says_why(outcomes: dict[str, list]) -> None:
    silent = [
        name
        for name, (_, outcome, message, _) in outcomes.items()
        if outcome == "refused" and len(message.partition(": ")[2]) < 15
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cycle", "cycle: Conv"),
        ("undefined-input", "'nowhere'"),
        ("defined-twice", "'c' is defined twice"),
        ("nested-30", "nested more than"),
        ("calls-itself", "calls itself: local.A -> local.A"),
        ("exponential", "more than"),
        ("data-too-short", "takes 12 bytes, the file has 11"),
        ("data-huge-dims", "absurdly large"),
        ("input[1099511627776, 1099511627776]", "absurd"),
        ("external-13-'.._secret.'", "lies outside the model's folder"),
        ("external-8-'link.bin'", "lies outside the model's folder"),
        ("external-8-'pipe.bin'", "not a regular file"),
        ("external-offset-63", "lie outside 'good.bin'"),
        ("external-length-63", "has length 63"),
    ],
)
def test_messages(outcomes: dict[str, list], name: str, words: str) -> None:
    _, outcome, message, _ = outcomes[name]
    assert outcome == "refused"
    assert words in message


def test_good_files_run(outcomes: dict[str, list]) -> None:
    for name in ("external-good", "data-bool-7", "many-nodes", "rank-64"):
        assert outcomes[name][1] == "ran", outcomes[name]

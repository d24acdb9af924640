"""Trials: processes that run, and that fail."""

# mypy: ignore-errors

import sys

import pytest

from layercc.tools.doctor import trials
from layercc.tools.doctor.examine import examine
from layercc.tools.doctor.registry import Fact, Machine
from tests.tools.doctor.asking import CHECKED, asked, concluded


@pytest.mark.parametrize("measure", [True, False])
def test_limits(told, measure):
    machine = Machine(measure=measure)
    threads = Fact("processor", "layercc runs on", 2, "")
    one = asked("limits", "on 1 thread", machine)
    several = asked("limits", "on all cores", machine, threads)
    if not measure:
        assert one.text == several.text == "not measured"
        return
    assert (one.value["threads"], several.value["threads"]) == (1, 2)
    assert one.text.replace("\u00a0", " ") == "f32 100 GOP/s, memory 10 GB/s"


def test_one_core_is_measured_once(told):
    threads = Fact("processor", "layercc runs on", 1, "")
    assert asked("limits", "on all cores", Machine(), threads).value is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "died of SIGILL"),
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
        ("print('no JSON')", "the process said 'no JSON'"),
        ("raise SystemExit(3)", "exit code 3"),
        ("pass", "exit code 0"),
        ("import time; time.sleep(60)", "it took more than 1 s"),
    ],
)
def test_a_process_that_fails(tmp_path, monkeypatch, script, why):
    """Wrong code must not take the doctor with it."""
    package = tmp_path / "layercc" / "tools" / "doctor"
    package.mkdir(parents=True)
    for folder in (package, *package.parents[:2]):
        (folder / "__init__.py").touch()
    (package / "worker.py").write_text(script)
    monkeypatch.setattr(trials, "_PATIENCE_SECONDS", 1 if "sleep" in script else 60)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    fact = asked("check", "a small model", Machine())
    assert fact.unknown and why in fact.text
    assert concluded(fact) == ["check"]


def test_no_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    assert "there is no Python interpreter" in asked("check", "a small model", Machine()).text


@pytest.mark.parametrize("fault", ["error", "same", "result"])
def test_wrong_results_are_an_error(told, monkeypatch, fault):
    told["check"][fault] = {"error": 0.1, "same": False, "result": "01"}[fault]
    if fault == "result":  # that of the second process
        answers = iter([CHECKED, told["check"]])
        told["check"] = lambda threads: next(answers)
    found = examine(Machine(measure=False))
    assert not found.ok
    assert [each.level for each in found.findings].count("error") == 1

"""`layercc doctor` as a whole: text, JSON, exit code, nothing private, and no crash."""

# mypy: ignore-errors

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from layercc.tools.cli import main
from layercc.tools.doctor import trials
from layercc.tools.doctor.examine import Examination, examine
from layercc.tools.doctor.registry import Fact, Facts, Machine, Probe, binary, plain


def test_command(monkeypatch, cache):
    """With real trials, but for limits, which have tests of their own."""
    done = CliRunner().invoke(main, ["doctor", "--no-measure", "--json"])
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert data["ok"] and set(data) == {"ok", "facts", "findings"}
    check = data["facts"]["check"]["a small model"]
    assert check["right"] and check["same"] and check["kept"]
    assert data["facts"]["limits"] == {"on 1 thread": None, "on all cores": None}
    unknown = [
        name
        for facts in data["facts"].values()
        for name, value in facts.items()
        if isinstance(value, dict) and "unknown" in value
    ]
    assert not unknown
    assert list(cache.folder.iterdir()) == []  # trials have a folder of their own


@pytest.mark.parametrize("measure", [[], ["--no-measure"]])
def test_text(told, monkeypatch, measure):
    monkeypatch.setenv("LAYERCC_CACHE", "0")
    done = CliRunner().invoke(main, ["doctor", *measure])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert {"system", "processor", "packages", "findings"} <= set(lines)
    assert "  warning  the kernel cache is off" in lines
    assert ("not measured" in done.stdout) == bool(measure)


def test_exit_code(told):
    told["check"] = trials.TrialError("the process died of SIGILL")
    done = CliRunner().invoke(main, ["doctor", "--no-measure"])
    assert done.exit_code == 1
    assert "  error    a small model could not be compiled and run" in done.stdout


def test_a_variable_that_is_wrong():
    """Nothing is chosen, so nothing runs; all that does not hang on it is told."""
    done = run_script(NO_TRIALS, LAYERCC_ISA="avx1024")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    data = json.loads(done.stdout)
    assert "avx1024" in data["facts"]["processor"]["instruction set"]["unknown"]
    assert data["facts"]["processor"]["best instruction set"]
    whats = [finding["what"] for finding in data["findings"] if finding["level"] == "error"]
    assert whats == ["no instruction set can be chosen"]


@pytest.mark.parametrize("module", ["numpy", "numba", "onnx", "platformdirs"])
def test_a_package_that_cannot_be_imported(module):
    done = run_script(f"import sys; sys.modules[{module!r}] = None\n{NO_TRIALS}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    facts = json.loads(done.stdout)["facts"]
    assert facts["processor"]["layercc runs on"] >= 1 and facts["packages"]["needed"]["numpy"]


NO_TRIALS = """
from layercc.tools.doctor import trials
def run_worker(*arguments):
    raise trials.TrialError("not tried")
trials.run_worker = run_worker
"""


def run_script(begin, **variables):
    """`layercc doctor` in a process that runs some code first."""
    script = (
        f"{begin}\nfrom layercc.tools.cli import main\nmain(['doctor', '--no-measure', '--json'])"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


def test_nothing_private(told, tmp_path, monkeypatch):
    home = tmp_path / "home" / "ada"
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(home / "kernels"))
    monkeypatch.setenv("PYTHONPATH", f"/scratch/ada/lib{os.pathsep}/data/adapter")
    found = examine(Machine(measure=False))
    text = json.dumps(found.to_dict()) + str(found)
    assert str(home) not in text and "/ada/" not in text
    assert "~/kernels" in text
    assert "/scratch/USER/lib" in text and "/data/adapter" in text


def test_a_conclusion_that_fails(told, monkeypatch):
    def wrong(facts):
        raise KeyError("not there")

    monkeypatch.setattr("layercc.tools.doctor.examine.conclusions", [wrong])
    found = examine(Machine(measure=False))
    assert [finding.what for finding in found.findings] == [
        "no conclusion on wrong: KeyError: 'not there'"
    ]


def test_nothing_found():
    assert str(Examination([], [])) == "\nfindings\n  none"


def test_lines_break_between_items():
    text = ", ".join(f"name{i}\u00a0{i} B" for i in range(30))
    lines = str(Examination([Fact("section", "fact", {}, text)], [])).splitlines()
    assert len(lines) > 4 and all(len(line) <= 100 for line in lines)
    assert "\u00a0" not in "".join(lines)


def test_a_probe_never_raises():
    def ask(machine, facts):
        raise RuntimeError("a fault\n  on two lines")

    fact = Probe("section", "name", ask, str).fact(Machine(), Facts())
    assert fact.text == "RuntimeError: a fault on two lines"


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (48 << 10, "48 KiB"),
        (1 << 20, "1 MiB"),
        (3 << 29, "1.5 GiB"),
        (1000 << 20, "1000 MiB"),
        (1 << 60, "1048576 TiB"),
    ],
)
def test_binary(nbytes, text):
    assert binary(nbytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (3, "3"),
        ([], "none"),
        (["a", False], "a, no"),
        ({"a": 1, "b": "c"}, "a\u00a01, b\u00a0c"),
        ({}, "none"),
    ],
)
def test_plain(value, text):
    assert plain(value) == text

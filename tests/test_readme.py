"""What the README shows works, in the order in which it is shown; files named in docs exist."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from layercc.tools.cli import main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == language]


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """Runs the Python blocks in a folder of their own; the folder, and what they printed."""
    folder = tmp_path_factory.mktemp("readme")
    names: dict[str, object] = {}
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        for number, block in enumerate(blocks("python"), 1):
            exec(compile(block, f"README.md, Python block {number}", "exec"), names)
    return folder, printed.getvalue()


def test_python_blocks(tour):
    folder, printed = tour
    assert len(blocks("python")) >= 5
    assert (folder / "digits.onnx").exists()
    assert "parameters" in printed and "\nbatch 10\n" in printed and "error[" in printed


def test_commands(tour, monkeypatch):
    """All but `bench`, which takes its time and wants other runtimes."""
    folder, _ = tour
    monkeypatch.chdir(folder)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("layercc ")]
    shown = [command for command in commands if command[0] != "bench"]
    assert {command[0] for command in shown} >= {"check", "compile", "run", "inspect"}
    for command in shown:
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, f"layercc {' '.join(command)}: {result.output}"
    assert (folder / "results" / "dense.npy").exists()


NAMED = re.compile(r"`((?:ir|layercc|tests|benchmarks|docs|examples)/[\w./*]+)`")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/architecture.md"])
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    assert [name for name in NAMED.findall(text) if not list(ROOT.glob(name))] == []

"""What the README shows works, in the order in which it is shown; files named in docs exist."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from layercc.tools import docs
from layercc.tools.bench.results import Benchmark
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


PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
#: A fenced block without a language, with a rule in it: what a command printed.
TABLE = re.compile(r"^```\n((?:(?!```).*\n)*?.*─{9}.*\n(?:(?!```).*\n)*)```$", re.MULTILINE)


def sections(page: str) -> list[str]:
    return re.split(r"^## ", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("section", sections("README.md"), ids=lambda text: text.split("\n")[0])
def test_pictures_and_tables_stand_by_the_command_that_makes_them(section):
    """A picture's command names its file; all options of commands that are shown exist."""
    commands = [
        shlex.split(line)
        for language, block in BLOCK.findall(section)
        if language == "sh"
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("layercc ")
    ]
    for _, name, *arguments in commands:
        command = main.get_command(click.Context(main), name)
        assert command is not None, f"layercc {name}"
        command.make_parser(click.Context(command)).parse_args(list(arguments))
    for path in PICTURE.findall(section):
        assert (ROOT / path).is_file(), f"{path} is not there"
        assert any(path in command for command in commands), f"no command shown makes {path}"
    if TABLE.search(section) or re.search(r"^\|[ :|-]+\|$", section, re.MULTILINE):
        assert commands, f"no command is shown that prints the table in: {section[:60]}"


@pytest.mark.parametrize("page", docs.PRINTED, ids=lambda page: page.name)
def test_tables_are_what_bench_printed(page):
    written = page.read_text(encoding="utf-8")
    assert written == docs.with_printed(page), f"{page.name} is out of date; run: {docs.COMMAND}"
    assert len(TABLE.findall(written)) == 1


def test_the_picture_is_of_the_same_figures():
    """Its text is text: names and titles are those that these figures give. (Places are not
    compared: they are matplotlib's.)"""
    result = Benchmark.load(docs.FIGURES)
    picture = docs.FIGURES.with_suffix(".svg").read_text(encoding="utf-8")
    names = [result.graph, *(timing.runtime for timing in result.timings), "samples a second"]
    assert all(name in picture for name in names)


NAMED = re.compile(r"`((?:ir|layercc|tests|benchmarks|docs|examples)/[\w./*]+)`")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/architecture.md"])
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    assert [name for name in NAMED.findall(text) if not list(ROOT.glob(name))] == []

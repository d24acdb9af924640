"""The command line imports the modules that define the ops of a model."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from layercc.tools.cli import main


def test_ops_of_a_module(tmp_path: Path) -> None:
    model = tmp_path / "model.graph"
    model.write_text("graph g(x: f32[3]) -> (y: f32[3]) { y = tests.swish(x) }")
    given = ["--import", "tests.own.own_ops", "check", str(model)]
    found = CliRunner().invoke(main, given)
    assert found.exit_code == 0 and "tests.swish" in found.output
    wrong = CliRunner().invoke(main, ["--import", "no_such_module", "check", str(model)])
    assert wrong.exit_code == 2 and "--import no_such_module" in wrong.output

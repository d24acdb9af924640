"""A user's scalar function, edited between two processes, is compiled anew."""

# mypy: ignore-errors

import os
import subprocess
import sys
import textwrap

import pytest

from layercc.kernels.functions import is_digested, name_of, resolve

PROGRAM = """
import numpy as np

import mine
from ir.ops.pointwise import Pointwise
from ir.registry import register


@register
class Own(Pointwise):
    name = "my.Own"
    inputs = ("X: T",)
    constraints = {"T": "float"}
    scalar = staticmethod(mine.function)


import layercc as lc

fn = lc.compile(lc.parse_graph("graph g(x: f32[4]) -> (y) { y = my.Own(x) }"), threads=1)
print(fn(np.full(4, 3.0, np.float32))[0])
"""

MINE = """
import numpy as np
import constants

OFFSET = 1.0

def helper(x):
    return x * 2.0

def function(x, power=2):
    y = (lambda z: helper(z))(x) if False else helper(x)
    return np.abs(y) + OFFSET + constants.LEVEL
"""

EDITS = {
    "itself": ("mine.py", "np.abs(y) +", "np.abs(y) -", 5.0),
    "a function that it calls": ("mine.py", "x * 2.0", "x * 4.0", 13.0),
    "a global": ("mine.py", "OFFSET = 1.0", "OFFSET = 5.0", 11.0),
    "another module": ("constants.py", "0.0", "100.0", 107.0),
}


def run(folder):
    environment = {
        **os.environ,
        "LAYERCC_CACHE_DIR": str(folder / "kernels"),
        "PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, str(folder / "program.py")]
    made = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert made.returncode == 0, made.stderr
    return float(made.stdout)


def entries(folder):
    return sorted(file.name for file in (folder / "kernels").glob("*.kernel"))


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_function_is_another_function(tmp_path, edit):
    texts = {"program.py": PROGRAM, "mine.py": MINE, "constants.py": "LEVEL = 0.0\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1, 1))  # as if it had been there for long
    assert run(tmp_path) == 7.0
    before = entries(tmp_path)
    assert run(tmp_path) == 7.0
    assert entries(tmp_path) == before  # nothing was compiled
    file, old, new, expected = EDITS[edit]
    assert old in texts[file]
    (tmp_path / file).write_text(texts[file].replace(old, new))
    os.utime(tmp_path / file, (1, 1))  # a clock that stands still hides nothing
    assert run(tmp_path) == expected
    assert len(entries(tmp_path)) == len(before) + 1


def test_a_function_without_source_is_not_cached():
    names = {"__name__": __name__}
    exec(textwrap.dedent("def typed(x):\n    return x + 1.0\n"), names)
    assert not is_digested((name_of(names["typed"]),))


def test_a_function_that_uses_what_cannot_be_digested_is_not_cached():
    assert not is_digested((("f32",), ((name_of(uses_state), (0,), (), "f32"),), (1,)))
    assert is_digested((("f32",), ((name_of(uses_a_constant), (0,), (), "f32"),), (1,)))
    assert is_digested((("f32",), (("relu", (0,), (), "f32"),), (1,)))


STATE = {"level": 1.0}
CONSTANT = (1.0, 2)


def uses_state(x):
    return x + STATE["level"]


def uses_a_constant(x):
    return x + CONSTANT[0]


def test_a_name_of_another_state_is_refused():
    name = name_of(uses_a_constant)
    assert resolve(name) is uses_a_constant
    with pytest.raises(LookupError, match="is not what it was"):
        resolve(name[:-1] + ("0" if name[-1] != "0" else "1"))

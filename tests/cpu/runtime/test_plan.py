"""Binding a program to kernels and memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layercc.cpu.isa import host_isa
from layercc.cpu.kernels.copy import copy
from layercc.cpu.runtime.native import default_kernels
from layercc.cpu.runtime.plan import Plan
from layercc.program import Address, Buffer, KernelCall, Port, Program

GIVEN = {
    "x": Address(Buffer("input", 40, 0)),
    "y": Address(Buffer("output", 40, 0)),
    "n": 5,
    "chunk": 5,
}


def program(arguments: dict[str, Any]) -> Program:
    port = Port("x", np.dtype(np.float64), (5,))
    return Program([port], [port], [KernelCall(copy.key("f64"), 1, arguments, node="conv1")])


def test_arguments_become_words() -> None:
    x = np.arange(5.0)
    (y,) = Plan(program(GIVEN), default_kernels(host_isa())).run([x], threads=1)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({k: v for k, v in GIVEN.items() if k != "chunk"}, "argument chunk is missing"),
        ({**GIVEN, "z": 1}, "there is no argument z"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(TypeError, match=rf"kernel copy\[f64\] for node conv1: {fault}"):
        Plan(program(arguments), default_kernels(host_isa()))

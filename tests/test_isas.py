"""Tests marked `every_isa` compile for the instruction set that they are named after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from layercc.cpu.isa import Isa
from tests.support import chosen_isa

pytestmark = pytest.mark.every_isa


@pytest.fixture(params=["one", "two"])
def compiled_for(request: pytest.FixtureRequest) -> Iterator[Isa]:
    yield chosen_isa()


def test_a_test_alone(isa: Isa) -> None:
    assert chosen_isa() == isa


@pytest.mark.parametrize("size", [1, 2])
def test_a_parametrised_test(isa: Isa, size: int) -> None:
    assert chosen_isa() == isa


def test_a_parametrised_fixture(isa: Isa, compiled_for: Isa) -> None:
    assert compiled_for == isa


def test_a_test_that_does_not_ask(request: pytest.FixtureRequest, compiled_for: Isa) -> None:
    assert compiled_for.name in request.node.name

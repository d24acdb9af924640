"""The stand-in driver, for tests that run models on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from layercc.cuda import driver
from layercc.cuda.codegen import assembler
from layercc.cuda.store import GpuKernels
from tests.cuda.stand_in import StandIn


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A driver whose device executes PTX."""
    made = StandIn()
    monkeypatch.setattr(driver, "bindings", lambda: made)
    monkeypatch.setenv(assembler.VARIABLE, "")  # kernels as PTX
    # a process for each few small kernels would take longer to begin than they take
    monkeypatch.setattr(GpuKernels, "compile_elsewhere", lambda *_: None)
    for cached in (driver.device, assembler.find_assembler):
        cached.cache_clear()
    yield made
    for cached in (driver.device, assembler.find_assembler):
        cached.cache_clear()

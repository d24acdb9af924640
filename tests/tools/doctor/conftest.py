"""Fixtures of the tests of `layercc doctor`."""

# mypy: ignore-errors

from pathlib import Path

import pytest

from layercc.kernels.cache import KernelCache
from layercc.tools.doctor import trials
from tests.tools.doctor.asking import CHECKED, limits


@pytest.fixture
def told(monkeypatch):
    """What trials find, told rather than tried out; may be changed."""
    answers = {"check": dict(CHECKED), "limits": limits}

    def run_worker(what, threads, variables=None):
        answer = answers[what]
        if isinstance(answer, Exception):
            raise answer
        if variables:  # leaves a kernel in the cache
            (Path(variables["LAYERCC_CACHE_DIR"]) / "a.kernel").touch()
        return answer(threads) if callable(answer) else answer

    monkeypatch.setattr(trials, "run_worker", run_worker)
    return answers


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("LAYERCC_CACHE_DIR", str(folder))
    monkeypatch.delenv("LAYERCC_CACHE", raising=False)
    return KernelCache(folder)

"""Each job has an emitter, where its name says."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import layercc.jobs
from layercc.cpu.emit.registry import EMITTERS
from layercc.jobs.job import Job


def all_jobs() -> list[type[Job]]:
    """What the files of layercc/jobs define, but for the bases of others."""
    for module in pkgutil.iter_modules(layercc.jobs.__path__):
        importlib.import_module(f"layercc.jobs.{module.name}")
    found, kinds = [], [Job]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if not kind.__subclasses__() and kind.__module__.startswith("layercc.jobs."):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", all_jobs())
def test_a_job_is_emitted_by_the_file_of_its_name(kind: type[Job]):
    family = kind.__module__.rpartition(".")[2]
    importlib.import_module(f"layercc.cpu.emit.{family}")
    assert EMITTERS._known[kind].__module__ == f"layercc.cpu.emit.{family}"

"""Facts of the kernel cache: that of a test, with entries of all kinds."""

# mypy: ignore-errors

import os

import pytest

from layercc.cpu.isa import host_isa
from layercc.cpu.kernels.copy import copy
from layercc.cpu.runtime.kernel_cache import entry_name
from layercc.kernels.cache import CompiledKernel
from layercc.tools.doctor.registry import Facts, Machine, probes
from tests.tools.doctor.asking import concluded


def cache_facts():
    facts = Facts()
    for probe in probes:
        if probe.section == "kernel cache":
            facts.all.append(probe.fact(Machine(), facts))
    return facts


def test_entries(cache):
    kernel = CompiledKernel(copy.key("f32"), (), "symbol", b"code")
    cache.store(entry_name(kernel.key, host_isa()), kernel)
    cache.store("0" * 64, kernel)
    cache.store("1" * 64, CompiledKernel(type(kernel.key)("no_such_family"), (), "", b""))
    (cache.folder / "2.kernel").write_bytes(b"layercc0 in another format")
    (cache.folder / "3.kernel").write_bytes(kernel.to_bytes()[:-1])
    (cache.folder / "4.partial").touch()
    facts = cache_facts()
    found = facts.value("kernel cache", "entries")
    assert (found["count"], found["current"], found["other"], found["damaged"]) == (5, 1, 3, 1)
    assert facts.value("kernel cache", "writable") is True
    assert facts.value("kernel cache", "usable") == ""
    assert concluded(*facts.all) == ["cache"]  # the damaged one


def test_only_some_entries_are_looked_at(cache, monkeypatch):
    monkeypatch.setattr("layercc.tools.doctor.cache._LOOKED_AT", 2)
    for name in "abc":
        (cache.folder / f"{name}.kernel").touch()
    text = cache_facts().find("kernel cache", "entries").text
    assert "; of the 2 last used: 0 for this version and machine, 0 for others, 2 damaged" in text


@pytest.mark.parametrize("fault", ["a file", "open to others", "below a file", "off"])
def test_a_cache_that_cannot_be_used(cache, monkeypatch, fault):
    folder = cache.folder
    if fault == "open to others":
        if os.name != "posix":
            pytest.skip("permissions are POSIX's")
        folder.chmod(0o777)
    elif fault == "off":
        monkeypatch.setenv("LAYERCC_CACHE", "0")
    else:
        folder.rmdir()
        folder.touch()
        if fault == "below a file":
            monkeypatch.setenv("LAYERCC_CACHE_DIR", str(folder / "kernels"))
    facts = cache_facts()
    assert facts.value("kernel cache", "usable")
    assert concluded(*facts.all) == ["cache"]
    assert not [fact for fact in facts.all if fact.unknown]


def test_a_folder_that_takes_no_files(cache, monkeypatch):
    def refuse(**options):
        raise PermissionError("read-only file system")

    monkeypatch.setattr("layercc.tools.doctor.cache.tempfile.NamedTemporaryFile", refuse)
    facts = cache_facts()
    assert facts.value("kernel cache", "writable") is False
    assert concluded(*facts.all) == ["cache"]

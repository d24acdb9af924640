"""What the system tells of the processor, from trees of files as Linux shows them."""

# mypy: ignore-errors

import pytest

from layercc import processor
from layercc.processor import Cache, caches, processor_name, processor_set

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC

processor\t: 1
model name\t: another
"""
ARM = """processor\t: 0
BogoMIPS\t: 243.75
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (X86, "AMD EPYC (family 26, model 2)"),
        (ARM, "the system's name (CPU implementer 0x41, CPU part 0xd40)"),
        ("Model\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
        ("", "the system's name"),
        (None, "the system's name"),
    ],
    ids=["x86", "arm", "board", "empty", "none"],
)
def test_name(tmp_path, monkeypatch, text, name):
    monkeypatch.setattr(processor, "_system_name", lambda: "the system's name")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert processor_name(tmp_path / "cpuinfo") == name


def cache_folder(root, cpu, index, kind, level, size, shared):
    folder = root / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in zip(
        ("type", "level", "size", "shared_cpu_list"), (kind, level, size, shared), strict=True
    ):
        if text is not None:
            (folder / name).write_text(f"{text}\n")


def test_caches(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "allowed_processors", lambda: (0, 1))
    for cpu in (0, 1, 2):  # this process may not run on 2
        cache_folder(tmp_path, cpu, 0, "Data", 1, "48K", cpu)
        cache_folder(tmp_path, cpu, 1, "Instruction", 1, "32K", cpu)
        cache_folder(tmp_path, cpu, 2, "Unified", 3, "32M", "0-2")
        cache_folder(tmp_path, cpu, 3, "Unified", 4, None, "0-2")
        cache_folder(tmp_path, cpu, 4, "Unified", 4, "large", "0-2")
    assert caches(tmp_path, "Linux") == (
        Cache(1, 48 << 10, frozenset({0})),
        Cache(1, 48 << 10, frozenset({1})),
        Cache(3, 32 << 20, frozenset({0, 1, 2})),
    )


def test_no_caches_are_told(tmp_path):
    assert caches(tmp_path / "none", "Linux") == ()


def test_caches_of_macos(monkeypatch):
    told = {"hw.perflevel0.l1dcachesize": "131072", "hw.perflevel0.l2cachesize": "16777216"}
    monkeypatch.setattr(processor, "sysctl", lambda name: told.get(name, ""))
    monkeypatch.setattr(processor, "allowed_processors", lambda: (0, 1, 2))
    assert [(each.level, each.nbytes, len(each.shared_by)) for each in caches(system="Darwin")] == [
        (1, 131072, 1),
        (2, 16777216, 3),
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", {0}), ("0-2,8\n", {0, 1, 2, 8}), ("", set()), ("\n", set())],
)
def test_processor_set(text, numbers):
    assert processor_set(text) == numbers


def test_no_processor_set():
    with pytest.raises(ValueError):
        processor_set("all")

"""Making object code callable, by our own linker and by LLVM's."""

# mypy: ignore-errors

import gc
import math
import platform
import struct
import sys

import numpy as np
import pytest

from layercc.cpu import executor
from layercc.cpu.isa import host_isa
from layercc.cpu.kernels.copy import copy
from layercc.cpu.objects import ObjectFile
from layercc.cpu.runtime import loading
from layercc.cpu.runtime.linking import NotLinkableError, link
from layercc.cpu.runtime.loading import load_object, load_with_llvm
from layercc.cpu.runtime.native import Kernels, compile_kernel
from layercc.kernels.declaration import INT, kernel_family, pointer
from layercc.runtime.code import CodeMemory
from tests.cpu.native_calls import ENTRY, argument_words

LINKS = sys.platform == "linux" and platform.machine() == "x86_64"
needs_elf = pytest.mark.skipif(not LINKS, reason="objects of other systems are linked by LLVM")


@kernel_family
def remainders_and_names():
    """A kernel with constants, a table of jumps and calls of C functions."""

    def body(task: INT, x: pointer("f64"), y: pointer("f64"), n: INT):
        for i in range(n):
            if task == 0:
                y[i] = math.sinh(x[i] * 0.5)
            elif task == 1:
                y[i] = math.erf(x[i]) * 1.25
            elif task == 2:
                y[i] = math.acosh(x[i] + 1.0)
            elif task == 3:
                y[i] = -x[i]
            elif task == 4:
                y[i] = math.sinh(x[i]) + math.erf(x[i])
            else:
                y[i] = 3.5

    return body


EXPECTED = [
    lambda x: math.sinh(x * 0.5),
    lambda x: math.erf(x) * 1.25,
    lambda x: math.acosh(x + 1.0),
    lambda x: -x,
    lambda x: math.sinh(x) + math.erf(x),
    lambda x: 3.5,
]


@pytest.fixture(scope="module")
def compiled():
    return compile_kernel(remainders_and_names.key(), host_isa())


@pytest.fixture(scope="module")
def copying():
    return Kernels(None, host_isa()).compile(copy.key("f32"))


@pytest.mark.parametrize("load", [load_object, load_with_llvm])
def test_both_linkers_give_the_same_function(compiled, load):
    address, owner = load(compiled.code, compiled.symbol)
    function = ENTRY(address)
    x = np.array([0.0, 0.1, 2.5, 50.0])
    for task, expected in enumerate(EXPECTED):
        y = np.zeros_like(x)
        words = argument_words(compiled.signature, [x, y, len(x)])
        function(task, words.ctypes.data)
        np.testing.assert_allclose(y, [expected(value) for value in x], rtol=1e-15)
    del owner


@needs_elf
def test_an_image_calls_through_slots(compiled):
    image = link(compiled.code, compiled.symbol)
    assert set(image.imports) >= {"sinh", "erf"}
    for slot in image.imports.values():
        assert slot % 8 == 0
        assert image.code[slot : slot + 8] == bytes(8)
        assert image.code[slot - 8 : slot - 6] == b"\xff\x25"


@needs_elf
def test_code_memory_is_not_writable_and_is_given_back(copying):
    def mappings(address):
        with open("/proc/self/maps") as lines:
            for line in lines:
                first, last = (int(part, 16) for part in line.split()[0].split("-"))
                if first <= address < last:
                    return line.split()[1]
        return None

    memory = CodeMemory(link(copying.code, copying.symbol))
    entry = memory.entry
    assert mappings(entry).startswith("r-x")
    del memory
    gc.collect()
    assert mappings(entry) is None


@needs_elf
def test_kernels_need_no_llvm_to_load():
    # All kernels of the executor, which have the most of what a linker must know.
    for key in executor.EXECUTOR_KEYS:
        compiled = Kernels(None, host_isa()).compile(key)
        link(compiled.code, compiled.symbol)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda code: b"", "not recognized as a valid object file"),
        (lambda code: code[:300], "not a whole object file|past the end of the file"),
        (lambda code: code, "no such function|Symbols not found"),
    ],
    ids=["empty", "cut", "without the function"],
)
def test_code_that_does_not_load(copying, change, message):
    with pytest.raises(RuntimeError, match=message):
        load_object(change(copying.code), "no_such_function")


@needs_elf
def test_an_unknown_relocation_is_left_to_llvm(compiled, monkeypatch):
    file = ObjectFile.parse(compiled.code)
    first = file.relocations[0]
    entry = struct.pack("<QQ", first.offset, first.symbol << 32 | first.type)
    other = struct.pack("<QQ", first.offset, first.symbol << 32 | 42)  # R_X86_64_REX_GOTPCRELX
    with pytest.raises(NotLinkableError, match="relocation of type 42"):
        link(compiled.code.replace(entry, other, 1), compiled.symbol)

    handed = []
    monkeypatch.setattr(loading, "load_with_llvm", lambda *arguments: handed.append(arguments))
    monkeypatch.setattr(loading, "link", _not_linkable)
    load_object(compiled.code, compiled.symbol)
    assert handed == [(compiled.code, compiled.symbol)]


def _not_linkable(code, symbol):
    raise NotLinkableError("for the test")


@needs_elf
def test_a_function_that_the_c_library_lacks(compiled):
    image = link(compiled.code.replace(b"\0sinh\0", b"\0sinq\0"), compiled.symbol)
    with pytest.raises(RuntimeError, match="no function sinq"):
        CodeMemory(image)

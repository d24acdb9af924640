"""Declaring kernel families and naming kernels."""

# mypy: ignore-errors

import json
import math
import subprocess
import sys

import pytest

from layercc.cpu.families import family_of
from layercc.cpu.isa import host_isa
from layercc.cpu.kernels.copy import copy
from layercc.kernels.declaration import (
    F32,
    F64,
    I32,
    INT,
    Argument,
    KernelFamily,
    KernelKey,
    Kind,
    kernel_family,
    optional,
    pointer,
    record,
    words_of,
)


def test_key():
    key = copy.key("f32")
    assert key == KernelKey("copy", ("f32",)) == copy.key(dtype="f32")
    assert str(key) == "copy[f32]"
    assert family_of(key) is copy


@pytest.mark.parametrize(
    "params",
    [(), ("f32", 3, -0.0, True), (("a", (1, 2)), ()), (math.inf, 1e-300), (math.nan,)],
)
def test_key_survives_json(params):
    key = KernelKey("family", params)
    again = KernelKey.from_json(json.loads(json.dumps(key.to_json())))
    assert again == key and hash(again) == hash(key) and str(again) == str(key)


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0.0, -0.0), ("1", 1)])
def test_keys_differ_where_they_are_written_differently(one, other):
    assert KernelKey("family", (one,)) != KernelKey("family", (other,))


@pytest.mark.parametrize("bad", [None, [1], {"a": 1}, b"x", ((None,),)])
def test_parameters_are_plain(bad):
    with pytest.raises(TypeError, match="parameters are str, int, float, bool and tuples"):
        copy.key(bad)


def test_wrong_parameters():
    with pytest.raises(TypeError):
        copy.key("f32", 4)


def test_signature():
    family = family_of(copy.key("bf16"))
    assert family.signature(family.body(copy.key("bf16"), host_isa())) == (
        Argument("x", Kind("pointer", "bf16")),
        Argument("y", Kind("pointer", "bf16")),
        Argument("n", INT),
        Argument("chunk", INT),
    )


@pytest.mark.parametrize(
    "kind",
    [pointer("f32"), pointer("bool"), INT, I32, F64, F32, optional(pointer("i8")), optional(INT)],
)
def test_kinds_print_and_parse(kind):
    assert Kind.parse(str(kind)) == kind


def test_words_of_records():
    pair = record("Pair", data=pointer("f32"), size=optional(INT))
    assert list(words_of("x", (pair, INT))) == [
        Argument("x.0.data", pointer("f32")),
        Argument("x.0.size", optional(INT)),
        Argument("x.1", INT),
    ]
    assert all(word.kind.optional for word in words_of("x", optional((pair, INT))))


def test_bad_kinds():
    with pytest.raises(ValueError, match="no pointer type 'float'; known: f32"):
        pointer("float")
    with pytest.raises(ValueError, match="no argument kind"):
        Kind.parse("i16")


def test_bad_bodies():
    def no_task(x: INT): ...

    def not_annotated(task: INT, x): ...

    def not_a_kind(task: INT, x: (INT, record("Pair", first=INT, second=str))): ...

    def fine(task: INT, x: INT): ...

    for body, noalias, message in (
        (no_task, (), "first argument must be `task: INT`"),
        (not_annotated, (), "argument x is annotated"),
        (not_a_kind, (), "argument x.1.second is annotated <class 'str'>"),
        (fine, ("y",), r"noalias names no argument: \['y'\]"),
    ):
        with pytest.raises(TypeError, match=message):
            KernelFamily(body, noalias).signature(body)


def test_names_are_unique():
    def copy(): ...

    with pytest.raises(ValueError, match=r"is already in layercc\.cpu\.kernels\.copy"):
        kernel_family(copy)


def test_unknown_family():
    with pytest.raises(KeyError, match="is the module that defines it imported"):
        family_of(KernelKey("no_such_kernel"))


def test_families_are_listed_without_numba():
    script = (
        "import sys; import layercc.cpu.kernels as k; from layercc.cpu.kernels.copy import copy\n"
        "assert copy.key('f32'); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

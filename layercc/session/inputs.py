"""The arrays that a model is called with: in order, dense, of the declared types and shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ir.diagnostics import InputError
from ir.dims import unify
from ir.graph import Value
from ir.types import format_shape
from layercc.target import DeviceMemory

#: Bits of `ndarray.flags.num`: C-contiguous and aligned, as kernels read arrays.
DENSE = 0x0001 | 0x0100
#: Kinds of DLPack's devices that the host reads: its own memory, and what GPUs share with it.
_HOST = (1, 3, 11, 13)
_DEVICES = {2: "cuda", 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 14: "oneapi"}
#: Elements an integer input may have for a model to be specialized on its values.
SMALL = 64


class Inputs:
    """The declared inputs of a model, and how what callers give becomes arrays for them."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.values = list(values)
        self.names = [value.name for value in values]
        self._known = set(self.names)
        #: Inputs of the model that are constants here, for messages.
        self.optional: Sequence[Value] = ()
        self.dtypes: list[np.dtype] = [value.dtype.value for value in values]
        #: Where arrays may lie besides the memory of the host.
        self.memory: DeviceMemory | None = None

    def __str__(self) -> str:
        required = ", ".join(map(str, self.values)) or "none"
        optional = ", ".join(map(str, self.optional))
        return f"{required}; optional: {optional}" if optional else required

    def in_order(self, arrays: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """Arrays given by position, then by name, in the order of the inputs.

        Raises InputError for arrays too many, missing, given twice, or of unknown name.
        """
        if not arrays and type(named) is dict and named.keys() == self._known:
            return [named[name] for name in self.names]
        if len(arrays) > len(self.names):
            raise InputError(f"{len(arrays)} arrays given; the inputs are {self}")
        given = dict(zip(self.names, arrays, strict=False))
        for name, array in named.items():
            if name not in self._known:
                raise InputError(f"there is no input {name!r}; the inputs are {self}")
            if name in given:
                raise InputError(f"input {name!r} is given twice, by position and by name")
            given[name] = array
        missing = [name for name in self.names if name not in given]
        if missing:
            raise InputError(
                f"no array given for {', '.join(map(repr, missing))}; the inputs are {self}"
            )
        return [given[name] for name in self.names]

    def converted(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """What was given as dense arrays of the declared dtypes, in the memory of the host; see
        `as_dense`."""
        if (memory := self.memory) is not None:
            stream = memory.stream(None)
            arrays = [
                each if isinstance(each, np.ndarray) else memory.host(each, stream)
                for each in self.taken(arrays, stream)
            ]
        return [as_dense(array, value) for array, value in zip(arrays, self.values, strict=True)]

    def taken(self, arrays: Sequence[Any], stream: Any) -> list[Any]:
        """What was given, dense and of the declared dtypes: as it lies in the device's memory, for
        work on a stream, or else in that of the host.

        Raises InputError for what fits neither.
        """
        assert self.memory is not None
        made: list[Any] = []
        for given, value, dtype in zip(arrays, self.values, self.dtypes, strict=True):
            if (
                type(given) is np.ndarray
                and given.dtype == dtype
                and given.flags.num & DENSE == DENSE
            ):
                made.append(given)
                continue
            try:
                found = self.memory.taken(given, stream)
            except InputError as error:
                raise InputError(f"input {value.name!r}: {error}") from error
            if found is not None and found.dtype != dtype:
                raise InputError(
                    f"input {value.name!r} is {value.dtype}; an array of {found.dtype} on the "
                    "device was given"
                )
            made.append(as_dense(given, value) if found is None else found)
        return made

    def check_shapes(self, shapes: Sequence[Sequence[int]]) -> None:
        """Raises InputError unless the shapes fit the declared ones, symbols bound alike."""
        bindings: dict[str, int] = {}
        for shape, value in zip(shapes, self.values, strict=True):
            try:
                bindings = unify(value.shape, shape, bindings)
            except ValueError as error:
                raise InputError(
                    f"input {value.name!r} is {format_shape(shape)}, "
                    f"{format_shape(value.shape)} would fit: {error}"
                ) from None


def by_name(given: Any, what: str = "arrays") -> dict[str, Any]:
    """What a caller gives by input name. Raises InputError if it is no mapping."""
    if not isinstance(given, Mapping):
        raise InputError(
            f"a {type(given).__name__} was given; {what} by input name, {{name: ...}}, would fit"
        )
    return dict(given)


def check_sizes(name: str, shape: Any) -> None:
    """Raises InputError unless `shape` is a sequence of integers that are no less than 0."""
    fits = isinstance(shape, (tuple, list)) and all(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0
        for size in shape
    )
    fits = fits and math.prod(map(int, shape)) < 1 << 48  # more than an address space holds
    if not fits:
        raise InputError(f"input {name!r}: {shape!r} is no shape; a tuple of integers would fit")


def as_dense(given: Any, value: Value) -> np.ndarray:
    """`given` as a dense, aligned array of the input's dtype.

    Takes arrays and anything with `__dlpack__` or `__array__`, whose dtypes may only be widened;
    and Python numbers in lists, which become any dtype of their kind that holds them. Raises
    InputError.
    """
    dtype: np.dtype = value.dtype.value
    if where := device_of(given):
        raise InputError(
            f"input {value.name!r} lies on {where}; the model takes arrays in the memory of the "
            "host (of a tensor, .cpu() is there), and those of a GPU with target='cuda'"
        )
    try:
        if hasattr(given, "__dlpack__") and not isinstance(given, np.ndarray):
            array = np.from_dlpack(given)
        else:
            array = np.asarray(given)
    except Exception as error:  # whatever the conversion of a foreign object raises
        raise InputError(
            f"input {value.name!r}: a {type(given).__name__} does not become an array: {error}"
        ) from error
    if array.dtype != dtype:
        typed = hasattr(given, "dtype") or hasattr(given, "__array__")
        fits = np.can_cast(array.dtype, dtype, "safe") if typed else _holds(array, value)
        if not fits:
            raise InputError(
                f"input {value.name!r} is {value.dtype}; {_described(array)} was given"
            )
    return np.require(array, dtype, ["C", "A", "E"])


def device_of(given: Any) -> str:
    """Where an array of another library lies, if the host cannot read it there; else empty."""
    if isinstance(given, np.ndarray):
        return ""
    if hasattr(given, "__dlpack_device__"):
        kind, number = given.__dlpack_device__()
        return "" if kind in _HOST else f"{_DEVICES.get(kind, f'device {kind}')}:{number}"
    return "a CUDA device" if hasattr(given, "__cuda_array_interface__") else ""


def _holds(array: np.ndarray, value: Value) -> bool:
    """Whether Python numbers can become the dtype of an input: integers as they are, others
    rounded."""
    kind = array.dtype.kind
    if array.size == 0 or kind == "b":
        return True
    if kind not in "iufc":
        return False
    if value.dtype.value.kind in "iu" and kind in "iu":
        return bool((array.astype(value.dtype.value) == array).all())
    return bool(np.can_cast(array.dtype, value.dtype.value, "same_kind"))


def _described(array: np.ndarray) -> str:
    if array.dtype.kind in "iuf" and array.size == 1:
        return f"{array.item()} ({array.dtype})"
    return f"an array of {array.dtype}"

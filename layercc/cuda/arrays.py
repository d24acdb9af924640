"""Arrays on a device: results that stay there, and what other libraries hold there.

Both ways of exchange are spoken: DLPack, and `__cuda_array_interface__`, version 3
(https://nvidia.github.io/numba-cuda/user/cuda_array_interface.html).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ir.diagnostics import InputError
from ir.dtypes import dtype_of
from layercc.cuda import dlpack
from layercc.cuda.torch_tensors import plain

if TYPE_CHECKING:
    from layercc.cuda.blocks import Block
    from layercc.cuda.driver import Device
    from layercc.cuda.streams import Stream


class DeviceView:
    """An array on the device: its address, and a `holder` that keeps its memory."""

    __slots__ = ("__weakref__", "address", "dtype", "holder", "shape")

    def __init__(self, address: int, dtype: np.dtype, shape: tuple[int, ...], holder: Any) -> None:
        self.address = address
        self.dtype = dtype
        self.shape = shape
        self.holder = holder

    @property
    def size(self) -> int:
        return prod(self.shape)


class DeviceArray(DeviceView):
    """A dense array on a CUDA device: what a model returns when it is called with `device=True`.

    `shape` and `dtype` (NumPy's) are as those of an array. Other libraries take it without a copy:
    `torch.from_dlpack(y)`, `cupy.from_dlpack(y)`, `cupy.asarray(y)`. It may not be computed yet:
    its stream is behind the call that makes it, and whoever takes it has their own stream wait.
    Memory is freed with the last that holds it.
    """

    __slots__ = ("_block", "_device")

    def __init__(self, block: Block, offset: int, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        super().__init__(block.memory.address + offset, dtype, shape, block)
        self._block = block
        self._device = block.memory.device

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * int(self.dtype.itemsize)

    @property
    def device(self) -> str:
        """`"cuda:0"`, or another of that kind."""
        return f"cuda:{self._device.ordinal}"

    def wait(self) -> None:
        """Waits for the call that makes it. Raises DeviceError for what went wrong there."""
        if self._block.ready is not None:
            before = self._device.enter()
            try:
                self._block.ready.wait()
            finally:
                self._device.leave(before)

    def numpy(self) -> np.ndarray:
        """A copy in the memory of the host; waits for the call that makes it.

        Raises DeviceError for what went wrong on the device.
        """
        made = np.empty(self.shape, self.dtype)
        self.wait()
        before = self._device.enter()
        try:
            self._device.download(self.address, made)
        finally:
            self._device.leave(before)
        return made

    def __array__(self, *args: Any, **keywords: Any) -> np.ndarray:
        raise TypeError("an array on a device does not become one of NumPy by itself: .numpy()")

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self._device.ordinal

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """As the array API standard has it: the `stream` of who takes it (1 or None is the default
        one, -1 asks for nothing) waits for the call that makes the array.

        Raises BufferError for a copy, another device, or a type that DLPack does not have.
        """
        own = self.__dlpack_device__()
        if copy or (dl_device is not None and tuple(dl_device) != own):
            raise BufferError("it is given as it lies on its device; .numpy() copies to the host")
        if stream == 0:
            raise ValueError(
                "stream 0 is ambiguous; 1 (legacy default) or 2 (per thread) would fit"
            )
        number = 1 if stream is None else stream
        if number == -1:
            self._block.elsewhere = True
        else:
            self.have_wait(number)
        return dlpack.capsule_of(self.address, own, dtype_of(self.dtype), self.shape, self._block)

    def have_wait(self, number: int, stream: Stream | None = None) -> None:
        """Has another stream wait until the array is there."""
        block = self._block
        if number == block.stream.number:
            return
        block.elsewhere = True
        if block.ready is not None:
            before = self._device.enter()
            try:
                (stream or self._device.stream_of(number)).wait_for(block.ready)
            finally:
                self._device.leave(before)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Raises AttributeError for an element type that NumPy has no letters for, as bfloat16."""
        if self.dtype.isbuiltin != 1:
            raise AttributeError(f"__cuda_array_interface__ has no {self.dtype}; DLPack may")
        self._block.elsewhere = True  # who takes it does not say on which stream
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.size else 0, False),
            "version": 3,
            "strides": None,
            "stream": self._block.stream.number,
        }

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, device='{self.device}')"


def stream_number(given: Any) -> int:
    """The handle of a stream that a caller means: an integer; an object that says it by
    `__cuda_stream__`, or as PyTorch's (`cuda_stream`), CuPy's (`ptr`) or Numba's (`handle`) do;
    None is the legacy default stream, on which these libraries work unless told otherwise.

    Raises TypeError for anything else.
    """
    if given is None:
        return 1
    if hasattr(given, "__cuda_stream__"):
        own = given.__cuda_stream__
        given = (own() if callable(own) else own)[1]
    for name in ("cuda_stream", "ptr", "handle", "value"):
        given = getattr(given, name, given)
    if given is None:  # of ctypes: a null pointer
        return 1
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise TypeError(f"stream: a handle or a stream would fit; a {type(given).__name__} is none")
    return int(given) or 1  # 0 is the legacy default stream, too


def taken(given: Any, device: Device, stream: Stream) -> DeviceView | None:
    """An array that lies on the device, without a copy, for work on a stream, which waits until it
    is there. None for what lies in the memory of the host, or is no array.

    Raises InputError for one that lies elsewhere, has gaps, or an element type unknown here.
    """
    if isinstance(given, DeviceArray):
        if given._device is not device:
            raise InputError(f"it lies on {given.device}; the model runs on cuda:{device.ordinal}")
        given.have_wait(stream.number, stream)
        return given
    if (found := plain(given, device.ordinal, stream.number)) is not None:
        return DeviceView(*found, given)
    if hasattr(given, "__dlpack_device__"):
        kind, ordinal = given.__dlpack_device__()
        if (kind == dlpack.CUDA and ordinal == device.ordinal) or kind == dlpack.CUDA_MANAGED:
            return _from_dlpack(given, stream)
        if kind in (dlpack.CPU, dlpack.CUDA_HOST, dlpack.ROCM_HOST):
            return None
        where = f"cuda:{ordinal}" if kind == dlpack.CUDA else f"a device of DLPack's kind {kind}"
        raise InputError(f"it lies on {where}; the model runs on cuda:{device.ordinal}")
    interface = getattr(given, "__cuda_array_interface__", None)
    return None if interface is None else _from_interface(given, interface, device, stream)


def _from_dlpack(given: Any, stream: Stream) -> DeviceView:
    try:
        capsule = given.__dlpack__(stream=stream.number)
    except Exception as error:  # whatever a foreign library raises
        raise InputError(
            f"a {type(given).__name__} is not given by DLPack: {type(error).__name__}: {error}"
        ) from error
    found = dlpack.Contents(capsule)
    if found.dtype is None:
        raise InputError(f"its elements are of DLPack's {found.described}, which no input has")
    if found.strides is not None:
        raise InputError(_gaps(found.shape, found.strides))
    return DeviceView(found.address, found.dtype, found.shape, capsule)


def _from_interface(
    given: Any, interface: dict[str, Any], device: Device, stream: Stream
) -> DeviceView:
    shape = tuple(map(int, interface["shape"]))
    if interface.get("mask") is not None:
        raise InputError("it has a mask; arrays without one would fit")
    try:
        dtype = dtype_of(np.dtype(interface["typestr"]))
    except TypeError:
        raise InputError(f"its elements are {interface['typestr']}, which no input is") from None
    if interface["typestr"][0] == ">":
        raise InputError(f"its elements are {interface['typestr']}, in the order of other machines")
    strides = interface.get("strides")
    if strides is not None:
        steps = [stride / dtype.itemsize for stride in strides]
        if not dlpack.is_dense(shape, steps):
            raise InputError(_gaps(shape, steps))
    address, theirs = int(interface["data"][0]), interface.get("stream")
    before = device.enter()
    try:
        owner = device.owner(address) if prod(shape) else device.ordinal
        if owner != device.ordinal:
            raise InputError(f"it lies on cuda:{owner}; the model runs on cuda:{device.ordinal}")
        if theirs is not None and int(theirs) != stream.number:
            stream.wait_for_stream(device.stream_of(int(theirs)))
    finally:
        device.leave(before)
    return DeviceView(address, dtype.value, shape, given)


def _gaps(shape: Any, strides: Any) -> str:
    steps = ", ".join(f"{stride:g}" for stride in strides)
    return (
        f"its strides are ({steps}) elements for a shape of {tuple(shape)}; a dense array would "
        "fit (PyTorch: x.contiguous(), CuPy: cupy.ascontiguousarray(x))"
    )

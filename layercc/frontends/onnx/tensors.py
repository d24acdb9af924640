"""`TensorProto` → NumPy array, with every size checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dtypes import ONNX_DTYPES, DType
from layercc.frontends.onnx.external import ExternalData
from layercc.frontends.onnx.limits import MAX_RANK, MAX_SPARSE_BYTES, MAX_TENSOR_BYTES
from layercc.frontends.onnx.packing import PACKED_BITS, stored_bytes, unpacked
from layercc.frontends.onnx.wire import FileWeights


def element_type(code: int, where: str) -> DType:
    """The `DType` of an ONNX element type code. `where` says what has that type, for errors.

    Raises UnsupportedError for strings and types without a `DType`, InvalidModelError for codes
    that ONNX does not define.
    """
    found = ONNX_DTYPES.get(code)
    if found is not None:
        return found
    if code == TensorProto.UNDEFINED or code not in TensorProto.DataType.values():
        raise InvalidModelError(f"{where}: {code} is no ONNX element type")
    name = TensorProto.DataType.Name(code).lower()
    raise UnsupportedError(f"{where}: tensors of {name} are not supported")


class TensorReader:
    """Reads the tensors of one model.

    `external` finds the model's external data; None (a model given in memory) allows none. Files
    are mapped into memory once, read only; arrays are views of the mapping. `weights` are those
    that were left in the model's own file.
    """

    def __init__(self, external: ExternalData | None, weights: FileWeights | None = None) -> None:
        self.external = external
        self.weights = weights

    def dense(self, tensor: TensorProto, where: str) -> np.ndarray:
        """The array of `tensor`; `where` names it in errors."""
        dtype = element_type(tensor.data_type, where)
        shape = _shape(tensor.dims, where)
        if tensor.HasField("segment"):
            raise UnsupportedError(f"{where}: tensors stored in segments are not supported")
        count = math.prod(shape)
        nbytes = stored_bytes(count, dtype)
        data: bytes | memoryview
        if tensor.data_location == TensorProto.EXTERNAL:
            data = self._external(tensor, nbytes, where)
        elif tensor.HasField("raw_data"):
            data = self._raw(tensor.raw_data)
        else:
            return _from_field(tensor, dtype, shape, where)
        if len(data) != nbytes:
            raise InvalidModelError(
                f"{where}: {dtype}{list(shape)} takes {nbytes} bytes, the file has {len(data)}"
            )
        return unpacked(data, dtype, shape)

    def sparse(self, tensor: onnx.SparseTensorProto, where: str) -> np.ndarray:
        """The dense array of a sparse tensor (coordinates linear, or one row an element)."""
        shape = _shape(tensor.dims, where)
        values = self.dense(tensor.values, f"values of {where}")
        indices = self.dense(tensor.indices, f"indices of {where}")
        if math.prod(shape) * values.dtype.itemsize > MAX_SPARSE_BYTES:
            raise InvalidModelError(
                f"{where}: a dense tensor of shape {list(shape)} would take more than "
                f"{MAX_SPARSE_BYTES} bytes"
            )
        if indices.dtype != np.int64 or values.ndim != 1:
            raise InvalidModelError(f"{where}: values must be 1-D and indices int64")
        if indices.shape == (len(values), len(shape)):
            inside = (indices >= 0).all() and (indices < np.array(shape, np.int64)).all()
            positions = tuple(indices.T)
        elif indices.shape == values.shape:
            inside = (indices >= 0).all() and (indices < math.prod(shape)).all()
            positions = np.unravel_index(indices, shape) if inside else ()
        else:
            raise InvalidModelError(
                f"{where}: indices have shape {list(indices.shape)}; {[len(values)]} or "
                f"{[len(values), len(shape)]} would fit {len(values)} values"
            )
        if not inside:
            raise InvalidModelError(f"{where}: an index lies outside shape {list(shape)}")
        result = np.zeros(shape, values.dtype)
        result[positions] = values
        return result

    def _raw(self, data: bytes) -> bytes | memoryview:
        left = self.weights.read(data) if self.weights is not None else None
        return data if left is None else left

    def _external(self, tensor: TensorProto, nbytes: int, where: str) -> memoryview:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        try:
            offset = int(entries.get("offset", 0))
            length = int(entries["length"]) if "length" in entries else nbytes
        except ValueError:
            raise InvalidModelError(f"{where}: offset or length is no number") from None
        if length != nbytes:
            raise InvalidModelError(
                f"{where}: the tensor takes {nbytes} bytes, its external data has length {length}"
            )
        if self.external is None:
            raise InvalidModelError(
                f"{where}: its data is in an external file, which needs the model's folder; "
                "give the path of the model instead of a ModelProto"
            )
        data = self.external.file(location, where)
        if offset < 0 or offset + nbytes > len(data):
            raise InvalidModelError(
                f"{where}: bytes {offset} to {offset + nbytes} lie outside {location!r} "
                f"({len(data)} bytes)"
            )
        return memoryview(data)[offset : offset + nbytes]


def _shape(dims: Sequence[int], where: str) -> tuple[int, ...]:
    shape = tuple(dims)
    if len(shape) > MAX_RANK:
        raise InvalidModelError(f"{where}: {len(shape)} dims, at most {MAX_RANK} are allowed")
    if any(dim < 0 for dim in shape):
        raise InvalidModelError(f"{where}: shape {list(shape)} has a negative dim")
    if math.prod(dim for dim in shape if dim) > MAX_TENSOR_BYTES:
        raise InvalidModelError(f"{where}: shape {list(shape)} is absurdly large")
    return shape


_FIELDS = {
    DType.f32: "float_data",
    DType.c64: "float_data",
    DType.f64: "double_data",
    DType.c128: "double_data",
    DType.i64: "int64_data",
    DType.u64: "uint64_data",
    DType.u32: "uint64_data",
}  # all others are stored in int32_data


def _from_field(
    tensor: TensorProto, dtype: DType, shape: tuple[int, ...], where: str
) -> np.ndarray:
    count = math.prod(shape)
    if dtype in PACKED_BITS:
        needed = stored_bytes(count, dtype)
    else:
        needed = 2 * count if dtype.kind == "complex" else count
    field = _FIELDS.get(dtype, "int32_data")
    stored = len(getattr(tensor, field))
    if stored != needed:
        raise InvalidModelError(
            f"{where}: {dtype}{list(shape)} needs {needed} entries in {field}, it has {stored}"
        )
    if dtype in PACKED_BITS:
        packed = np.array(tensor.int32_data, np.int32).astype(np.uint8)
        return unpacked(packed.tobytes(), dtype, shape)
    if dtype is DType.bool:
        return (np.array(tensor.int32_data, np.int32) != 0).reshape(shape)
    return numpy_helper.to_array(tensor)

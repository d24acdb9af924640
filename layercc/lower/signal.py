"""Lowering of Fourier transforms: products with the matrix of the transform.

A transform is a linear map of the real and imaginary parts of its points, so a matrix whose size
is known when planning. It takes more arithmetic than a fast Fourier transform, but runs at the
speed of matrix products, and frames of a few hundred points, as audio has, are its usual size.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DType
from ir.graph import Node
from ir.ops.signal import dft_axis
from layercc.jobs.contraction import Contraction, GroupDim, Matrices
from layercc.kernels.element_types import FLOATS
from layercc.lower.context import Context
from layercc.lower.movement import transposed
from layercc.lower.registry import lowering

#: Elements of the largest matrix: a transform of 1448 complex points, or half of that of 2896 real
#: ones. NumPy runs longer ones, by a fast Fourier transform.
_MOST_ELEMENTS = 1 << 23


@dataclass(frozen=True)
class Transform:
    """A transform of `length` points, `given` of which are there; beyond are zeros.

    `parts`: 1 for real points, 2 for complex ones.
    """

    length: int
    given: int
    parts: int
    inverse: bool
    onesided: bool

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Points, their parts, and points and parts of the result."""
        if not self.onesided:
            return self.given, self.parts, self.length, 2
        if self.inverse:
            return self.given, self.parts, self.length, 1
        return self.given, self.parts, self.length // 2 + 1, 2

    def matrix(self) -> np.ndarray:
        """What each part of each point adds to each part of each point of the result, in f64."""
        made = np.zeros(self.shape)
        points, _, results, _ = self.shape
        whole = self.length // 2 + 1 if self.inverse and self.onesided else self.length
        used = min(points, whole)
        turns = np.outer(np.arange(used), np.arange(results)) % max(self.length, 1)
        angles = turns * (2 * np.pi / max(self.length, 1))
        cos, sin = np.cos(angles), np.sin(angles)
        if self.inverse:
            scale = np.full((used, 1), 1 / max(self.length, 1))
            if self.onesided:  # all but the first and the middle one stand for two points
                scale[1 : (self.length + 1) // 2] *= 2
            cos, sin = cos * scale, -sin * scale
        made[:used, 0, :, 0] = cos
        if self.shape[3] == 2:
            made[:used, 0, :, 1] = -sin
        if self.parts == 2 and not (self.onesided and not self.inverse):
            made[:used, 1, :, 0] = sin
            if self.shape[3] == 2:
                made[:used, 1, :, 1] = cos
        return made


@lowering("DFT")
def dft(context: Context, node: Node) -> None:
    """The axis is brought to the end, beside the parts, where it is not there already."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    y = context.output(node.outputs[0])
    axis, last = dft_axis(call, len(x.shape)), len(x.shape) - 1
    inverse, onesided = bool(call.inverse), bool(call.onesided)
    length = y.shape[axis]
    if onesided and not inverse:
        length = x.shape[axis]
        if call.has(1):
            length = int(call.known(1, "the matrix depends on it").reshape(-1)[0])
    transform = Transform(length, x.shape[axis], x.shape[last], inverse, onesided)
    order = [*(a for a in range(last) if a != axis), axis, last]
    moved = order != sorted(order)
    if moved:
        turned = context.scratch(x.dtype, tuple(x.shape[a] for a in order))
        transposed(context, x, order, turned)
        x = turned
    target = context.scratch(y.dtype, tuple(y.shape[a] for a in order)) if moved else y
    columns = target.shape[-2] * target.shape[-1]
    context.emit(
        Contraction(
            x=x,
            x_row=transform.given * transform.parts,
            weights=_matrix(context, node, transform, x.dtype),
            y=target,
            y_row=columns,
            rows=math.prod(x.shape[:-2]),
            columns=columns,
            depth=transform.given * transform.parts,
        )
    )
    if moved:
        transposed(context, target, np.argsort(order).tolist(), y)


@lowering("STFT")
def stft(context: Context, node: Node) -> None:
    """Frames are rows that overlap; the window is part of the matrix."""
    call = context.call_of(node)
    signal = context.tensor(node.inputs[0])
    window = None
    if call.has(2):
        window = context.value(node.inputs[2])
        if window is None:
            raise UnsupportedError(
                f"{node}: a window known only when it runs; a constant would fit"
            )
    if call.has(3):
        length = int(call.known(3, "the matrix depends on it").reshape(()))
    else:
        length = context.shape(node.inputs[2])[0]
    step = int(call.known(1, "frames lie so far apart").reshape(()))
    y = context.output(node.outputs[0])
    batch, samples, parts = signal.shape
    transform = Transform(length, length, parts, False, bool(call.onesided))
    columns = y.shape[2] * y.shape[3]
    context.emit(
        Contraction(
            x=signal,
            x_row=step * parts,
            weights=_matrix(context, node, transform, signal.dtype, window),
            y=y,
            y_row=columns,
            rows=y.shape[1],
            columns=columns,
            depth=length * parts,
            groups=(GroupDim(batch, samples * parts, 0, y.shape[1] * columns),),
        )
    )


def _matrix(
    context: Context,
    node: Node,
    transform: Transform,
    dtype: DType,
    window: np.ndarray | None = None,
) -> Matrices:
    if str(dtype) not in FLOATS:
        raise UnsupportedError(f"{node}: elements of type {dtype}; f32 or f64 would fit")
    if math.prod(transform.shape) > _MOST_ELEMENTS:
        raise UnsupportedError(
            f"{node}: the matrix of a transform of {transform.length} points has "
            f"{math.prod(transform.shape)} elements; {_MOST_ELEMENTS} at most would fit"
        )
    factors = None if window is None else tuple(window.astype(np.float64).tolist())
    matrix = context.constant(_elements(transform, factors, str(dtype)), shared=True)
    columns = matrix.shape[1]
    return Matrices(matrix, columns, ((columns, 1),))


@functools.lru_cache(8)
def _elements(transform: Transform, window: tuple[float, ...] | None, dtype: str) -> np.ndarray:
    """The matrix, `[points * parts, results * parts]`; layers that transform alike share it."""
    matrix = transform.matrix()
    if window is not None:
        matrix *= np.array(window).reshape(-1, 1, 1, 1)
    points, parts, results, made = transform.shape
    flat = matrix.reshape(points * parts, results * made)
    return np.ascontiguousarray(flat, DType[dtype].value)

"""Reading images at real-valued positions: GridSample, AffineGrid, DeformConv.

`taps` of a position along one axis are pairs of arrays (index, weight); an index outside the image
is resolved when the image is read (`read_image`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal, product
from ir.ops.convolution import check_vector, conv_window
from ir.ops.layout import per_channel, widened
from ir.ops.windows import WINDOW_ATTRIBUTES
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType, format_shape

Taps = list[tuple[np.ndarray, np.ndarray]]


def linear_taps(positions: np.ndarray) -> Taps:
    """The two neighbours of each position and their weights."""
    left = np.floor(positions)
    ratio = positions - left
    return [(left, 1 - ratio), (left + 1, ratio)]


def cubic_taps(positions: np.ndarray, a: float) -> Taps:
    """Four neighbours, weighted by Keys' cubic convolution kernel with parameter `a`."""
    left = np.floor(positions)
    return [(left + shift, cubic_kernel(positions - left - shift, a)) for shift in (-1, 0, 1, 2)]


def cubic_kernel(x: np.ndarray, a: float) -> np.ndarray:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), equation 4."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def read_image(
    image: np.ndarray, taps: Sequence[Taps], padding: str, align_corners: bool = False
) -> np.ndarray:
    """Weighted sums of elements of `image` [N, C, spatial...] at `taps` (a list a spatial dim, of
    arrays [N, positions...]). Returns [N, C, positions...].

    `padding`: outside the image are `zeros`, the nearest element (`border`) or a `reflection`.
    """
    batch = np.arange(image.shape[0]).reshape(-1, *[1] * (taps[0][0][0].ndim - 1))
    total: Any = 0
    for choice in itertools.product(*taps):
        weight: Any = 1.0
        index = []
        for (place, factor), size in zip(choice, image.shape[2:], strict=True):
            inside = (place >= 0) & (place < size)
            if padding == "zeros":
                factor = np.where(inside, factor, 0)
            elif padding == "reflection":
                place = np.trunc(reflect(place, size, align_corners))
            weight = weight * factor
            index.append(np.clip(np.nan_to_num(place), 0, size - 1).astype(np.int64))
        values = np.moveaxis(image[(batch, slice(None), *index)], -1, 1)
        total = total + np.where(weight[:, None] == 0, 0, values * weight[:, None])
    return np.asarray(total)


def reflect(positions: np.ndarray, size: int, align_corners: bool) -> np.ndarray:
    """Positions mirrored at the image's ends (pixel centres if `align_corners`, else edges)."""
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    span = high - low
    if span == 0:
        return np.full_like(positions, low)
    folded = np.abs(positions - low) % (2 * span)
    mirrored = low + np.where(folded > span, 2 * span - folded, folded)
    return np.where((positions < low) | (positions > high), mirrored, positions)


@register
class GridSample(Op):
    """Reads X [N, C, spatial...] at `grid` [N, out..., spatial rank] of positions in [-1, 1].

    The last dim of the grid names the innermost spatial dim first (x, y, z).
    """

    inputs = ("X: T1", "grid: T2")
    outputs = ("Y: T1",)
    constraints = {"T1": "numeric", "T2": "float"}
    attributes = {
        "align_corners": Attr("int", 0),
        "mode": Attr("string", "linear"),
        "padding_mode": Attr("string", "zeros"),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        x, grid = call.shape(0), call.shape(1)
        rank = len(x) - 2
        if call.mode not in ("linear", "nearest", "cubic"):
            call.fail(f"mode={call.mode!r}; linear, nearest or cubic would fit", "bad-attribute")
        if call.padding_mode not in ("zeros", "border", "reflection"):
            call.fail(
                f"padding_mode={call.padding_mode!r}; zeros, border or reflection would fit",
                "bad-attribute",
            )
        fits = rank > 0 and len(grid) == rank + 2
        if not (fits and may_equal(grid[0], x[0]) and may_equal(grid[-1], rank)):
            call.fail(
                f"X is {call.type(0)} and grid is {call.type(1)}; a grid of "
                f"[{x[0] if x else 'N'}, {rank} output dims, {rank}] would fit"
            )
        return [call.type(0).with_shape((*x[:2], *grid[1:-1]))]

    @staticmethod
    def reference(call: Call, x: Any, grid: Any) -> np.ndarray:
        taps = []
        corners = bool(call.align_corners)
        for axis, size in enumerate(x.shape[2:]):
            normal = widened(grid)[..., x.ndim - 3 - axis]
            place = (normal + 1) / 2 * (size - 1) if corners else ((normal + 1) * size - 1) / 2
            if call.mode == "cubic":
                # neighbours outside are moved, not the position: as PyTorch and onnxruntime do
                taps.append(cubic_taps(place, -0.75))
                continue
            if call.mode == "nearest":
                place = np.rint(place)
            if call.padding_mode == "border":
                place = np.clip(place, 0, size - 1)
            elif call.padding_mode == "reflection":
                place = reflect(place, size, corners)
            if call.mode == "nearest":
                taps.append([(np.trunc(place), np.ones_like(place))])
            else:
                taps.append(linear_taps(place))
        return read_image(widened(x), taps, call.padding_mode, corners).astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        taps = {"nearest": 1, "linear": 2, "cubic": 4}[call.mode] ** (call.rank(0) - 2)
        return 2 * taps * call.outputs[0].size


@register
class AffineGrid(Op):
    """The grid of positions for GridSample that transforms by `theta` [N, rank, rank + 1]."""

    contraction = True
    inputs = ("theta: T1", "size: i64")
    outputs = ("grid: T1",)
    constraints = {"T1": "float"}
    attributes = {"align_corners": Attr("int", 0)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        size = tuple(call.known(1, "it is the output's shape").reshape(-1).tolist())
        rank = len(size) - 2
        theta = call.shape(0)
        wanted: tuple[Dim, ...] = (size[0] if size else 0, rank, rank + 1)
        if rank not in (2, 3) or len(theta) != 3 or not all(map(may_equal, theta, wanted)):
            call.fail(
                f"theta is {call.type(0)} and size is {list(size)}; theta [N, 2, 3] with 4 sizes,"
                " or [N, 3, 4] with 5, would fit"
            )
        return [call.type(0).with_shape((size[0], *size[2:], rank))]

    @staticmethod
    def reference(call: Call, theta: Any, size: Any) -> np.ndarray:
        spatial = [int(n) for n in size[2:]]
        points = affine_points(spatial, bool(call.align_corners))
        grid = points @ widened(theta).swapaxes(1, 2)
        return grid.reshape(len(theta), *spatial, len(spatial)).astype(theta.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return 2 * call.outputs[0].size * call.shape(0)[2]


def affine_points(spatial: Sequence[int], align_corners: bool) -> np.ndarray:
    """The points (x, y, [z,] 1) of a regular grid over [-1, 1], one a row, in f64."""
    axes = []
    for n in spatial:
        if align_corners:
            axes.append(np.linspace(-1, 1, n) if n > 1 else np.array([-1.0]))
        else:
            axes.append((2 * np.arange(n) + 1) / n - 1)
    places = np.meshgrid(*axes, indexing="ij")
    points = np.stack([*places[::-1], np.ones(list(spatial))], axis=-1)
    return points.reshape(math.prod(spatial), len(spatial) + 1)


@register
class DeformConv(Op):
    """Convolution whose taps are moved by `offset`, read linearly and weighted by `mask`.

    offset is [N, offset_group * taps * rank, out...], mask [N, offset_group * taps, out...].
    """

    inputs = ("X: T", "W: T", "offset: T", "B: T?", "mask: T?")
    constraints = {"T": "float"}
    attributes = {
        "group": Attr("int", 1),
        "offset_group": Attr("int", 1),
        **{name: spec for name, spec in WINDOW_ATTRIBUTES.items() if name != "auto_pad"},
        "channels_last": Attr("int", 0),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.channels_last:
            call.fail("channels_last=1; 0 would fit", "bad-attribute")
        window = conv_window(call)
        batch, channels = call.shape(0)[:2]
        groups = call.offset_group
        if groups < 1 or (isinstance(channels, int) and channels % groups):
            call.fail(f"X is {call.type(0)}: {channels} channels in offset_group={groups} groups")
        taps = product(window.kernel)
        rank = len(window.kernel)
        for index, count in ((2, groups * taps * rank), (4, groups * taps)):
            wanted = (batch, count, *window.output_dims)
            if call.has(index) and not (
                call.rank(index) == len(wanted) and all(map(may_equal, call.shape(index), wanted))
            ):
                call.fail(
                    f"{call.op.input_name(index)} is {call.type(index)}; {format_shape(wanted)}"
                    " would fit"
                )
        filters = call.shape(1)[0]
        check_vector(call, 3, filters, "output channel")
        return [call.type(0).with_shape((batch, filters, *window.output_dims))]

    @staticmethod
    def reference(
        call: Call, x: Any, w: Any, offset: Any, b: Any = None, mask: Any = None
    ) -> np.ndarray:
        window = conv_window(call)
        batch, channels, *spatial = x.shape
        rank, groups = len(spatial), call.offset_group
        kernel = tuple(map(int, window.kernel))
        out = tuple(map(int, window.output_dims))
        image = widened(x).reshape(batch * groups, channels // groups, *spatial)
        moved = widened(offset).reshape(batch * groups, *kernel, rank, *out)
        taps = []
        for axis in range(rank):
            # position of tap k of window o: o*stride + k*dilation - pad, then the offset
            starts = np.arange(out[axis]) * window.strides[axis] - int(window.pads_begin[axis])
            within = np.arange(kernel[axis]) * window.dilations[axis]
            shape_out = [1] * (2 * rank)
            shape_in = list(shape_out)
            shape_out[rank + axis], shape_in[axis] = -1, -1
            place = starts.reshape(shape_out) + within.reshape(shape_in)
            taps.append(linear_taps(place + np.take(moved, axis, axis=1 + rank)))
        read = read_image(image, taps, "zeros")
        if mask is not None:
            read = read * widened(mask).reshape(batch * groups, 1, *kernel, *out)
        group, filters = call.group, w.shape[0]
        depth = channels // group * math.prod(kernel)
        columns = read.reshape(batch, group, depth, math.prod(out))
        y = widened(w).reshape(group, filters // group, depth) @ columns
        y = y.reshape(batch, filters, *out)
        if b is not None:
            y = y + per_channel(widened(b), y.ndim)
        return y.astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return 2 * call.outputs[0].size * product(call.shape(1)[1:])

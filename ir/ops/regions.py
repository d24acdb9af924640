"""Pooling over regions of interest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ir.dims import Dim, may_equal
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, Range, register
from ir.types import TensorType


def _check_regions(call: Call, columns: int) -> Dim:
    if call.rank(0) != 4:
        call.fail(f"X is {call.type(0)}; [N, C, H, W] would fit")
    if call.rank(1) != 2 or not may_equal(call.shape(1)[1], columns):
        call.fail(f"rois is {call.type(1)}; [regions, {columns}] would fit")
    return call.shape(1)[0]


@register
class MaxRoiPool(Op):
    """Maximum over the bins of each region [image, x1, y1, x2, y2] (Fast R-CNN, Girshick 2015)."""

    inputs = ("X: T", "rois: T")
    constraints = {"T": "float"}
    attributes = {"pooled_shape": Attr("ints"), "spatial_scale": Attr("float", 1.0)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        regions = _check_regions(call, 5)
        pooled = tuple(call.pooled_shape)
        if len(pooled) != 2 or min(pooled) < 1:
            call.fail(f"pooled_shape={list(pooled)}; two positive sizes would fit", "bad-attribute")
        return [call.type(0).with_shape((regions, call.shape(0)[1], *pooled))]

    @staticmethod
    def reference(call: Call, x: Any, rois: Any) -> np.ndarray:
        pooled = tuple(call.pooled_shape)
        y = np.zeros((len(rois), x.shape[1], *pooled), x.dtype)
        for region, (image, *corners) in enumerate(widened(rois)):
            # rounded half away from zero, as the original does
            x1, y1, x2, y2 = (
                int(np.floor(abs(v) + 0.5) * np.sign(v))
                for v in np.array(corners) * call.spatial_scale
            )
            bins = []
            for start, end, count, size in (
                (y1, y2, pooled[0], x.shape[2]),
                (x1, x2, pooled[1], x.shape[3]),
            ):
                extent = max(end - start + 1, 1)
                # floor and ceiling of i * extent / count, in integers
                bins.append(
                    [
                        (
                            min(max(i * extent // count + start, 0), size),
                            min(max(-(-(i + 1) * extent // count) + start, 0), size),
                        )
                        for i in range(count)
                    ]
                )
            for row, (top, bottom) in enumerate(bins[0]):
                for column, (left, right) in enumerate(bins[1]):
                    part = x[int(image), :, top:bottom, left:right]
                    if part.shape[1] and part.shape[2]:
                        y[region, :, row, column] = part.max(axis=(1, 2))
        return y


@register
class RoiAlign(Op):
    """Averages (or maximises) bilinear samples over the bins of each region [x1, y1, x2, y2]
    (Mask R-CNN, He et al. 2017).

    In mode `max` the maximum is, by the specification's tests, that of the four *weighted*
    neighbours of each sample.
    """

    inputs = ("X: T1", "rois: T1", "batch_indices: i64")
    outputs = ("Y: T1",)
    constraints = {"T1": "float"}
    attributes = {
        "coordinate_transformation_mode": Attr("string", "half_pixel"),
        "mode": Attr("string", "avg"),
        "output_height": Attr("int", 1),
        "output_width": Attr("int", 1),
        "sampling_ratio": Attr("int", 0),
        "spatial_scale": Attr("float", 1.0),
    }

    @staticmethod
    def ranges(call: Call) -> Mapping[int, Range]:
        return {2: (0, call.shape(0)[0] - 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        regions = _check_regions(call, 4)
        if call.mode not in ("avg", "max"):
            call.fail(f"mode={call.mode!r}; avg or max would fit", "bad-attribute")
        if call.coordinate_transformation_mode not in ("half_pixel", "output_half_pixel"):
            call.fail(
                f"coordinate_transformation_mode={call.coordinate_transformation_mode!r}; "
                "half_pixel or output_half_pixel would fit",
                "bad-attribute",
            )
        if call.rank(2) != 1 or not may_equal(call.shape(2)[0], regions):
            call.fail(
                f"rois is {call.type(1)}, batch_indices {call.type(2)}; [{regions}] would fit"
            )
        pooled = (call.output_height, call.output_width)
        return [call.type(0).with_shape((regions, call.shape(0)[1], *pooled))]

    @staticmethod
    def reference(call: Call, x: Any, rois: Any, batch_indices: Any) -> np.ndarray:
        images, height, width = widened(x), call.output_height, call.output_width
        half = call.coordinate_transformation_mode == "half_pixel"
        y = np.zeros((len(rois), x.shape[1], height, width))
        for region, corners in enumerate(widened(rois)):
            left, top, right, bottom = corners * call.spatial_scale - (0.5 if half else 0.0)
            rows = _samples(call, top, bottom, height, half, x.shape[2])
            columns = _samples(call, left, right, width, half, x.shape[3])
            image = images[int(batch_indices[region])]
            terms = [
                image[:, row_index][:, :, column_index] * (row_weight[:, None] * column_weight)
                for row_index, row_weight in rows
                for column_index, column_weight in columns
            ]
            values = sum(terms) if call.mode == "avg" else np.maximum.reduce(terms)
            grid = len(rows[0][0]) // height, len(columns[0][0]) // width
            samples = values.reshape(x.shape[1], height, grid[0], width, grid[1])
            if samples.size:
                reduce = np.mean if call.mode == "avg" else np.max
                y[region] = reduce(samples, axis=(2, 4))
        return y.astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        grid = max(call.sampling_ratio, 1) ** 2  # at least; adaptive otherwise
        return 8 * grid * call.outputs[0].size


def _samples(
    call: Call, start: float, end: float, bins: int, half: bool, size: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lower and upper neighbour (index, weight) of every sample along one axis, bin after bin."""
    extent = end - start if half else max(end - start, 1.0)
    per_bin = call.sampling_ratio if call.sampling_ratio > 0 else int(np.ceil(extent / bins))
    count = bins * max(per_bin, 0)
    places = start + (np.arange(count) + 0.5) * extent / max(count, 1)
    inside = (places >= -1) & (places <= size)
    places = np.clip(places, 0, size - 1)
    low = np.floor(places).astype(np.int64)
    ratio = places - low
    return [
        (low, np.where(inside, 1 - ratio, 0)),
        (np.minimum(low + 1, size - 1), np.where(inside, ratio, 0)),
    ]

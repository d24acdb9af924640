"""Padding, interpolation, and images read at real-valued positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dims import Dim
from ir.dtypes import DType
from layercc.frontends.torch.registry import Refused, enter, translates
from layercc.frontends.torch.translator import Tensor, Translator

_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(t: Translator, x: Tensor, pads: Sequence[Dim], mode: str, value: Any = 0) -> Tensor:
    """`pads` go from the last axis to the first, before and after; negative ones cut."""
    count = len(pads) // 2
    before = [0] * (x.rank - count) + [pads[2 * i] for i in reversed(range(count))]
    after = [0] * (x.rank - count) + [pads[2 * i + 1] for i in reversed(range(count))]
    if all(pad == 0 for pad in [*before, *after]):
        return x
    if x.dtype == DType.bool:
        wide = t.cast(x, DType.u8)
        return t.cast(padded(t, wide, pads, mode, int(bool(value))), x.dtype)
    fill = t.scalar(0 if value is None else value, x.dtype) if mode == "constant" else None
    return t.emit("Pad", x, t.sizes([*before, *after]), fill, mode=_PAD_MODES[mode])


@translates("pad")
def pad(
    t: Translator, x: Tensor, pads: Sequence[Dim], mode: str = "constant", value: Any = None
) -> Tensor:
    return padded(t, x, pads, mode, value)


@translates("constant_pad_nd")
def constant_pad_nd(t: Translator, x: Tensor, pads: Sequence[Dim], value: Any = 0) -> Tensor:
    return padded(t, x, pads, "constant", value)


def _pad_in(mode: str) -> Any:
    return lambda t, x, pads: padded(t, x, pads, mode)


for _rank in (1, 2, 3):
    enter(f"reflection_pad{_rank}d", _pad_in("reflect"))
    enter(f"replication_pad{_rank}d", _pad_in("replicate"))


# --- interpolation


def _resized(
    t: Translator, x: Tensor, mode: str, scales: Sequence[float | None], **attributes: Any
) -> Tensor:
    """`scales` that callers gave decide positions; else the sizes do."""
    attributes = {"mode": mode, **attributes}
    known = [scale for scale in scales if scale is not None]
    if known and len(known) == len(scales) and not _aligned(attributes):
        factors = np.array([1, 1, *known], np.float32)
        return t.emit("Resize", x, None, t.constant(factors), **attributes)
    return t.emit("Resize", x, None, None, t.sizes((*x.shape[:2], *t.shape[2:])), **attributes)


def _aligned(attributes: dict[str, Any]) -> bool:
    return attributes["coordinate_transformation_mode"] == "align_corners"


#: Mode → how `Resize` says it.
_NEAREST = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
_EXACT = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}


def _scales_of(given: Any) -> list[float | None]:
    return list(given) if isinstance(given, list | tuple) else []


def _nearest_vec(how: dict[str, str]) -> Any:
    def translation(t: Translator, x: Tensor, output_size: Any, scale_factors: Any) -> Tensor:
        return _resized(t, x, "nearest", _scales_of(scale_factors), **how)

    return translation


def _nearest(how: dict[str, str]) -> Any:
    def translation(t: Translator, x: Tensor, output_size: Any, *scales: Any) -> Tensor:
        return _resized(t, x, "nearest", list(scales), **how)

    return translation


def _smooth_how(align_corners: bool) -> dict[str, str]:
    corners = "align_corners" if align_corners else "half_pixel"
    return {"coordinate_transformation_mode": corners}


def _smooth_vec(mode: str, **fixed: Any) -> Any:
    def translation(
        t: Translator, x: Tensor, output_size: Any, align_corners: bool, scale_factors: Any
    ) -> Tensor:
        scales = _scales_of(scale_factors)
        return _resized(t, x, mode, scales, **_smooth_how(align_corners), **fixed)

    return translation


def _smooth(mode: str, **fixed: Any) -> Any:
    def translation(
        t: Translator, x: Tensor, output_size: Any, align_corners: bool, *scales: Any
    ) -> Tensor:
        return _resized(t, x, mode, list(scales), **_smooth_how(align_corners), **fixed)

    return translation


for _rank in (1, 2, 3):
    for _name, _how in (("upsample_nearest", _NEAREST), ("_upsample_nearest_exact", _EXACT)):
        enter(f"{_name}{_rank}d.vec", _nearest_vec(_how))
        enter(f"{_name}{_rank}d", _nearest(_how))
_ANTIALIAS = {"antialias": 1, "exclude_outside": 1}
for _name, _mode, _fixed in (
    ("upsample_linear1d", "linear", {}),
    ("upsample_bilinear2d", "linear", {}),
    ("upsample_trilinear3d", "linear", {}),
    ("upsample_bicubic2d", "cubic", {"cubic_coeff_a": -0.75}),
    ("_upsample_bilinear2d_aa", "linear", _ANTIALIAS),
    ("_upsample_bicubic2d_aa", "cubic", {"cubic_coeff_a": -0.5, **_ANTIALIAS}),
):
    enter(f"{_name}.vec", _smooth_vec(_mode, **_fixed))  # type: ignore[arg-type]
    enter(_name, _smooth(_mode, **_fixed))  # type: ignore[arg-type]


# --- grids

_GRID_MODES = ("linear", "nearest", "cubic")
_GRID_PADDING = ("zeros", "border", "reflection")


@translates("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(
    t: Translator, x: Tensor, grid: Tensor, mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    return t.emit(
        "GridSample", x, grid, mode=_GRID_MODES[mode], padding_mode=_GRID_PADDING[padding_mode],
        align_corners=int(align_corners),
    )  # fmt: skip


@translates("affine_grid_generator")
def affine_grid(t: Translator, theta: Tensor, size: Sequence[Dim], align_corners: bool) -> Tensor:
    if not all(isinstance(dim, int) for dim in size[2:]):
        raise Refused("a grid of dynamic size")
    return t.emit("AffineGrid", theta, t.sizes(size), align_corners=int(align_corners))

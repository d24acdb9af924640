"""Arithmetic of sliding windows: what convolutions and pools read, and how large they come out.

All sizes may be symbolic (`ir.dims`). Formulas: ONNX operator specification, Conv, MaxPool and
ConvTranspose; those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ir.dims import Dim, ceil_div, max_dim, min_dim, upper_bound
from ir.registry import Attr, Call

#: Attributes that all window ops share.
WINDOW_ATTRIBUTES = {
    "auto_pad": Attr("string", "NOTSET"),
    "dilations": Attr("ints", None),
    "kernel_shape": Attr("ints", None),
    "pads": Attr("ints", None),
    "strides": Attr("ints", None),
}


#: What stands between the brackets of `array[...]`; the trailing dims are the spatial ones.
Index: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window over spatial dims, one entry a dim. Pads are symbolic under `SAME_*`."""

    kernel: tuple[Dim, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[Dim, ...]
    pads_end: tuple[Dim, ...]
    output_dims: tuple[Dim, ...]

    @property
    def effective_kernel(self) -> tuple[Dim, ...]:
        """Extent of the window with the holes that dilation makes."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def taps(self) -> Iterator[tuple[Index, Index]]:
        """For each position in the window: what selects it in a kernel, and what selects the
        elements of the padded input that meet it, one for each output element."""
        for index in itertools.product(*(range(int(k)) for k in self.kernel)):
            met = tuple(
                slice(i * d, i * d + (int(out) - 1) * s + 1 if out else i * d, s)
                for i, d, s, out in zip(
                    index, self.dilations, self.strides, self.output_dims, strict=True
                )
            )
            yield (..., *index), (..., *met)

    def pad(self, array: np.ndarray, fill: Any = 0) -> np.ndarray:
        """`array` with its trailing spatial dims padded so that every tap lies inside."""
        spatial = array.shape[-len(self.kernel) :] if self.kernel else ()
        widths = [(0, 0)] * (array.ndim - len(spatial))
        for size, begin, extent, s, out in zip(
            spatial,
            self.pads_begin,
            self.effective_kernel,
            self.strides,
            self.output_dims,
            strict=True,
        ):
            needed = (int(out) - 1) * s + int(extent)
            widths.append((int(begin), max(needed - size - int(begin), 0)))
        return np.pad(array, widths, constant_values=fill)


def kernel_of(call: Call, rank: int, weight: Sequence[Dim] | None = None) -> tuple[Dim, ...]:
    """The window's extents: `kernel_shape`, or the dims of the `weight`, which must agree."""
    given = call.attribute("kernel_shape")
    if weight is None:
        return _per_dim(call, "kernel_shape", rank, 1, least=1)
    if given is None:
        return tuple(weight)
    if len(given) != len(weight) or any(
        type(w) is int and k != w for k, w in zip(given, weight, strict=True)
    ):
        call.fail(
            f"kernel_shape={list(given)} contradicts the weight, whose window is "
            f"[{', '.join(map(str, weight))}]"
        )
    return tuple(given)


def resolve_window(
    call: Call,
    spatial: Sequence[Dim],
    kernel: Sequence[Dim],
    *,
    ceil_mode: bool = False,
    auto_pad: str | None = None,
) -> Window:
    """Strides, dilations, pads and output dims of a convolution or pool over `spatial`.

    With `ceil_mode` a window may overlap the end of the padded input, but none starts beyond the
    input. Fails naming the spatial dim when the kernel does not fit the padded input.
    """
    rank = len(spatial)
    strides = _per_dim(call, "strides", rank, 1, least=1)
    dilations = _per_dim(call, "dilations", rank, 1, least=1)
    mode = auto_pad or auto_pad_of(call)
    pads = _pads(call, rank)
    begins, ends, outputs = [], [], []
    for axis, (size, k, s, d) in enumerate(zip(spatial, kernel, strides, dilations, strict=True)):
        extent = (k - 1) * d + 1
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            out = ceil_div(size, s)
            total = max_dim((out - 1) * s + extent - size, 0)
            half = total // 2
            begin, end = (half, total - half) if mode == "SAME_UPPER" else (total - half, half)
        else:
            begin, end = (0, 0) if mode == "VALID" else (pads[axis], pads[axis + rank])
            padded = size + begin + end
            if ceil_mode:
                out = min_dim(ceil_div(padded - extent, s) + 1, ceil_div(size + begin, s))
            else:
                out = (padded - extent) // s + 1
            most = upper_bound(out)
            if most is not None and most < 1:
                call.fail(_misfit(axis, size, begin, end, k, d, extent))
        begins.append(begin)
        ends.append(end)
        outputs.append(out)
    return Window(tuple(kernel), strides, dilations, tuple(begins), tuple(ends), tuple(outputs))


def resolve_transposed_window(call: Call, spatial: Sequence[Dim], kernel: Sequence[Dim]) -> Window:
    """The window of a transposed convolution: `output_dims` are those of the larger side.

    Output element `i*stride + k*dilation - pad_begin` gets input element `i` times tap `k`.
    """
    rank = len(spatial)
    strides = _per_dim(call, "strides", rank, 1, least=1)
    dilations = _per_dim(call, "dilations", rank, 1, least=1)
    extra = _per_dim(call, "output_padding", rank, 0, least=0)
    mode = auto_pad_of(call)
    pads = _pads(call, rank)
    asked: Sequence[Dim] | None = call.attribute("output_shape")
    if asked is not None and len(asked) == rank + 2:
        asked = asked[2:]  # some exporters write the whole shape
    if asked is not None and len(asked) != rank:
        call.fail(
            f"output_shape={list(asked)} has {len(asked)} sizes; {rank} would fit (one for "
            "each spatial dim)",
            "bad-attribute",
        )
    begins, ends, outputs = [], [], []
    for axis, (size, k, s, d) in enumerate(zip(spatial, kernel, strides, dilations, strict=True)):
        extent = (k - 1) * d + 1
        full = (size - 1) * s + extra[axis] + extent
        begin: Dim
        end: Dim
        if asked is not None or mode in ("SAME_UPPER", "SAME_LOWER"):
            out = asked[axis] if asked is not None else size * s
            total = max_dim(full - out, 0)
            half = total // 2
            begin, end = (half, total - half) if mode == "SAME_UPPER" else (total - half, half)
        else:
            begin, end = (0, 0) if mode == "VALID" else (pads[axis], pads[axis + rank])
            out = full - begin - end
            most = upper_bound(out)
            if most is not None and most < 1:
                call.fail(
                    f"spatial dim {axis}: input size {size} gives {full} elements, and pads of "
                    f"{begin} + {end} leave {out}; smaller pads would fit"
                )
        begins.append(begin)
        ends.append(end)
        outputs.append(out)
    return Window(tuple(kernel), strides, dilations, tuple(begins), tuple(ends), tuple(outputs))


def auto_pad_of(call: Call) -> str:
    """The attribute `auto_pad`, checked."""
    mode: str = call.auto_pad if "auto_pad" in call.op.attributes else "NOTSET"
    if mode not in ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"):
        call.fail(
            f"auto_pad={mode!r}; NOTSET, VALID, SAME_UPPER or SAME_LOWER would fit",
            "bad-attribute",
        )
    return mode or "NOTSET"


def _misfit(axis: int, size: Dim, begin: Dim, end: Dim, k: Dim, d: int, extent: Dim) -> str:
    padded = f"padded by {begin} + {end} to {size + begin + end}" if begin or end else "not padded"
    window = f"the kernel is {k}"
    if d != 1:
        window = f"a kernel of {k} with dilation {d} covers {extent}"
    return (
        f"spatial dim {axis}: the input size is {size}, {padded}, but {window}; "
        f"an input of at least {extent - begin - end} would fit"
    )


def _pads(call: Call, rank: int) -> tuple[int, ...]:
    pads = call.attribute("pads")
    if pads is None:
        return (0,) * (2 * rank)
    if len(pads) != 2 * rank:
        call.fail(
            f"pads={list(pads)} has {len(pads)} values; {2 * rank} would fit (the begin of each of "
            f"{rank} spatial dims, then the ends)",
            "bad-attribute",
        )
    if any(pad < 0 for pad in pads):
        call.fail(f"pads={list(pads)}: pads must not be negative", "bad-attribute")
    return tuple(map(int, pads))


def _per_dim(call: Call, name: str, rank: int, default: int, *, least: int) -> tuple[int, ...]:
    values = call.attribute(name) if name in call.op.attributes else None
    if values is None:
        return (default,) * rank
    if len(values) != rank:
        call.fail(
            f"{name}={list(values)} has {len(values)} values; {rank} would fit (one for each"
            " spatial dim)",
            "bad-attribute",
        )
    if any(value < least for value in values):
        call.fail(f"{name}={list(values)}: each value must be at least {least}", "bad-attribute")
    return tuple(map(int, values))

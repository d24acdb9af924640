"""What convolutions and pools share: sizes per axis, padding, data formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ir.dims import Dim
from layercc.layers.layer import Layer
from layercc.layers.tensor import SymbolicTensor

Sizes = int | Sequence[int]


class Spatial(Layer):
    """Base of layers over `[batch, spatial..., channels]`, or channels first where so asked."""

    spatial_rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"{type(self).__name__}: data_format is {data_format!r}; "
                "channels_last or channels_first would fit"
            )
        self.channels_last = data_format != "channels_first"

    def sizes(self, given: Sizes, what: str, at_least: int = 1) -> tuple[int, ...]:
        """`given` for each spatial axis. ValueError if too few or too small."""
        rank = self.spatial_rank
        values = (given,) * rank if isinstance(given, int) else tuple(given)
        if len(values) != rank or not all(isinstance(v, int) and v >= at_least for v in values):
            raise ValueError(
                f"{type(self).__name__}: {what} is {given!r}; an int of at least {at_least}, "
                f"or {rank} of them, would fit"
            )
        return values

    def check_padding(self, padding: str) -> str:
        """`padding` in lower case. ValueError if it is none of the layer's `paddings`."""
        if padding.lower() not in self.paddings:
            raise ValueError(
                f"{type(self).__name__}: padding is {padding!r}; "
                f"{' or '.join(self.paddings)} would fit"
            )
        return padding.lower()

    @property
    def layout(self) -> dict[str, Any]:
        """The attribute that tells a spatial op where the channels are."""
        return {"channels_last": 1} if self.channels_last else {}

    def expect_spatial(self, x: SymbolicTensor) -> None:
        axes = ["steps"] if self.spatial_rank == 1 else ["depth", "height", "width"]
        axes = axes[-self.spatial_rank :]
        names = [*axes, "channels"] if self.channels_last else ["channels", *axes]
        self.expect_rank(x, self.spatial_rank + 2, f"[batch, {', '.join(names)}]")

    def channels(self, x: SymbolicTensor) -> Dim:
        return x.shape[-1 if self.channels_last else 1]

    def spatial(self, x: SymbolicTensor) -> tuple[Dim, ...]:
        return x.shape[1:-1] if self.channels_last else x.shape[2:]

    @property
    def first_spatial_axis(self) -> int:
        return 1 if self.channels_last else 2


def padding_attributes(
    padding: str,
    spatial: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> dict[str, Any]:
    """`pads` or `auto_pad` for a Keras padding: `valid`, `same` or `causal`.

    `same` gives ceil(size / stride) outputs, the odd element of padding at the end. It is spelled
    out as `pads` except where it depends on a size that is not known yet.
    """
    if padding == "valid":
        return {}
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    if padding == "causal":
        return {"pads": (*reach, *(0 for _ in reach))}
    totals = []
    for size, stride, extent in zip(spatial, strides, reach, strict=True):
        if stride == 1:
            totals.append(extent)
        elif isinstance(size, int):
            totals.append(max((-(-size // stride) - 1) * stride + extent + 1 - size, 0))
        else:
            return {"auto_pad": "SAME_UPPER"}
    return {"pads": (*(t // 2 for t in totals), *(t - t // 2 for t in totals))}

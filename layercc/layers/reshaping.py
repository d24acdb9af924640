"""Layers that move elements: reshape, permute, repeat, crop, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dims import product
from layercc.layers.layer import Layer
from layercc.layers.spatial import Spatial
from layercc.layers.tensor import SymbolicTensor, emit, ints


class Flatten(Spatial):
    """`[batch, ...]` → `[batch, features]`; `channels_first` moves the channels last before."""

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if not self.channels_last and x.rank > 2:
            x = emit("Transpose", x, perm=(0, *range(2, x.rank), 1))
        return emit("Flatten", x, axis=1)


class Reshape(Layer):
    """Another shape of the same size; `target_shape` is without the batch, one dim may be -1."""

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)
        if self.target_shape.count(-1) > 1 or any(dim < -1 for dim in self.target_shape):
            raise ValueError(f"Reshape: target_shape {self.target_shape} must have one -1 at most")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        size = product(x.shape[1:])
        if isinstance(size, int):
            known = product(dim for dim in self.target_shape if dim != -1)
            fits = size % known == 0 if -1 in self.target_shape and known else size == known
            if not fits:
                self.fail(
                    f"the input is {x.type}: its {size} elements a sample do not make the shape "
                    f"{list(self.target_shape)}"
                )
        return emit("Reshape", x, ints(0, *self.target_shape))


class Permute(Layer):
    """Axes in another order; `dims` counts them from 1, the batch stays first."""

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Permute: dims {self.dims} must be 1 to {len(self.dims)} reordered")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        if x.rank != len(self.dims) + 1:
            self.fail(f"the input is {x.type}; {len(self.dims)} dims behind the batch would fit")
        return emit("Transpose", x, perm=(0, *self.dims))


class RepeatVector(Layer):
    """`[batch, features]` → `[batch, n, features]`."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = self.positive(n, "n")

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_rank(x, 2, "[batch, features]")
        return emit("Expand", emit("Unsqueeze", x, ints(1)), ints(1, self.n, 1))


class _Borders(Spatial):
    """Base of layers that take or add elements at both ends of the spatial axes."""

    setting: str

    def __init__(self, amount: Any, data_format: str | None = None, **options: Any) -> None:
        super().__init__(data_format, **options)
        self.amounts = self._pairs(amount)

    def _pairs(self, given: Any) -> list[tuple[int, int]]:
        """(start, end) for each axis, from an int, an int an axis, or a pair an axis."""
        rank = self.spatial_rank
        if isinstance(given, int):
            given = (given,) * rank
        elif rank == 1 and len(given) == 2:
            given = (given,)
        pairs = [(item, item) if isinstance(item, int) else tuple(item) for item in given]
        if len(pairs) != rank or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
            raise ValueError(
                f"{type(self).__name__}: {self.setting} is {given!r}; an int, or for each of "
                f"{rank} axes an int or a pair (start, end), would fit"
            )
        return [(pair[0], pair[1]) for pair in pairs]

    @property
    def axes(self) -> range:
        return range(self.first_spatial_axis, self.first_spatial_axis + self.spatial_rank)


class _ZeroPadding(_Borders):
    setting = "padding"

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        starts, ends = zip(*self.amounts, strict=True)
        return emit("Pad", x, ints(*starts, *ends), None, ints(*self.axes))


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps. `padding`: an int, or (start, end)."""

    spatial_rank = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(padding, data_format, **options)


class ZeroPadding2D(_ZeroPadding):
    """Zeros around height and width. `padding`: an int, or for each axis an int or (start, end)."""

    spatial_rank = 2

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(padding, data_format, **options)


class ZeroPadding3D(_ZeroPadding):
    """Zeros around all three axes. `padding`: an int, or for each axis an int or a pair."""

    spatial_rank = 3

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(padding, data_format, **options)


class _Cropping(_Borders):
    setting = "cropping"

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        for (start, end), size in zip(self.amounts, self.spatial(x), strict=True):
            if isinstance(size, int) and start + end >= size:
                self.fail(
                    f"the input is {x.type}: {start} + {end} of {size} elements would leave none"
                )
        starts = ints(*(start for start, _ in self.amounts))
        ends = ints(*(-end if end else 2**31 - 1 for _, end in self.amounts))
        return emit("Slice", x, starts, ends, ints(*self.axes))


class Cropping1D(_Cropping):
    """Without the first and last steps. `cropping`: an int, or (start, end)."""

    spatial_rank = 1

    def __init__(
        self, cropping: Any = (1, 1), data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(cropping, data_format, **options)


class Cropping2D(_Cropping):
    """Height and width without borders. `cropping`: an int, or for each axis an int or a pair."""

    spatial_rank = 2

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **options: Any
    ) -> None:
        super().__init__(cropping, data_format, **options)


class Cropping3D(_Cropping):
    """All three axes without borders. `cropping`: an int, or for each axis an int or a pair."""

    spatial_rank = 3

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **options: Any) -> None:
        super().__init__(cropping, data_format, **options)

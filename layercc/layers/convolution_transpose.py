"""Transposed convolutions: the gradients of convolutions, used to upsample."""

from __future__ import annotations

from typing import Any

from layercc.layers.activations import Activation, activate
from layercc.layers.convolution import Convolution
from layercc.layers.initializers import Initializer
from layercc.layers.spatial import Sizes
from layercc.layers.tensor import SymbolicTensor, emit
from layercc.layers.weight import transposed


class ConvTranspose(Convolution):
    """Base of `Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`.

    Output size: `valid` gives (n - 1) * stride + max(kernel, stride), `same` gives n * stride;
    `output_padding` replaces what is added at the end to get there.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, bias_initializer, **options,
        )  # fmt: skip
        self.filters = self.positive(filters, "filters")
        self.refuse_strides_with_dilation()
        self.output_padding: tuple[int | None, ...] = (
            (None,) * self.spatial_rank
            if output_padding is None
            else self.sizes(output_padding, "output_padding", at_least=0)
        )
        self.kernel_initializer = kernel_initializer
        for given, stride in zip(self.output_padding, self.strides, strict=True):
            if given is not None and given >= stride:
                raise ValueError(
                    f"{type(self).__name__}: output_padding {self.output_padding} with strides "
                    f"{self.strides}; less than the strides would fit"
                )

    def call(self, x: SymbolicTensor) -> SymbolicTensor:
        self.expect_spatial(x)
        rank = self.spatial_rank
        kernel = self.weight(
            "kernel",
            (*self.kernel_size, self.filters, self.channels(x)),
            self.kernel_initializer,
            # (spatial..., out, in) → (in, out, spatial...)
            transposed(rank + 1, rank, *range(rank)),
        )
        windows = [self._window(axis) for axis in range(rank)]
        y = emit(
            "ConvTranspose",
            x,
            kernel,
            *self.bias(self.filters),
            kernel_shape=self.kernel_size,
            strides=self.strides,
            dilations=self.dilation_rate,
            pads=(*(first for first, _, _ in windows), *(last for _, last, _ in windows)),
            output_padding=tuple(extra for _, _, extra in windows),
            **self.layout,
        )
        return activate(y, self.activation)

    def _window(self, axis: int) -> tuple[int, int, int]:
        """Elements cropped at the start and at the end of the full result, and added at the end."""
        stride, given = self.strides[axis], self.output_padding[axis]
        extent = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        if self.padding == "valid":
            return 0, 0, max(stride - extent, 0) if given is None else given
        # `length` beyond (n - 1) * stride: the full result has `extent`
        length = stride if given is None else extent % 2 + given
        surplus = extent - length
        first = max(surplus // 2, 0)
        last = surplus - first
        return first, max(last, 0), max(-last, 0)


class Conv1DTranspose(ConvTranspose):
    """Transposed convolution over `[batch, steps, channels]`."""

    spatial_rank = 1


class Conv2DTranspose(ConvTranspose):
    """Transposed convolution over `[batch, height, width, channels]`."""

    spatial_rank = 2


class Conv3DTranspose(ConvTranspose):
    """Transposed convolution over `[batch, depth, height, width, channels]`."""

    spatial_rank = 3

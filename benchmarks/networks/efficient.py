"""Networks of inverted residuals that weigh their channels: MobileNetV3 and EfficientNet.

Squeeze and excitation: Hu, Shen and Sun 2018.
"""

from __future__ import annotations

from benchmarks.networks.residual import convolve, depthwise_normal, normalize
from layercc.layers import (
    Activation,
    Add,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    Input,
    Model,
    Multiply,
    SymbolicTensor,
)


def _excite(x: SymbolicTensor, squeezed: int, activation: str, gate: str) -> SymbolicTensor:
    """Each channel times a weight that all channels' means decide."""
    y = GlobalAveragePooling2D(keepdims=True)(x)
    y = Conv2D(squeezed, 1, activation=activation, kernel_initializer="he_normal")(y)
    return Multiply()([x, Conv2D(int(x.shape[-1]), 1, activation=gate)(y)])


def _inverted(
    x: SymbolicTensor,
    size: int,
    wide: int,
    filters: int,
    strides: int,
    squeezed: int,
    activations: tuple[str, str, str],
) -> SymbolicTensor:
    """1×1 to `wide` channels, depthwise, weighed channels if `squeezed`, 1×1 to `filters`.

    `activations`: of the convolutions, of the squeeze, of the excitation.
    """
    act, inner, gate = activations
    y = x
    if wide != x.shape[-1]:
        y = Activation(act)(normalize(convolve(y, wide, 1)))
    depthwise = DepthwiseConv2D(
        size, strides, padding="same", use_bias=False, depthwise_initializer=depthwise_normal
    )
    y = Activation(act)(normalize(depthwise(y), gain=1.4))
    if squeezed:
        y = _excite(y, squeezed, inner, gate)
    y = normalize(convolve(y, filters, 1), gain=1.4 if squeezed else 0.7)  # gates halve
    return Add()([x, y]) if strides == 1 and x.shape[-1] == filters else y


#: Kernel, expanded and output channels, channels squeezed to (0: none), activation, stride
#: (Howard et al. 2019, table 1).
_MOBILE = (
    (3, 16, 16, 0, "relu", 1),
    (3, 64, 24, 0, "relu", 2),
    (3, 72, 24, 0, "relu", 1),
    (5, 72, 40, 24, "relu", 2),
    (5, 120, 40, 32, "relu", 1),
    (5, 120, 40, 32, "relu", 1),
    (3, 240, 80, 0, "hard_swish", 2),
    (3, 200, 80, 0, "hard_swish", 1),
    (3, 184, 80, 0, "hard_swish", 1),
    (3, 184, 80, 0, "hard_swish", 1),
    (3, 480, 112, 120, "hard_swish", 1),
    (3, 672, 112, 168, "hard_swish", 1),
    (5, 672, 160, 168, "hard_swish", 2),
    (5, 960, 160, 240, "hard_swish", 1),
    (5, 960, 160, 240, "hard_swish", 1),
)


def mobilenet_v3() -> Model:
    """Howard et al. 2019, large."""
    x = Input((224, 224, 3))
    y = Activation("hard_swish")(normalize(convolve(x, 16, 3, 2)))
    for size, wide, filters, squeezed, act, strides in _MOBILE:
        y = _inverted(y, size, wide, filters, strides, squeezed, (act, "relu", "hard_sigmoid"))
    y = Activation("hard_swish")(normalize(convolve(y, 960, 1)))
    y = Dense(1280, activation="hard_swish")(GlobalAveragePooling2D()(y))
    return Model(x, Dense(1000, activation="softmax")(y), name="mobilenet_v3")


#: Kernel, expansion, output channels, blocks, stride of the first (Tan and Le 2019, table 1).
_EFFICIENT = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)


def efficientnet_b0() -> Model:
    """Tan and Le 2019, B0."""
    x = Input((224, 224, 3))
    y = Activation("silu")(normalize(convolve(x, 32, 3, 2)))
    for size, expansion, filters, count, strides in _EFFICIENT:
        for index in range(count):
            channels = int(y.shape[-1])
            y = _inverted(
                y, size, expansion * channels, filters, 1 if index else strides,
                channels // 4, ("silu", "silu", "sigmoid"),
            )  # fmt: skip
    y = Activation("silu")(normalize(convolve(y, 1280, 1)))
    y = Dense(1000, activation="softmax")(GlobalAveragePooling2D()(y))
    return Model(x, y, name="efficientnet_b0")

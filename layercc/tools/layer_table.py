"""Layers of the builder, of `keras.layers` and of `torch.nn` side by side, for `docs/layers.md`.

It is data, and imports no framework. Tests hold it to the classes that Keras and PyTorch have, to
those that the tests of the front ends compare or see refused, and to the element types that the
builder's layers take.
"""

from __future__ import annotations

from dataclasses import dataclass

from layercc.frontends.keras.registry import REFUSED_LAYERS


@dataclass(frozen=True)
class Same:
    """What computes the same, or nearly, by the names of classes; "" where there is none.

    `types` names the set of element types (`ir.dtypes.DTYPE_SETS`) that the builder's layer takes
    with some settings. `why` says why the builder has none, or what differs.
    """

    builder: str
    keras: str
    torch: tuple[str, ...]
    types: str = ""
    why: str = ""


def _shared(name: str, *torch: str, types: str = "float", why: str = "") -> Same:
    """A layer of the builder that has Keras' name."""
    return Same(name, name, torch, types, why)


def _torch(why: str, names: str) -> tuple[Same, ...]:
    return tuple(Same("", "", (name,), why=why) for name in names.split())


def _keras(why: str, names: str) -> tuple[Same, ...]:
    return tuple(Same("", name, (), why=why) for name in names.split())


_FUNCTION = "builder: an activation, by its Keras name in `Activation`"
_NO_CLASS = "builder: it has Keras' layers, and Keras has none"
_LOSS = "builder: losses are for training"
_AT_INFERENCE = "builder: for training; what Keras does at inference is kept"
_NOT_YET = "builder: not written yet; `lc.from_keras` makes its ops"
_CELL = "builder: its recurrent layers take no cells"

_RANKS = (1, 2, 3)
_SPATIAL = tuple(
    row
    for n in _RANKS
    for row in (
        _shared(f"Conv{n}D", f"Conv{n}d", f"LazyConv{n}d"),
        _shared(f"Conv{n}DTranspose", f"ConvTranspose{n}d", f"LazyConvTranspose{n}d"),
        _shared(f"AveragePooling{n}D", f"AvgPool{n}d"),
        _shared(f"MaxPooling{n}D", f"MaxPool{n}d", types="numeric"),
        _shared(f"AdaptiveAveragePooling{n}D", f"AdaptiveAvgPool{n}d", types="numeric"),
        _shared(f"AdaptiveMaxPooling{n}D", f"AdaptiveMaxPool{n}d", types="ordered"),
        _shared(f"GlobalAveragePooling{n}D"),
        _shared(f"GlobalMaxPooling{n}D"),
        _shared(f"Cropping{n}D", types="any"),
        _shared(f"ZeroPadding{n}D", f"ZeroPad{n}d", types="any"),
        _shared(f"UpSampling{n}D", types="any"),
        _shared(f"SpatialDropout{n}D", f"Dropout{n}d", types="any"),
    )
)

#: Every layer that a front end takes.
TABLE: tuple[Same, ...] = (
    *_SPATIAL,
    *(_shared(f"{kind}Conv{n}D") for kind in ("Depthwise", "Separable") for n in (1, 2)),
    _shared("ELU", "ELU"), _shared("LeakyReLU", "LeakyReLU"), _shared("PReLU", "PReLU"),
    _shared("ReLU", "ReLU", "ReLU6", types="numeric"),
    _shared("Softmax", "Softmax", "Softmax2d"),
    _shared("Activation", types="any", why="element types: those of the function"),
    _shared("AdditiveAttention"), _shared("Attention"), _shared("GroupQueryAttention"),
    _shared("MultiHeadAttention", "MultiheadAttention"),
    _shared("Dense", "Linear", "LazyLinear"), _shared("EinsumDense"),
    _shared("Embedding", "Embedding", types="index"),
    _shared("Identity", "Identity", types="any"), _shared("Normalization"),
    _shared("Rescaling", types="signed_numeric"), _shared("Masking", types="any"),
    *(_shared(name, types="numeric")
      for name in ("Add", "Average", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")),
    _shared("Concatenate", types="any"),
    Same("BatchNormalization", "BatchNormalization",
         (*(f"{lazy}BatchNorm{n}d" for lazy in ("", "Lazy") for n in _RANKS), "SyncBatchNorm"),
         "float"),
    _shared("LayerNormalization", "LayerNorm"), _shared("GroupNormalization", "GroupNorm"),
    _shared("RMSNormalization", "RMSNorm"), _shared("UnitNormalization"),
    Same("LocalResponseNormalization", "", ("LocalResponseNorm",), "float"),
    _shared("LSTM", "LSTM"), _shared("GRU", "GRU"), _shared("SimpleRNN", "RNN"),
    _shared("Bidirectional"), _shared("TimeDistributed"),
    _shared("ActivityRegularization", types="any"),
    _shared("AlphaDropout", "AlphaDropout", "FeatureAlphaDropout", types="any"),
    _shared("Dropout", "Dropout", types="any"), _shared("GaussianDropout", types="any"),
    _shared("GaussianNoise", types="any"),
    _shared("Flatten", "Flatten", types="any"), _shared("Permute", types="any"),
    _shared("RepeatVector", types="any"), _shared("Reshape", "Unflatten", types="any"),
    _shared("CenterCrop", types="any"),
    _shared("Resizing", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", types="any"),
    _shared("Lambda", types="any", why="element types: those of the function"),
    *_keras(_CELL, "RNN StackedRNNCells"),
    *(Same("", cell, (cell.removeprefix("Simple"),), why=_CELL)
      for cell in ("GRUCell", "LSTMCell", "SimpleRNNCell")),
    *_keras(_NOT_YET,
            "AutoContrast CategoryEncoding ConvLSTM1D ConvLSTM2D ConvLSTM3D Discretization "
            "Equalization MelSpectrogram Pipeline ReversibleEmbedding STFTSpectrogram "
            "Solarization SpectralNormalization"),
    *_keras(_AT_INFERENCE,
            "AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration "
            "RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing "
            "RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert "
            "RandomPerspective RandomPosterization RandomRotation RandomSaturation "
            "RandomSharpness RandomShear RandomTranslation RandomZoom"),
    *_torch(_FUNCTION,
            "CELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LogSigmoid LogSoftmax Mish "
            "SELU Sigmoid SiLU Softplus Softshrink Softsign Tanh Tanhshrink"),
    *_torch(_NO_CLASS,
            "Bilinear ChannelShuffle CosineSimilarity CrossMapLRN2d EmbeddingBag Fold LPPool1d "
            "LPPool2d LPPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d PairwiseDistance PixelShuffle "
            "PixelUnshuffle RReLU Softmin Transformer TransformerDecoder "
            "TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer Threshold Unfold"),
    *_torch(f"with its samples given; {_NO_CLASS}", "FractionalMaxPool2d FractionalMaxPool3d"),
    *(Same("", "", tuple(f"{lazy}InstanceNorm{n}d" for lazy in ("", "Lazy")), why=_NO_CLASS)
      for n in _RANKS),
    *(Same("", "", (f"{kind}Pad{n}d",), why=_NO_CLASS)
      for kind in ("Circular", "Constant", "Reflection", "Replication") for n in _RANKS),
    *_torch(_LOSS,
            "AdaptiveLogSoftmaxWithLoss BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss "
            "CrossEntropyLoss GaussianNLLLoss "
            "HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss "
            "MarginRankingLoss MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss "
            "NLLLoss NLLLoss2d PoissonNLLLoss SmoothL1Loss SoftMarginLoss TripletMarginLoss "
            "TripletMarginWithDistanceLoss"),
    Same("Sequential", "", ("Sequential",),
         why="Keras: `keras.Sequential`; element types: those of its layers"),
)  # fmt: skip

#: Classes of `torch.nn` that no compiled model has → why. Those of Keras: its front end's registry.
REFUSED_TORCH: dict[str, str] = {}

#: What the page calls sets of element types.
_SETS = {
    "float": "floats", "signed_numeric": "floats, signed integers", "numeric": "floats, integers",
    "ordered": "floats, integers, bool", "any": "all", "index": "int32, int64", "": "",
}  # fmt: skip


def side_by_side() -> list[list[str]]:
    """Cells of the printed table: rows by name, what is refused last."""

    def code(*names: str) -> str:
        return ", ".join(f"`{name}`" for name in names if name)

    return [
        *(
            [code(row.builder), code(row.keras), code(*row.torch), _SETS[row.types], row.why]
            for row in sorted(TABLE, key=lambda row: row.builder or row.keras or row.torch[0])
        ),
        *(["", f"✗ {code(name)}", "", "", why] for name, why in sorted(REFUSED_LAYERS.items())),
        *(["", "", f"✗ {code(name)}", "", why] for name, why in sorted(REFUSED_TORCH.items())),
    ]

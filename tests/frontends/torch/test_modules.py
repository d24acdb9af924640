"""Every layer of torch.nn: compiled beside PyTorch's eager mode, or the reason why not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from ir.diagnostics import LayerccError  # noqa: E402
from layercc.frontends.torch import from_torch  # noqa: E402
from tests.frontends.torch.comparing import check, random  # noqa: E402

pytestmark = pytest.mark.torch

Case = tuple[Callable[[], Any], tuple[Any, ...]]


def ints(high: int, *shape: int) -> Any:
    return torch.arange(torch.Size(shape).numel()).mul(7).remainder(high).reshape(shape)


def probabilities(*shape: int) -> Any:
    return random(*shape).sigmoid()


def trained(norm: Any) -> Any:
    """A normalisation whose statistics and weights are not those of a new one."""
    torch.manual_seed(0)
    for tensor in [*norm.parameters(), *norm.buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    return norm


def pooled(rank: int) -> Any:
    """A pooling layer that gives indices, and its inverse."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = getattr(nn, f"MaxPool{rank}d")(2, return_indices=True)
            self.up = getattr(nn, f"MaxUnpool{rank}d")(2)

        def forward(self, x: Any) -> Any:
            y, places = self.down(x)
            return y, places, self.up(y, places)

    return Both()


class Packing(nn.Module):
    """A recurrent layer on sequences of different lengths."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0])


def lazy(name: str, *arguments: Any) -> Callable[[], Any]:
    """A lazy layer that has seen an input, which makes it one with weights."""
    shape = {"1": (2, 3, 7), "2": (2, 3, 7, 5), "3": (2, 3, 5, 4, 6)}.get(name[-2], (2, 3))

    def make() -> Any:
        torch.manual_seed(0)
        module = getattr(nn, name)(*arguments)
        module(random(*shape))
        return module

    return make


M1, M2, M3 = random(2, 3, 11), random(2, 3, 11, 8), random(2, 3, 7, 6, 9)
WIDE = random(4, 33) * 4
CASES: dict[str, list[Case]] = {
    # convolutions
    "Conv1d": [
        (lambda: nn.Conv1d(3, 5, 3), (M1,)),
        (lambda: nn.Conv1d(3, 6, 4, stride=2, padding="valid", groups=3, bias=False), (M1,)),
        (lambda: nn.Conv1d(3, 5, 4, padding="same", dilation=2), (M1,)),
        (lambda: nn.Conv1d(3, 5, 3, padding=2, padding_mode="circular"), (M1,)),
        (lambda: nn.Conv1d(3, 5, 3), (M1[0],)),
    ],
    "Conv2d": [
        (lambda: nn.Conv2d(3, 5, 3), (M2,)),
        (lambda: nn.Conv2d(3, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=3), (M2,)),
        (lambda: nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), (M2,)),
        (lambda: nn.Conv2d(3, 5, 3).double(), (M2.double(),)),
        (lambda: nn.Conv2d(3, 5, 3, padding=1), (M2.transpose(2, 3),)),
        (lambda: nn.Conv2d(3, 5, 3), (M2[:0],)),
    ],
    "Conv3d": [(lambda: nn.Conv3d(3, 5, 3, padding=1, stride=2), (M3,))],
    "ConvTranspose1d": [
        (lambda: nn.ConvTranspose1d(3, 5, 3, stride=2, padding=1, output_padding=1), (M1,))
    ],
    "ConvTranspose2d": [
        (lambda: nn.ConvTranspose2d(3, 5, 3, stride=2), (M2,)),
        (lambda: nn.ConvTranspose2d(3, 6, 3, 2, 1, 1, groups=3, dilation=2), (M2,)),
        (lambda: nn.ConvTranspose2d(3, 5, 2), (M2[0],)),
    ],
    "ConvTranspose3d": [(lambda: nn.ConvTranspose3d(3, 4, 2, stride=2), (M3,))],
    "Unfold": [(lambda: nn.Unfold((3, 2), dilation=(1, 2), padding=1, stride=(2, 1)), (M2,))],
    "Fold": [(lambda: nn.Fold((6, 5), (2, 3), padding=1, stride=2), (random(2, 12, 12),))],
    # pooling
    "MaxPool1d": [(lambda: nn.MaxPool1d(3, 2, 1), (M1,))],
    "MaxPool2d": [
        (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (M2,)),
        (lambda: nn.MaxPool2d(2, dilation=2, return_indices=True), (M2,)),
        (lambda: nn.MaxPool2d(2), (M2[0],)),
    ],
    "MaxPool3d": [(lambda: nn.MaxPool3d(2, stride=(1, 2, 1)), (M3,))],
    "MaxUnpool1d": [(lambda: pooled(1), (M1,))],
    "MaxUnpool2d": [(lambda: pooled(2), (M2,))],
    "MaxUnpool3d": [(lambda: pooled(3), (M3[:, :, :6, :, :8],))],
    "AvgPool1d": [(lambda: nn.AvgPool1d(3, 2, 1), (M1,))],
    "AvgPool2d": [
        (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), (M2,)),
        (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (M2,)),
        (lambda: nn.AvgPool2d(2, divisor_override=3), (M2,)),
    ],
    "AvgPool3d": [(lambda: nn.AvgPool3d(2, padding=1), (M3,))],
    "LPPool1d": [(lambda: nn.LPPool1d(2, 3, 2), (M1,))],
    "LPPool2d": [(lambda: nn.LPPool2d(3, (2, 3), 2), (M2.abs(),))],
    "LPPool3d": [(lambda: nn.LPPool3d(2, 2), (M3,))],
    "FractionalMaxPool2d": [
        (lambda: nn.FractionalMaxPool2d((3, 2), (5, 4), _random_samples=probabilities(2, 3, 2)),
         (M2,)),
        (lambda: nn.FractionalMaxPool2d(2, output_ratio=(0.4, 0.1), return_indices=True,
                                        _random_samples=probabilities(1, 3, 2)), (M2[0],)),
    ],
    "FractionalMaxPool3d": [
        (lambda: nn.FractionalMaxPool3d((2, 1, 3), (3, 5, 4), return_indices=True,
                                        _random_samples=probabilities(2, 3, 3)), (M3,)),
    ],
    "AdaptiveAvgPool1d": [(lambda: nn.AdaptiveAvgPool1d(4), (M1,))],
    "AdaptiveAvgPool2d": [
        (lambda: nn.AdaptiveAvgPool2d(1), (M2,)),
        (lambda: nn.AdaptiveAvgPool2d((None, 4)), (M2,)),
        (lambda: nn.AdaptiveAvgPool2d((7, 3)), (M2,)),
        (lambda: nn.AdaptiveAvgPool2d((1, 4)), (M2[0],)),
    ],
    "AdaptiveAvgPool3d": [(lambda: nn.AdaptiveAvgPool3d((7, 3, 2)), (M3,))],
    "AdaptiveMaxPool1d": [(lambda: nn.AdaptiveMaxPool1d(4), (M1,))],
    "AdaptiveMaxPool2d": [
        (lambda: nn.AdaptiveMaxPool2d((11, 4), return_indices=True), (M2,)),
        (lambda: nn.AdaptiveMaxPool2d((5, 3)), (M2,)),
    ],
    "AdaptiveMaxPool3d": [(lambda: nn.AdaptiveMaxPool3d(1), (M3,))],
    # padding
    **{f"{kind}Pad{rank}d": [(lambda k=kind, r=rank: getattr(nn, f"{k}Pad{r}d")(2), (x,))]
       for kind in ("Circular", "Reflection", "Replication", "Zero")
       for rank, x in ((1, M1), (2, M2), (3, M3))},
    "ConstantPad1d": [(lambda: nn.ConstantPad1d((1, -2), 3.5), (M1,))],
    "ConstantPad2d": [(lambda: nn.ConstantPad2d((1, 2, 0, 3), -1), (M2,))],
    "ConstantPad3d": [(lambda: nn.ConstantPad3d(1, 0.5), (M3,))],
    # normalisation
    "BatchNorm1d": [
        (lambda: trained(nn.BatchNorm1d(3)), (M1,)),
        (lambda: trained(nn.BatchNorm1d(3, affine=False)), (random(5, 3),)),
    ],
    "BatchNorm2d": [
        (lambda: trained(nn.BatchNorm2d(3)), (M2,)),
        (lambda: nn.BatchNorm2d(3, track_running_stats=False), (M2,)),
    ],
    "BatchNorm3d": [(lambda: trained(nn.BatchNorm3d(3)), (M3,))],
    "SyncBatchNorm": [(lambda: trained(nn.SyncBatchNorm(3)), (M2,))],
    "InstanceNorm1d": [(lambda: nn.InstanceNorm1d(3), (M1,))],
    "InstanceNorm2d": [
        (lambda: trained(nn.InstanceNorm2d(3, affine=True)), (M2,)),
        (lambda: trained(nn.InstanceNorm2d(3, track_running_stats=True)), (M2,)),
    ],
    "InstanceNorm3d": [(lambda: nn.InstanceNorm3d(3), (M3,))],
    "LayerNorm": [
        (lambda: trained(nn.LayerNorm(8)), (M2,)),
        (lambda: trained(nn.LayerNorm((11, 8), bias=False)), (M2,)),
        (lambda: nn.LayerNorm(8, elementwise_affine=False), (M2,)),
    ],
    "GroupNorm": [
        (lambda: trained(nn.GroupNorm(2, 6)), (random(2, 6, 5, 4),)),
        (lambda: nn.GroupNorm(3, 6, affine=False), (random(4, 6),)),
    ],
    "RMSNorm": [(lambda: trained(nn.RMSNorm(8)), (M2,)), (lambda: nn.RMSNorm(8, eps=0.1), (M2,))],
    "LocalResponseNorm": [(lambda: nn.LocalResponseNorm(2, 0.1), (random(2, 7, 5, 4),))],
    "CrossMapLRN2d": [
        (lambda: nn.CrossMapLRN2d(3, 0.1), (random(2, 7, 5, 4),)),
        (lambda: nn.CrossMapLRN2d(4, 0.7, 0.6, 1.3), (random(2, 7, 5, 4),)),
        (lambda: nn.CrossMapLRN2d(9), (M2,)),
    ],
    # activations
    "CELU": [(lambda: nn.CELU(1.3), (WIDE,))],
    "ELU": [(lambda: nn.ELU(0.7), (WIDE,))],
    "GELU": [(lambda: nn.GELU(), (WIDE,)), (lambda: nn.GELU("tanh"), (WIDE,))],
    "GLU": [(lambda: nn.GLU(), (random(3, 10),)), (lambda: nn.GLU(1), (random(3, 10, 4),))],
    "Hardshrink": [(lambda: nn.Hardshrink(0.6), (WIDE,))],
    "Hardtanh": [(lambda: nn.Hardtanh(-0.7, 1.2), (WIDE,))],
    "LeakyReLU": [(lambda: nn.LeakyReLU(0.3), (WIDE,))],
    "PReLU": [
        (lambda: nn.PReLU(), (WIDE,)),
        (lambda: nn.PReLU(3), (M2,)),
        (lambda: nn.PReLU(33), (WIDE,)),
    ],
    "RReLU": [(lambda: nn.RReLU(0.1, 0.4), (WIDE,))],
    "Softplus": [(lambda: nn.Softplus(), (WIDE * 9,)), (lambda: nn.Softplus(2, 3), (WIDE,))],
    "Softshrink": [(lambda: nn.Softshrink(0.3), (WIDE,))],
    "Threshold": [(lambda: nn.Threshold(0.1, 20), (WIDE,))],
    **{name: [(getattr(nn, name), (WIDE,))] for name in (
        "Hardsigmoid", "Hardswish", "LogSigmoid", "Mish", "ReLU", "ReLU6", "SELU", "SiLU",
        "Sigmoid", "Softsign", "Tanh", "Tanhshrink", "Identity")},
    **{name: [(lambda n=name: getattr(nn, n)(1), (M2,))]
       for name in ("Softmax", "Softmin", "LogSoftmax")},
    "Softmax2d": [(lambda: nn.Softmax2d(), (M2,))],
    # dropout does nothing
    **{name: [(getattr(nn, name), (M2 if "2" in name else M3 if "3" in name else M1,))]
       for name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
                    "FeatureAlphaDropout")},
    # linear layers
    "Linear": [
        (lambda: nn.Linear(8, 5), (random(3, 8),)),
        (lambda: nn.Linear(8, 5, bias=False), (M2,)),
        (lambda: nn.Linear(8, 5), (random(8),)),
        (lambda: nn.Linear(8, 5).double(), (random(3, 8).double(),)),
        (lambda: nn.Linear(8, 5), (random(0, 8),)),
    ],
    "Bilinear": [(lambda: nn.Bilinear(4, 5, 3), (random(2, 6, 4), random(2, 6, 5)))],
    "Embedding": [(lambda: nn.Embedding(10, 4, padding_idx=2), (ints(10, 3, 5),))],
    "EmbeddingBag": [
        (lambda m=mode: nn.EmbeddingBag(10, 4, mode=m), (ints(10, 11), torch.tensor([0, 3, 3, 7])))
        for mode in ("sum", "mean", "max")
    ] + [
        (lambda: nn.EmbeddingBag(10, 4, mode="mean", padding_idx=1), (ints(10, 3, 5),)),
        (lambda: nn.EmbeddingBag(10, 4, mode="sum", include_last_offset=True),
         (ints(10, 6), torch.tensor([0, 2, 6]), random(6))),
    ],
    # recurrent layers
    "RNN": [
        (lambda: nn.RNN(3, 5, 2, nonlinearity="relu"), (random(4, 2, 3),)),
        (lambda: nn.RNN(3, 5, bidirectional=True, bias=False), (random(4, 2, 3), random(2, 2, 5))),
    ],
    "LSTM": [
        (lambda: nn.LSTM(3, 5), (random(4, 2, 3),)),
        (lambda: nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True, dropout=0.5),
         (random(4, 2, 3), (random(4, 4, 5), random(4, 4, 5, seed=1)))),
        (lambda: nn.LSTM(3, 5), (random(4, 3),)),
        (lambda: nn.LSTM(3, 7, proj_size=5), (random(4, 2, 3),)),
        (lambda: nn.LSTM(3, 7, 2, batch_first=True, bidirectional=True, bias=False, proj_size=5),
         (random(2, 4, 3), (random(4, 2, 5), random(4, 2, 7)))),
    ],
    "GRU": [
        (lambda: nn.GRU(3, 5, 2), (random(4, 2, 3),)),
        (lambda: nn.GRU(3, 5, bidirectional=True, batch_first=True), (random(4, 2, 3),)),
    ],
    "RNNCell": [(lambda: nn.RNNCell(3, 5), (random(4, 3), random(4, 5)))],
    "LSTMCell": [(lambda: nn.LSTMCell(3, 5), (random(4, 3), (random(4, 5), random(4, 5, seed=1))))],
    "GRUCell": [(lambda: nn.GRUCell(3, 5), (random(4, 3), random(4, 5)))],
    # attention
    "MultiheadAttention": [
        (lambda: nn.MultiheadAttention(8, 2), (random(5, 2, 8),) * 3),
        (lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True, add_bias_kv=True),
         (random(2, 5, 8), random(2, 7, 6), random(2, 7, 4))),
    ],
    "TransformerEncoderLayer": [
        (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (random(2, 5, 8),)),
        (lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, activation="gelu"),
         (random(5, 2, 8), torch.ones(5, 5).triu(1).bool())),
    ],
    "TransformerDecoderLayer": [
        (lambda: nn.TransformerDecoderLayer(8, 2, 16), (random(5, 2, 8), random(7, 2, 8)))
    ],
    "TransformerEncoder": [
        (lambda: nn.TransformerEncoder(  # nested tensors give zeros where there is padding
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False),
         (random(2, 5, 8), None, torch.tensor([[False] * 5, [False] * 3 + [True] * 2])))
    ],
    "TransformerDecoder": [
        (lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16), 2, nn.LayerNorm(8)),
         (random(5, 2, 8), random(7, 2, 8)))
    ],
    "Transformer": [
        (lambda: nn.Transformer(8, 2, 1, 1, 16), (random(5, 2, 8), random(7, 2, 8)))
    ],
    # shapes and resampling
    "ChannelShuffle": [(lambda: nn.ChannelShuffle(3), (random(2, 6, 5, 4),))],
    "PixelShuffle": [(lambda: nn.PixelShuffle(2), (random(2, 8, 5, 3),)),
                     (lambda: nn.PixelShuffle(2), (random(8, 5, 3),))],
    "PixelUnshuffle": [(lambda: nn.PixelUnshuffle(2), (random(2, 3, 4, 6),))],
    "Flatten": [(lambda: nn.Flatten(), (M2,)), (lambda: nn.Flatten(2, 3), (M2,))],
    "Unflatten": [(lambda: nn.Unflatten(1, (3, 1)), (M2,))],
    "Upsample": [
        (lambda: nn.Upsample(scale_factor=2), (M1,)),
        (lambda: nn.Upsample((13, 15), mode="nearest-exact"), (M2,)),
        (lambda: nn.Upsample((13, 5), mode="bilinear"), (M2,)),
        (lambda: nn.Upsample(scale_factor=1.5, mode="bicubic"), (M2,)),
        (lambda: nn.Upsample((9, 5, 11), mode="trilinear", align_corners=True), (M3,)),
        (lambda: nn.Upsample(7, mode="linear"), (M1,)),
    ],
    "UpsamplingBilinear2d": [(lambda: nn.UpsamplingBilinear2d(scale_factor=3), (M2,))],
    "UpsamplingNearest2d": [(lambda: nn.UpsamplingNearest2d(scale_factor=2), (M2,))],
    # distances
    "CosineSimilarity": [(lambda: nn.CosineSimilarity(), (random(4, 5), random(4, 5, seed=1)))],
    "PairwiseDistance": [
        (lambda p=p: nn.PairwiseDistance(p), (random(4, 5), random(4, 5, seed=1)))
        for p in (1, 2, 3)
    ],
    # losses
    "AdaptiveLogSoftmaxWithLoss": [
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 11, [4, 7], 2.0), (random(5, 8), ints(11, 5))),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 11, [4], head_bias=True),
         (random(8), ints(11, 1)[0] + 9)),
    ],
    "BCELoss": [(lambda: nn.BCELoss(), (probabilities(4, 5), probabilities(4, 5)))],
    "BCEWithLogitsLoss": [(lambda: nn.BCEWithLogitsLoss(pos_weight=torch.full((5,), 2.0)),
                           (random(4, 5), probabilities(4, 5)))],
    "CosineEmbeddingLoss": [(lambda: nn.CosineEmbeddingLoss(0.2),
                             (random(4, 5), random(4, 5, seed=1), torch.tensor([1, -1, 1, -1])))],
    "CrossEntropyLoss": [
        (lambda: nn.CrossEntropyLoss(), (random(4, 5), ints(5, 4))),
        (lambda: nn.CrossEntropyLoss(torch.arange(1.0, 6), label_smoothing=0.1, reduction="sum"),
         (random(4, 5), ints(5, 4))),
        (lambda: nn.CrossEntropyLoss(), (random(4, 5), random(4, 5).softmax(1))),
    ],
    "CTCLoss": [
        (lambda: nn.CTCLoss(2, "none", zero_infinity=True), (
            random(7, 4, 5).log_softmax(2), torch.tensor([1, 1, 3, 4, 0, 1, 1]),
            torch.tensor([7, 3, 5, 2]), torch.tensor([3, 2, 0, 2]))),
        (lambda: nn.CTCLoss(), (random(7, 5).log_softmax(1), torch.tensor([1, 2, 2]),
                                torch.tensor(5), torch.tensor(3))),
    ],
    "GaussianNLLLoss": [
        (lambda: nn.GaussianNLLLoss(), (random(4, 5), random(4, 5, seed=1), probabilities(4, 1))),
        (lambda: nn.GaussianNLLLoss(full=True, reduction="none"),
         (random(4, 5), random(4, 5, seed=1), probabilities(4))),
    ],
    "HingeEmbeddingLoss": [(lambda: nn.HingeEmbeddingLoss(), (random(4, 5), random(4, 5).sign()))],
    "HuberLoss": [(lambda: nn.HuberLoss(delta=0.7), (random(4, 5), random(4, 5, seed=1)))],
    "KLDivLoss": [(lambda: nn.KLDivLoss(reduction="batchmean"),
                   (random(4, 5).log_softmax(1), probabilities(4, 5)))],
    "L1Loss": [(lambda: nn.L1Loss(), (random(4, 5), random(4, 5, seed=1)))],
    "LinearCrossEntropyLoss": [(lambda: nn.LinearCrossEntropyLoss(8, 5),
                                (random(4, 8), ints(5, 4)))],
    "MSELoss": [(lambda: nn.MSELoss(reduction="none"), (random(4, 5), random(4, 5, seed=1)))],
    "MarginRankingLoss": [(lambda: nn.MarginRankingLoss(0.3),
                           (random(7), random(7, seed=1), random(7, seed=2).sign()))],
    "MultiLabelSoftMarginLoss": [(lambda: nn.MultiLabelSoftMarginLoss(),
                                  (random(4, 5), ints(2, 4, 5).float()))],
    "MultiMarginLoss": [
        (lambda: nn.MultiMarginLoss(), (random(4, 5), ints(5, 4))),
        (lambda: nn.MultiMarginLoss(2, 0.7, torch.arange(1.0, 6), reduction="none"),
         (random(4, 5), ints(5, 4))),
        (lambda: nn.MultiMarginLoss(), (random(5), ints(5, 1)[0])),
    ],
    "MultiLabelMarginLoss": [(lambda: nn.MultiLabelMarginLoss(),
                              (random(2, 4), torch.tensor([[3, 0, -1, 1], [1, -1, 0, 0]])))],
    "NLLLoss": [
        (lambda: nn.NLLLoss(ignore_index=1), (random(4, 5).log_softmax(1), ints(5, 4))),
        (lambda: nn.NLLLoss(reduction="none"), (random(4, 5, 3).log_softmax(1), ints(5, 4, 3))),
    ],
    "NLLLoss2d": [(lambda: nn.NLLLoss2d(), (random(2, 5, 3, 4).log_softmax(1), ints(5, 2, 3, 4)))],
    "PoissonNLLLoss": [(lambda: nn.PoissonNLLLoss(), (random(4, 5), ints(4, 4, 5).float()))],
    "SmoothL1Loss": [(lambda: nn.SmoothL1Loss(beta=0.5), (random(4, 5), random(4, 5, seed=1)))],
    "SoftMarginLoss": [(lambda: nn.SoftMarginLoss(), (random(4, 5), random(4, 5, seed=1).sign()))],
    "TripletMarginLoss": [(lambda: nn.TripletMarginLoss(),
                           tuple(random(4, 5, seed=i) for i in range(3)))],
    "TripletMarginWithDistanceLoss": [(lambda: nn.TripletMarginWithDistanceLoss(),
                                       tuple(random(4, 5, seed=i) for i in range(3)))],
    # containers
    "Sequential": [(lambda: nn.Sequential(nn.Linear(8, 5), nn.ReLU()), (random(3, 8),))],
    # layers that make their weights when they see an input
    **{f"Lazy{name}": [(lazy(f"Lazy{name}", 4, 2), (x,))] for name, x in (
        ("Conv1d", M1), ("Conv2d", M2), ("Conv3d", M3), ("ConvTranspose1d", M1),
        ("ConvTranspose2d", M2), ("ConvTranspose3d", M3))},
    **{f"Lazy{name}": [(lazy(f"Lazy{name}"), (x,))] for name, x in (
        ("BatchNorm1d", M1), ("BatchNorm2d", M2), ("BatchNorm3d", M3), ("InstanceNorm1d", M1),
        ("InstanceNorm2d", M2), ("InstanceNorm3d", M3))},
    "LazyLinear": [(lazy("LazyLinear", 5), (random(2, 3),))],
}  # fmt: skip
#: Layers of torch.nn that are refused, as they are or in a form of theirs, and what the error
#: says.
REFUSED: dict[str, tuple[Case, str]] = {
    "LSTM, packed": (
        (lambda: nn.LSTM(3, 5), (nn.utils.rnn.pack_sequence([random(4, 3), random(2, 3)]),)),
        "packed sequences: .* a padded tensor would fit",
    ),
    "GRU, packed inside": (
        (lambda: Packing(nn.GRU(3, 5)), (random(4, 2, 3), torch.tensor([2, 4]))),
        "packed sequences: .* a padded tensor would fit",
    ),
    "FractionalMaxPool2d, at random": (
        (lambda: nn.FractionalMaxPool2d(2, 3), (M2,)),
        "random numbers",
    ),
    "FractionalMaxPool3d, at random": (
        (lambda: nn.FractionalMaxPool3d(2, 3), (M3,)),
        "random numbers",
    ),
}
#: Names in torch.nn that are no layers: bases, containers of others, options.
NO_LAYERS = {
    "Container", "LinearCrossEntropyOptions", "Module", "ModuleDict",
    "ModuleList", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase",
}  # fmt: skip


#: Layers that PyTorch does not run on an empty batch; the kernels of the last three return, and
#: leave losses unwritten and the shape as it was. The first two hold samples of a batch.
NOT_EMPTY = {
    "FractionalMaxPool2d", "FractionalMaxPool3d", "CTCLoss", "InstanceNorm2d", "LazyInstanceNorm1d",
    "LazyInstanceNorm2d", "LazyInstanceNorm3d",
    "TransformerEncoder", "MultiLabelMarginLoss", "MultiMarginLoss", "PixelUnshuffle",
}  # fmt: skip
#: Layers whose batch is the second axis.
BATCH_SECOND = {"RNN", "LSTM", "GRU", "MultiheadAttention"}


def test_every_layer_is_looked_at():
    names = set(nn.modules.__all__)
    tried = {name for name, cases in CASES.items() if cases}
    assert names - tried - REFUSED.keys() - NO_LAYERS == set()
    assert not tried & REFUSED.keys() and not NO_LAYERS & (tried | REFUSED.keys())


every_case = pytest.mark.parametrize(
    ("make", "inputs"),
    [
        pytest.param(*case, id=f"{name}-{i}")
        for name, cases in CASES.items()
        for i, case in enumerate(cases)
    ],
)


@every_case
def test_agrees_with_eager(make, inputs):
    torch.manual_seed(0)
    check(make(), inputs)


def special(x: Any) -> Any:
    """NaN and infinity among the numbers of a tensor."""
    if not x.is_floating_point() or not x.numel():
        return x
    numbers = x.clone().flatten()
    numbers[1], numbers[4 % len(numbers)] = float("nan"), float("inf")
    return numbers.reshape(x.shape)


@every_case
def test_agrees_in_double_on_strided_inputs(make, inputs):
    """By the reference implementations, whose kernels other tests compare with them."""

    def changed(x: Any) -> Any:
        x = x.double() if x.is_floating_point() else x
        return x.transpose(0, -1).contiguous().transpose(0, -1) if x.ndim > 1 else x

    torch.manual_seed(0)
    module = make().double()
    given = pytree.tree_map_only(torch.Tensor, changed, inputs)
    others = pytree.tree_map_only(torch.Tensor, special, given)
    check(module, given, *([] if isinstance(module, nn.BCELoss) else [others]), compiled=False)


def leaves(inputs: Any) -> list[Any]:
    return [x for x in pytree.tree_leaves(inputs) if isinstance(x, torch.Tensor)]


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_EMPTY])
def test_an_empty_batch(name):
    make, inputs = CASES[name][0]
    axis = 1 if name in BATCH_SECOND else 0
    torch.manual_seed(0)
    empty = pytree.tree_map_only(torch.Tensor, lambda x: x.narrow(axis, 0, 0), inputs)
    check(make(), empty, compiled=False, warns=True)  # of means of nothing, by NumPy


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name):
    (make, inputs), message = REFUSED[name]
    with pytest.raises(LayerccError, match=message):
        from_torch(make().eval(), inputs)


def test_other_threads_keep_pytorchs_own_forms():
    packed = []

    class Packs(nn.Module):
        def forward(self, x: Any) -> Any:
            thread = threading.Thread(target=lambda: packed.append(pack()))
            thread.start()
            thread.join()
            return x + 1

    def pack() -> Any:
        return nn.utils.rnn.pack_sequence([torch.ones(3), torch.ones(2)])

    from_torch(Packs(), (random(2),))
    assert len(packed) == 1 and len(pack()) == len(packed[0])

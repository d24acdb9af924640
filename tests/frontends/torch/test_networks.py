"""Whole networks as people write them with torch.nn, at two sizes each."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import layercc as lc  # noqa: E402
from tests.frontends.torch.comparing import check, random  # noqa: E402

pytestmark = pytest.mark.torch


class ResidualBlock(nn.Module):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or into != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Any) -> Any:
        kept = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + kept)


class ResNet(nn.Module):
    """ResNet-18's stages, with fewer channels."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages, into = [], width
        for i in range(4):
            out = width << i
            stages.append(ResidualBlock(into, out, 1 if i == 0 else 2))
            stages.append(ResidualBlock(out, out, 1))
            into = out
        self.layers = nn.Sequential(*stages)
        self.fc = nn.Linear(into, 10)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(self.layers(x), 1), 1))


class InvertedResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = channels * 3
        self.expand = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.Hardswish()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.ReLU(), nn.Conv2d(4, wide, 1),
            nn.Hardsigmoid(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(wide, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Any) -> Any:
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.squeeze(y))


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), InvertedResidual(8), InvertedResidual(8)
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 5))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).mean([2, 3]))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = self.double(3, 8)
        self.down2 = self.double(8, 16)
        self.middle = self.double(16, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.join2 = self.double(32, 16)
        self.up1 = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(16, 8, 1))
        self.join1 = self.double(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    @staticmethod
    def double(into: int, out: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(into, out, 3, padding=1), nn.GroupNorm(4, out), nn.SiLU(),
            nn.Conv2d(out, out, 3, padding=1), nn.GroupNorm(4, out), nn.SiLU(),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        y = self.middle(F.max_pool2d(second, 2))
        y = self.join2(torch.cat([second, self.up2(y)], 1))
        return self.out(self.join1(torch.cat([first, self.up1(y)], 1)))


class VisionTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 17, 16))
        layer = nn.TransformerEncoderLayer(
            16, 2, 32, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(16), enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.encoder(x)[:, 0])


class Bert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16, padding_idx=0)
        self.positions = nn.Embedding(32, 16)
        self.norm = nn.LayerNorm(16)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True)
            for _ in range(2)
        )
        self.pooler = nn.Linear(16, 16)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        tokens, mask = batch["input_ids"], batch["attention_mask"]
        places = torch.arange(tokens.shape[1])
        x = self.norm(self.words(tokens) + self.positions(places))
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=mask == 0)
        return {"hidden": x, "pooled": torch.tanh(self.pooler(x[:, 0]))}


class CausalBlock(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.ln_2 = nn.RMSNorm(size)
        self.mlp = nn.Sequential(
            nn.Linear(size, 2 * size), nn.GELU("tanh"), nn.Linear(2 * size, size)
        )

    def forward(self, x: Any) -> Any:
        n, time, size = x.shape
        q, k, v = self.qkv(self.ln_1(x)).split(size, -1)
        q, k, v = (p.view(n, time, self.heads, -1).transpose(1, 2) for p in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, time, size))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(50, 16)
        self.wpe = nn.Embedding(32, 16)
        self.h = nn.ModuleList(CausalBlock(16, 2) for _ in range(2))
        self.ln_f = nn.LayerNorm(16)
        self.lm_head = nn.Linear(16, 50, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Any) -> Any:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.size(1), device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


class CachedAttention(nn.Module):
    """One step of decoding: the cache of keys and values comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)

    def forward(self, x: Any, cache: tuple[Any, Any]) -> Any:
        q, k, v = (p.unflatten(-1, (2, 8)).transpose(1, 2) for p in self.qkv(x).chunk(3, -1))
        k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), (k, v)


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.lstm = nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(12, 4)

    def forward(self, tokens: Any) -> Any:
        hidden, (last, _) = self.lstm(self.embedding(tokens))
        return self.tags(hidden).log_softmax(-1), last[-1]


def tokens(*shape: int) -> Any:
    return torch.arange(torch.Size(shape).numel()).mul(13).remainder(49).add(1).reshape(shape)


def words(n: int, time: int) -> tuple[dict[str, Any]]:
    mask = (torch.arange(time) < time - torch.arange(n)[:, None] % 3).long()
    return ({"input_ids": tokens(n, time) * mask, "attention_mask": mask},)


def cache(n: int, time: int) -> Any:
    return random(n, 1, 16), (random(n, 2, time, 8), random(n, 2, time, 8, seed=1))


PAIRS = ("N", "T")
AUTO = torch.export.Dim.AUTO
IMAGE, LARGER = (random(2, 3, 64, 64),), (random(3, 3, 96, 64),)
NETWORKS = {
    "resnet": (ResNet, IMAGE, LARGER, (("N", 3, AUTO, AUTO),)),
    "mobilenet": (MobileNet, IMAGE, LARGER, (("N", 3, AUTO, AUTO),)),
    "unet": (UNet, IMAGE, LARGER, (("N", 3, "4*H", "4*W"),)),
    "vit": (VisionTransformer, (random(2, 3, 16, 16),), (random(5, 3, 16, 16),),
            (("N", 3, 16, 16),)),
    "bert": (Bert, words(2, 7), words(4, 12), ({"input_ids": PAIRS, "attention_mask": PAIRS},)),
    "gpt": (Gpt, (tokens(2, 7),), (tokens(3, 12),), (PAIRS,)),
    "cached attention": (CachedAttention, cache(2, 5), cache(3, 9),
                         (("N", 1, 16), (("N", 2, "T", 8), ("N", 2, "T", 8)))),
    "tagger": (Tagger, (tokens(2, 7),), (tokens(3, 12),), (PAIRS,)),
}  # fmt: skip


def network(make: Any) -> Any:
    """A network in evaluation mode whose statistics are not those of a new one."""
    torch.manual_seed(0)
    module = make()
    for tensor in module.buffers():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    return module.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_eager(name):
    make, inputs, others, dynamic = NETWORKS[name]
    graph = check(network(make), inputs, others, dynamic=dynamic)
    assert any(not value.type.is_static for value in graph.inputs)


@pytest.mark.parametrize("name", ["resnet", "bert"])
def test_runs_as_few_kernels_as_by_way_of_onnx(name, tmp_path):
    make, inputs, _, _ = NETWORKS[name]
    module, path = network(make), tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (*inputs, {}), path, dynamo=False)
    by_onnx = lc.compile(str(path))
    calls = []
    for compiled in (lc.compile(module, inputs), by_onnx):
        shapes = {value.name: value.shape for value in compiled.graph.inputs}
        calls.append(len(compiled.plan(shapes).program.calls))
    assert calls[0] <= calls[1]

"""Networks of the libraries timm and transformers, with random weights, small and as they are used.

Importing this needs neither; `Model.make` does, and PyTorch. (`benchmarks.torch_networks` measures
them, `tests/frontends/torch/test_library_networks.py` holds them to eager mode.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Inputs = tuple[Any, ...] | dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A network: `make(small)` builds it, `inputs(*sizes)` what it is called with.

    `small` and `usual` are two sets of sizes each, for the small network and for the usual one;
    `dynamic`: `dynamic_shapes` under which one graph serves both sets.
    """

    make: Callable[[bool], Any]
    inputs: Callable[..., Inputs]
    small: tuple[tuple[int, ...], tuple[int, ...]]
    usual: tuple[tuple[int, ...], tuple[int, ...]]
    dynamic: Callable[[], Any]

    def build(self, small: bool) -> Any:
        """The network in evaluation mode; statistics, and weights that all are one number (zeros in
        the last layer of a block, or in a head), are not those of a new one, so that inputs show in
        what it returns."""
        import torch

        torch.manual_seed(0)
        module = self.make(small)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                torch.nn.init.uniform_(buffer, -0.1, 0.1)  # near those of what comes in
            elif name.endswith("running_var"):
                torch.nn.init.uniform_(buffer, 0.5, 1.5)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if weight.numel() > 1 and bool((weight == weight.flatten()[0]).all()):
                    is_scale = weight.ndim == 1 and name.endswith("weight")
                    weight.uniform_(*((0.5, 1.5) if is_scale else (-0.2, 0.2)))
        return module.eval()

    def call(self, module: Any, inputs: Inputs) -> Any:
        """What a module makes of inputs."""
        return module(**inputs) if isinstance(inputs, dict) else module(*inputs)


def _timm(name: str, other: str = "", **small: Any) -> Callable[[bool], Any]:
    """A model of timm; the small one has other arguments, or another name."""

    def make(is_small: bool) -> Any:
        declare_torchvision_ops()
        import timm

        if not is_small:
            return timm.create_model(name)
        return timm.create_model(other or name, **small)

    return make


def _transformers(
    model: str, config: str, small: dict[str, Any], usual: dict[str, Any] | None = None
) -> Callable[[bool], Any]:
    """A class of transformers with a configuration; `usual` is what the defaults need besides."""

    def make(is_small: bool) -> Any:
        declare_torchvision_ops()
        import transformers

        settings = small if is_small else usual or {}
        return getattr(transformers, model)(getattr(transformers, config)(**settings))

    return make


def declare_torchvision_ops() -> None:
    """Makes torchvision importable, which both libraries use, where its native library is of
    another build of PyTorch: its Python wants two ops declared, which no network here runs."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for op in ("nms", "qnms"):
            library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)  # what it declares goes with it


_libraries: list[Any] = []


def _numbers(*shape: int) -> Any:
    import torch

    count = torch.Size(shape).numel()
    return torch.randn(count, generator=torch.Generator().manual_seed(count)).reshape(shape)


def _images(batch: int, height: int, width: int) -> Inputs:
    return (_numbers(batch, 3, height, width),)


def _tokens(batch: int, length: int) -> Any:
    import torch

    return torch.arange(batch * length).mul(13).remainder(49).add(3).reshape(batch, length)


def _text(batch: int, length: int) -> dict[str, Any]:
    """Token numbers, and a mask that leaves out the ends of all rows but the first."""
    import torch

    ends = length - torch.arange(batch)[:, None] % 3
    mask = (torch.arange(length) < ends).long()
    return {"input_ids": _tokens(batch, length) * mask, "attention_mask": mask}


def _pair(batch: int, length: int, target: int) -> dict[str, Any]:
    return {**_text(batch, length), "decoder_input_ids": _tokens(batch, target)}


def _cached(batch: int, past: int, heads: int, size: int, layers: int) -> dict[str, Any]:
    """The next token, and the keys and values of what came before."""
    import transformers

    cache = transformers.DynamicCache()
    for layer in range(layers):
        for_layer = _numbers(2, batch, heads, past, size) * 0.5**layer
        cache.update(*for_layer, layer)
    return {"input_ids": _tokens(batch, 1), "cache": cache}


def _selective_scan(small: bool) -> Any:
    """Layers of a selective state-space model (Mamba; Gu and Dao 2023), each scan one op."""
    import torch
    from torch import nn
    from torch._higher_order_ops.scan import scan

    width, state = (8, 4) if small else (256, 16)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into = nn.Linear(width, 2 * width)
            self.conv = nn.Conv1d(width, width, 4, groups=width, padding=3)
            self.select = nn.Linear(width, 2 * state + 1)
            self.step = nn.Linear(1, width)
            self.decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(width, 1))
            self.skip = nn.Parameter(torch.ones(width))
            self.out = nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            y, gate = self.into(x).chunk(2, -1)
            y = self.conv(y.mT)[..., : x.shape[1]].mT
            y = nn.functional.silu(y)
            b, c, step = self.select(y).split([state, state, 1], -1)
            step = nn.functional.softplus(self.step(step))
            kept = torch.exp(step[..., None] * -self.decay.exp())
            added = (step * y)[..., None] * b[:, :, None]

            def advance(h: Any, now: Any) -> Any:
                kept, added, c = now
                h = kept * h + added
                return h, (h * c[:, None]).sum(-1)

            start = x.new_zeros(x.shape[0], width, state)
            _, found = scan(advance, start, (kept, added, c), dim=1)
            return self.out((found + self.skip * y) * nn.functional.silu(gate))

    return nn.Sequential(Layer(), Layer())


def _detr(small: bool) -> Any:
    """The detector up to its scores and boxes, which is where suppression of others would begin."""
    declare_torchvision_ops()
    import transformers

    if small:
        backbone = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
        sizes = {"num_queries": 5, "encoder_layers": 1, "decoder_layers": 1, "d_model": 16}
        sizes |= {f"{part}_attention_heads": 2 for part in ("encoder", "decoder")}
        sizes |= {f"{part}_ffn_dim": 32 for part in ("encoder", "decoder")}
    else:
        backbone, sizes = {}, {}
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        use_pretrained_backbone=False,
        backbone_config=transformers.ResNetConfig(**backbone, out_features=["stage4"]),
        **sizes,
    )
    return transformers.DetrForObjectDetection(config)


def _llama(small: bool) -> Any:
    """A decoder whose cache of keys and values is an argument and a result."""
    declare_torchvision_ops()
    import transformers
    from transformers.integrations.executorch import register_dynamic_cache_export_support

    register_dynamic_cache_export_support()
    sizes = _LLAMA if small else _LARGE_LLAMA
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))


def _image_sizes() -> Any:
    import torch

    return ({0: "N", 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)


def _cached_sizes() -> Any:
    layers = _LLAMA["num_hidden_layers"]
    cache = [[{0: "N", 2: "P"} for _ in range(layers)] for _ in range(2)]
    return {"input_ids": ("N", None), "cache": cache}


_TEXT = {"input_ids": ("N", "T"), "attention_mask": ("N", "T")}
_BERT = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 64,
}  # fmt: skip
_GPT2 = {
    "vocab_size": 60, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2,
    "bos_token_id": 1, "eos_token_id": 2, "use_cache": False,
}  # fmt: skip
_T5 = {
    "vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
    "use_cache": False,
}  # fmt: skip
_LLAMA: dict[str, Any] = {
    "vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
_LARGE_LLAMA: dict[str, Any] = {
    "vocab_size": 8000, "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 1024,
}  # fmt: skip
_WHISPER = {
    "vocab_size": 60, "num_mel_bins": 8, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "max_source_positions": 20, "max_target_positions": 32,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    "use_cache": False,
}  # fmt: skip
_WAV2VEC2 = {
    "vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "conv_dim": (8, 8, 8), "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2), "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
_NO_CACHE = {"use_cache": False}
_MAMBA = {
    "vocab_size": 60, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2,
    "time_step_rank": 4, "use_cache": False,
}  # fmt: skip
_SMALL_IMAGES, _USUAL_IMAGES = ((2, 64, 64), (3, 96, 64)), ((1, 224, 224), (4, 224, 224))
_SMALL_TEXT, _USUAL_TEXT = ((2, 7), (3, 11)), ((1, 128), (2, 96))

MODELS: dict[str, Model] = {
    "resnet50": Model(
        _timm("resnet50", num_classes=7, layers=(2, 1, 1, 1), stem_width=8, base_width=8),
        _images, _SMALL_IMAGES, _USUAL_IMAGES, _image_sizes),
    "convnext": Model(
        _timm("convnext_tiny", num_classes=7, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32)),
        _images, _SMALL_IMAGES, _USUAL_IMAGES, _image_sizes),
    "efficientnet": Model(
        _timm("efficientnet_b0", "test_efficientnet"),
        _images, _SMALL_IMAGES, _USUAL_IMAGES, _image_sizes),
    "swin": Model(
        _timm("swin_tiny_patch4_window7_224", num_classes=7, img_size=56, embed_dim=16,
              depths=(2, 2), num_heads=(2, 4)),
        _images, ((2, 56, 56), (3, 56, 56)), _USUAL_IMAGES, lambda: ({0: "N"},)),
    "vit": Model(
        _timm("vit_tiny_patch16_224", num_classes=7, img_size=32, patch_size=8, embed_dim=16,
              depth=2, num_heads=2, dynamic_img_size=True),
        _images, ((2, 32, 32), (3, 48, 32)), _USUAL_IMAGES, _image_sizes),
    "detr": Model(
        _detr, lambda *sizes: {"pixel_values": _images(*sizes)[0]},
        _SMALL_IMAGES, ((1, 320, 320), (1, 320, 416)),
        lambda: {"pixel_values": _image_sizes()[0]}),
    "bert": Model(
        _transformers("BertModel", "BertConfig", _BERT), _text, _SMALL_TEXT, _USUAL_TEXT,
        lambda: _TEXT),
    "gpt2": Model(
        _transformers("GPT2LMHeadModel", "GPT2Config", _GPT2, _NO_CACHE), _text,
        _SMALL_TEXT, _USUAL_TEXT, lambda: _TEXT),
    "t5": Model(
        _transformers("T5Model", "T5Config", _T5, _NO_CACHE), _pair,
        ((2, 7, 5), (3, 11, 9)), ((1, 128, 32), (2, 96, 24)),
        lambda: {**_TEXT, "decoder_input_ids": ("N", "S")}),
    "llama": Model(
        _llama, _cached, ((2, 5, 2, 4, 2), (3, 9, 2, 4, 2)),
        ((1, 255, 2, 64, 2), (1, 511, 2, 64, 2)), _cached_sizes),
    "whisper": Model(
        _transformers("WhisperModel", "WhisperConfig", _WHISPER, _NO_CACHE),
        lambda batch, frames, mel, length: {
            "input_features": _numbers(batch, mel, frames),
            "decoder_input_ids": _tokens(batch, length)},
        ((2, 40, 8, 5), (3, 40, 8, 9)), ((1, 3000, 80, 16), (1, 3000, 80, 32)),
        lambda: {"input_features": {0: "N"}, "decoder_input_ids": ("N", "T")}),
    "wav2vec2": Model(
        _transformers("Wav2Vec2Model", "Wav2Vec2Config", _WAV2VEC2),
        lambda batch, time: {"input_values": _numbers(batch, time)},
        ((2, 400), (3, 630)), ((1, 16000), (2, 12000)), lambda: {"input_values": ("N", "T")}),
    "mamba": Model(  # its scan is a loop of Python, so its length is fixed
        _transformers("MambaModel", "MambaConfig", _MAMBA, {"num_hidden_layers": 2} | _NO_CACHE),
        lambda batch, time: {"input_ids": _tokens(batch, time)},
        ((2, 7), (3, 7)), ((1, 64), (2, 64)), lambda: {"input_ids": ("N", None)}),
    "selective_scan": Model(  # short loops are unrolled, into kernels for their length
        _selective_scan, lambda batch, time: (_numbers(batch, time, 8 if batch < 9 else 256),),
        ((2, 70), (3, 90)), ((9, 256), (9, 200)), lambda: (("N", "T", None),)),
}  # fmt: skip

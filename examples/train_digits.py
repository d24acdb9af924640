"""Trains the small network that `layercc demo` runs, and writes it as ONNX.

    python examples/train_digits.py [FOLDER]       # needs torch, scikit-learn and onnx

Data: the test part of the UCI "Optical Recognition of Handwritten Digits" set (Alpaydin and Kaynak
1998), 1797 images of 8×8 pixels with values 0 to 16, as scikit-learn bundles it. A fifth of them is
held out: never trained on, and where the printed accuracy and the saved samples come from.

Writes `digits.onnx`, whose input is raw pixels `[N, 1, 8, 8]` and whose output is probabilities
`[N, 10]`, and `digits_samples.npz` with held-out images and labels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 20
EPOCHS = 60
BATCH = 64
SAMPLES = 20
PIXEL_MAX = 16.0


class Digits(nn.Module):
    """Two convolutions with batch normalisation, a pool, another convolution, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.conv2, self.norm2 = nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv3, self.norm3 = nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48)
        self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.3)
        self.dense = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x / PIXEL_MAX
        x = torch.relu(self.norm1(self.conv1(x)))
        x = self.pool(torch.relu(self.norm2(self.conv2(x))))
        x = torch.relu(self.norm3(self.conv3(x)))
        return self.dense(self.drop(x.mean(dim=(2, 3))))


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """AdamW with one cycle of the learning rate; images are shifted by up to one pixel."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            down, right = torch.randint(0, 3, (2,)).tolist()
            shifted = nn.functional.pad(images[batch], (1, 1, 1, 1))
            shifted = shifted[..., down : down + 8, right : right + 8]
            loss = nn.functional.cross_entropy(model(shifted), labels[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def to_onnx(model: Digits) -> onnx.ModelProto:
    """The trained network, node by node, with the batch size left open."""
    arrays = {"pixel_max": np.array(PIXEL_MAX, np.float32)}
    arrays.update((name, value.numpy()) for name, value in model.state_dict().items())
    arrays = {name: a for name, a in arrays.items() if not name.endswith("num_batches_tracked")}
    nodes = [helper.make_node("Div", ["pixels", "pixel_max"], ["scaled"], "scaled")]
    value = "scaled"
    for index in (1, 2, 3):
        conv, norm, relu = f"conv{index}", f"norm{index}", f"relu{index}"
        weights = [f"{conv}.weight", f"{conv}.bias"]
        nodes.append(helper.make_node("Conv", [value, *weights], [conv], conv, pads=[1, 1, 1, 1]))
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        nodes.append(helper.make_node("BatchNormalization", [conv, *parts], [norm], norm))
        nodes.append(helper.make_node("Relu", [norm], [relu], relu))
        value = relu
        if index == 2:
            window = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(helper.make_node("MaxPool", [value], ["pool"], "pool", **window))
            value = "pool"
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["features"], "features"),
        helper.make_node(
            "Gemm", ["features", "dense.weight", "dense.bias"], ["logits"], "dense", transB=1
        ),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "probabilities"),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="layercc")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def choose_samples(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of the first images in which each digit comes equally often, digits mixed."""
    per_digit = count // 10
    columns = [np.flatnonzero(labels == digit)[:per_digit] for digit in range(10)]
    return np.stack(columns, axis=1).reshape(-1)


def main() -> None:
    default = Path(__file__).parent.parent / "layercc" / "models"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums in one order: the same weights on every run
    data = load_digits()
    images = data.images.astype(np.float32)[:, None]
    split = train_test_split(
        images, data.target, test_size=0.2, random_state=SEED, stratify=data.target
    )
    train_x, test_x, train_y, test_y = split
    model = Digits()
    train(model, torch.from_numpy(train_x), torch.from_numpy(train_y))
    with torch.no_grad():
        found = model(torch.from_numpy(test_x)).argmax(1).numpy()
    right = int((found == test_y).sum())
    print(f"held-out accuracy: {right} of {len(test_y)}, {right / len(test_y):.2%}")

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "digits.onnx"
    path.write_bytes(to_onnx(model).SerializeToString())
    chosen = choose_samples(test_y, SAMPLES)
    np.savez_compressed(
        folder / "digits_samples.npz",
        images=test_x[chosen, 0].astype(np.uint8),
        labels=test_y[chosen].astype(np.uint8),
    )
    print(f"wrote {path} ({path.stat().st_size / 1024:.0f} KB) and {SAMPLES} held-out samples")


if __name__ == "__main__":
    main()

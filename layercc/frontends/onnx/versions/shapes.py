"""Ops that move data: attributes that became inputs, and renamed ops."""

from __future__ import annotations

import numpy as np

from layercc.frontends.onnx.versions.versioned_node import VersionedNode, lifts


@lifts("Concat", until=4)
def concat_axis(node: VersionedNode) -> None:
    node.attributes.setdefault("axis", 1)


@lifts("Reshape", until=5)
def reshape_shape(node: VersionedNode) -> None:
    node.attribute_to_input("shape", 1)


@lifts("Squeeze", "Unsqueeze", until=13)
def axes_input(node: VersionedNode) -> None:
    node.attribute_to_input("axes", 1)


@lifts("Slice", until=10)
def slice_inputs(node: VersionedNode) -> None:
    starts, ends = node.attributes.get("starts", ()), node.attributes.get("ends", ())
    axes = node.attributes.get("axes", range(len(starts)))
    if not len(starts) == len(ends) == len(axes):
        node.invalid("starts, ends and axes must have one entry an axis")
    node.attributes["axes"] = tuple(axes)
    for index, name in enumerate(["starts", "ends", "axes"], start=1):
        node.attribute_to_input(name, index)


@lifts("Split", until=13)
def split_sizes(node: VersionedNode) -> None:
    node.attribute_to_input("split", 1)


@lifts("Split", until=18)
def split_count(node: VersionedNode) -> None:
    if not node.input(1):
        node.attributes["num_outputs"] = len(node.outputs)


@lifts("Pad", until=2)
def pad_paddings(node: VersionedNode) -> None:
    node.attributes["pads"] = node.pop("paddings", ())


@lifts("Pad", until=11)
def pad_inputs(node: VersionedNode) -> None:
    node.attribute_to_input("pads", 1)
    value = node.pop("value", 0.0)
    if value:
        node.set_input(2, node.constant(value, node.dtype(0) or np.float32, "value"))


@lifts("Tile", until=6)
def tile_repeats(node: VersionedNode) -> None:
    """Opset 1 repeated along one axis: inputs `tiles` and `axis`, both scalars."""
    tiles, axis, rank = node.known(1), node.known(2), node.rank(0)
    if tiles is None or axis is None or rank is None or tiles.size != 1 or axis.size != 1:
        node.unsupported("tiles and axis must be constants and the rank known")
    repeats = np.ones(rank, np.int64)
    repeats[int(axis.reshape(())) % rank if rank else 0] = int(tiles.reshape(()))
    node.inputs = [node.input(0), node.ints(repeats, "repeats")]


@lifts("TopK", until=10)
def topk_count(node: VersionedNode) -> None:
    node.set_input(1, node.ints([node.pop("k", 1)], "k"))


@lifts("Scatter", until=11, becomes="ScatterElements")
def scatter_elements(node: VersionedNode) -> None:
    node.op = "ScatterElements"


@lifts("DFT", until=20)
def dft_axis(node: VersionedNode) -> None:
    node.set_input(2, node.ints(node.pop("axis", 1), "axis"))


@lifts("Scan", until=9)
def scan_batched(node: VersionedNode) -> None:
    node.unsupported("Scan with a batch axis and sequence lengths; opset 9 or newer would fit")

"""Ops that move data: attributes that became inputs, and renamed ops."""

from __future__ import annotations

import numpy as np

from layercc.frontends.onnx.versions.step import Step, lifts


@lifts("Concat", until=4)
def concat_axis(step: Step) -> None:
    step.attributes.setdefault("axis", 1)


@lifts("Reshape", until=5)
def reshape_shape(step: Step) -> None:
    step.attribute_to_input("shape", 1)


@lifts("Squeeze", "Unsqueeze", until=13)
def axes_input(step: Step) -> None:
    step.attribute_to_input("axes", 1)


@lifts("Slice", until=10)
def slice_inputs(step: Step) -> None:
    starts, ends = step.attributes.get("starts", ()), step.attributes.get("ends", ())
    axes = step.attributes.get("axes", range(len(starts)))
    if not len(starts) == len(ends) == len(axes):
        step.invalid("starts, ends and axes must have one entry an axis")
    step.attributes["axes"] = tuple(axes)
    for index, name in enumerate(["starts", "ends", "axes"], start=1):
        step.attribute_to_input(name, index)


@lifts("Split", until=13)
def split_sizes(step: Step) -> None:
    step.attribute_to_input("split", 1)


@lifts("Split", until=18)
def split_count(step: Step) -> None:
    if not step.input(1):
        step.attributes["num_outputs"] = len(step.outputs)


@lifts("Pad", until=2)
def pad_paddings(step: Step) -> None:
    step.attributes["pads"] = step.pop("paddings", ())


@lifts("Pad", until=11)
def pad_inputs(step: Step) -> None:
    step.attribute_to_input("pads", 1)
    value = step.pop("value", 0.0)
    if value:
        step.set_input(2, step.constant(value, step.dtype(0) or np.float32, "value"))


@lifts("Tile", until=6)
def tile_repeats(step: Step) -> None:
    """Opset 1 repeated along one axis: inputs `tiles` and `axis`, both scalars."""
    tiles, axis, rank = step.known(1), step.known(2), step.rank(0)
    if tiles is None or axis is None or rank is None or tiles.size != 1 or axis.size != 1:
        step.unsupported("tiles and axis must be constants and the rank known")
    repeats = np.ones(rank, np.int64)
    repeats[int(axis.reshape(())) % rank if rank else 0] = int(tiles.reshape(()))
    step.inputs = [step.input(0), step.ints(repeats, "repeats")]


@lifts("TopK", until=10)
def topk_count(step: Step) -> None:
    step.set_input(1, step.ints([step.pop("k", 1)], "k"))


@lifts("Scatter", until=11, becomes="ScatterElements")
def scatter_elements(step: Step) -> None:
    step.op = "ScatterElements"


@lifts("DFT", until=20)
def dft_axis(step: Step) -> None:
    step.set_input(2, step.ints(step.pop("axis", 1), "axis"))


@lifts("Scan", until=9)
def scan_batched(step: Step) -> None:
    step.unsupported("Scan with a batch axis and sequence lengths; opset 9 or newer would fit")

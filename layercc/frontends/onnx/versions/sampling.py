"""Resampling: Upsample and Resize, GridSample, RoiAlign."""

from __future__ import annotations

import numpy as np

from layercc.frontends.onnx.versions.versioned_node import ALWAYS, VersionedNode, lifts


@lifts("Upsample", until=7, becomes="Resize")
def upsample_height_width(node: VersionedNode) -> None:
    height, width = node.pop("height_scale", 1.0), node.pop("width_scale", 1.0)
    node.attributes["scales"] = (1.0, 1.0, height, width)


@lifts("Upsample", until=9, becomes="Resize")
def upsample_scales(node: VersionedNode) -> None:
    node.set_input(1, node.constant(node.pop("scales", ()), np.float32, "scales"))


@lifts("Upsample", until=10, becomes="Resize")
def upsample_to_resize(node: VersionedNode) -> None:
    node.op = "Resize"
    if node.attributes.get("mode") == "bilinear":
        node.attributes["mode"] = "linear"


@lifts("Resize", until=11)
def resize_coordinates(node: VersionedNode) -> None:
    """Up to opset 10 coordinates were scaled as they are. `nearest` took the element before,
    but on axes that shrink the one after (as onnxruntime does; the specification was silent)."""
    node.attributes["coordinate_transformation_mode"] = "asymmetric"
    scales = node.known(1)
    node.inputs = [node.input(0), "", node.input(1)]
    if node.attributes.get("mode", "nearest") != "nearest":
        return
    node.attributes["nearest_mode"] = "floor"
    if scales is None or (scales >= 1).all():
        return
    if (scales > 1).any():  # the axes that grow first
        growing = node.constant(np.maximum(scales, 1), np.float32, "growing")
        inputs = [node.input(0), "", growing]
        node.set_input(0, node.make("Resize", inputs, "grown", **node.attributes))
        node.set_input(2, node.constant(np.minimum(scales, 1), np.float32, "shrinking"))
    node.attributes["nearest_mode"] = "ceil"


@lifts("Resize", until=ALWAYS)
def resize_empty_inputs(node: VersionedNode) -> None:
    """An empty tensor for `roi`, `scales` or `sizes` says the same as no input."""
    for index in (1, 2, 3):
        if node.input(index) and 0 in (node.shape(index) or ()):
            node.set_input(index, "")
    while node.inputs and not node.inputs[-1]:
        node.inputs.pop()


@lifts("GridSample", until=20)
def grid_sample_modes(node: VersionedNode) -> None:
    mode = node.attributes.get("mode", "bilinear")
    node.attributes["mode"] = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)


@lifts("RoiAlign", until=16)
def roi_align_coordinates(node: VersionedNode) -> None:
    node.attributes["coordinate_transformation_mode"] = "output_half_pixel"

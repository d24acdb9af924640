"""Resampling: Upsample and Resize, GridSample, RoiAlign."""

from __future__ import annotations

import numpy as np

from layercc.frontends.onnx.versions.step import ALWAYS, Step, lifts


@lifts("Upsample", until=7, becomes="Resize")
def upsample_height_width(step: Step) -> None:
    height, width = step.pop("height_scale", 1.0), step.pop("width_scale", 1.0)
    step.attributes["scales"] = (1.0, 1.0, height, width)


@lifts("Upsample", until=9, becomes="Resize")
def upsample_scales(step: Step) -> None:
    step.set_input(1, step.constant(step.pop("scales", ()), np.float32, "scales"))


@lifts("Upsample", until=10, becomes="Resize")
def upsample_to_resize(step: Step) -> None:
    step.op = "Resize"
    if step.attributes.get("mode") == "bilinear":
        step.attributes["mode"] = "linear"


@lifts("Resize", until=11)
def resize_coordinates(step: Step) -> None:
    """Up to opset 10 coordinates were scaled as they are. `nearest` took the element before,
    but on axes that shrink the one after (as onnxruntime does; the specification was silent)."""
    step.attributes["coordinate_transformation_mode"] = "asymmetric"
    scales = step.known(1)
    step.inputs = [step.input(0), "", step.input(1)]
    if step.attributes.get("mode", "nearest") != "nearest":
        return
    step.attributes["nearest_mode"] = "floor"
    if scales is None or (scales >= 1).all():
        return
    if (scales > 1).any():  # the axes that grow first
        growing = step.constant(np.maximum(scales, 1), np.float32, "growing")
        inputs = [step.input(0), "", growing]
        step.set_input(0, step.make("Resize", inputs, "grown", **step.attributes))
        step.set_input(2, step.constant(np.minimum(scales, 1), np.float32, "shrinking"))
    step.attributes["nearest_mode"] = "ceil"


@lifts("Resize", until=ALWAYS)
def resize_empty_inputs(step: Step) -> None:
    """An empty tensor for `roi`, `scales` or `sizes` says the same as no input."""
    for index in (1, 2, 3):
        if step.input(index) and 0 in (step.shape(index) or ()):
            step.set_input(index, "")
    while step.inputs and not step.inputs[-1]:
        step.inputs.pop()


@lifts("GridSample", until=20)
def grid_sample_modes(step: Step) -> None:
    mode = step.attributes.get("mode", "bilinear")
    step.attributes["mode"] = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)


@lifts("RoiAlign", until=16)
def roi_align_coordinates(step: Step) -> None:
    step.attributes["coordinate_transformation_mode"] = "output_half_pixel"

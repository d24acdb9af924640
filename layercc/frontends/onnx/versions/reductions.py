"""Reductions and what is normalised by them: axes inputs, Softmax over flattened axes."""

from __future__ import annotations

from layercc.frontends.onnx.versions.step import Step, lifts


@lifts("ReduceSum", until=13)
@lifts(
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSumSquare", until=18,
)  # fmt: skip
def reduction_axes(step: Step) -> None:
    step.attribute_to_input("axes", 1)


@lifts("Softmax", "LogSoftmax", "Hardmax", until=13)
def softmax_over_flattened_axes(step: Step) -> None:
    """These worked on the matrix [dims before axis, dims from axis on], axis 1 by default.

    The same as the newest meaning when only one of the dims from `axis` on is not 1.
    """
    axis = step.attributes.get("axis", 1)
    shape = step.shape(0)
    if shape is not None and -len(shape) <= axis < len(shape):
        wide = [i for i in range(axis % len(shape), len(shape)) if shape[i] != 1]
        if len(wide) <= 1:
            step.attributes["axis"] = wide[0] if wide else axis
            return
    original = step.input(0)
    step.set_input(0, step.make("Flatten", [original], "matrix", axis=axis))
    step.attributes["axis"] = -1
    step.then("Reshape", step.make("Shape", [original], "shape"), allowzero=1)


@lifts("LpPool", "GlobalLpPool", until=2)
def integer_p(step: Step) -> None:
    p = step.attributes.get("p", 2.0)
    if p != int(p):
        step.unsupported(f"p={p}; an integer would fit")
    step.attributes["p"] = int(p)

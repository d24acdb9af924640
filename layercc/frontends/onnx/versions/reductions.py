"""Reductions and what is normalised by them: axes inputs, Softmax over flattened axes."""

from __future__ import annotations

from layercc.frontends.onnx.versions.versioned_node import VersionedNode, lifts


@lifts("ReduceSum", until=13)
@lifts(
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSumSquare", until=18,
)  # fmt: skip
def reduction_axes(node: VersionedNode) -> None:
    node.attribute_to_input("axes", 1)


@lifts("Softmax", "LogSoftmax", "Hardmax", until=13)
def softmax_over_flattened_axes(node: VersionedNode) -> None:
    """These worked on the matrix [dims before axis, dims from axis on], axis 1 by default.

    The same as the newest meaning when only one of the dims from `axis` on is not 1.
    """
    axis = node.attributes.get("axis", 1)
    shape = node.shape(0)
    if shape is not None and -len(shape) <= axis < len(shape):
        wide = [i for i in range(axis % len(shape), len(shape)) if shape[i] != 1]
        if len(wide) <= 1:
            node.attributes["axis"] = wide[0] if wide else axis
            return
    original = node.input(0)
    node.set_input(0, node.make("Flatten", [original], "matrix", axis=axis))
    node.attributes["axis"] = -1
    node.then("Reshape", node.make("Shape", [original], "shape"), allowzero=1)


@lifts("LpPool", "GlobalLpPool", until=2)
def integer_p(node: VersionedNode) -> None:
    p = node.attributes.get("p", 2.0)
    if p != int(p):
        node.unsupported(f"p={p}; an integer would fit")
    node.attributes["p"] = int(p)

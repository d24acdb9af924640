"""Ops and element types that have no kernels: NumPy runs them, with a warning.

`docs/ops.md` prints this table. A test runs every op, compiled, at every element type that its
definition allows, and holds the table to what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.dtypes import DTYPE_SETS, FLOAT8, NARROW_FLOATS, DType
from ir.registry import Op


@dataclass(frozen=True)
class Left:
    """Element types (None: all) at which some ops have no kernels, and why.

    `variable` is the type variable of the ops' definitions that is meant; "" all that allow them.
    """

    ops: tuple[str, ...]
    types: frozenset[DType] | None
    why: str
    variable: str = ""


#: Every exception there is.
LEFT_TO_NUMPY = (
    Left(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
         "RandomUniformLike"),
        None, "NumPy's generator draws the numbers",
    ),
    Left(("Compress", "NonZero", "Unique"), None, "values decide the size of the result"),
    Left(("Range",), DTYPE_SETS["float"], "values decide the size of the result; integer ones are "
         "known when the call is planned"),
    Left(
        ("BitCast", "DeformConv", "Det", "MaxRoiPool", "MelWeightMatrix",
         "NegativeLogLikelihoodLoss", "RoiAlign", "SoftmaxCrossEntropyLoss", "TfIdfVectorizer"),
        None, "nobody has written them yet",
    ),
    Left(("Cast", "CastLike", "Equal"), NARROW_FLOATS | DTYPE_SETS["complex"],
         "kernels move floats of 4 and 8 bits and complex numbers, but do not compute with them"),
    Left(("DequantizeLinear", "IsInf", "IsNaN", "QuantizeLinear"), NARROW_FLOATS,
         "kernels move floats of 4 and 8 bits, but do not compute with them"),
    Left(("QLinearMatMul",), FLOAT8, "sums of products are those of integers"),
    Left(("QuantizeLinear",), frozenset({DType.i64, DType.u64}),
         "levels are integers that f64 holds", "T3"),
    Left(
        ("BlackmanWindow", "CenterCropPad", "Concat", "Constant", "ConstantOfShape",
         "DepthToSpace", "Expand", "EyeLike", "Flatten", "Gather", "GatherElements", "GatherND",
         "HammingWindow", "HannWindow", "Identity", "OneHot", "Pad", "Reshape", "Resize",
         "ReverseSequence", "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split",
         "Squeeze", "TensorScatter", "Tile", "Transpose", "Trilu", "Unsqueeze"),
        frozenset({DType.c128}), "kernels move elements of 8 bytes at most",
    ),
    Left(("Where",), NARROW_FLOATS | DTYPE_SETS["complex"], "it is computed, not moved"),
)  # fmt: skip


def left_to_numpy(op: type[Op]) -> dict[str, set[DType]]:
    """Element types of an op without kernels, by the type variable of its definition, or the name
    of the set of types, that stands for them."""
    names = {p.type for p in (*op.input_parameters, *op.output_parameters)}
    found: dict[str, set[DType]] = {}
    for row in LEFT_TO_NUMPY:
        if op.name not in row.ops:
            continue
        for name in names:
            allowed = DTYPE_SETS[op.constraints.get(name, name)]
            types = allowed if row.types is None else allowed & row.types
            if len(allowed) > 1 and types and row.variable in ("", name):
                found.setdefault(name, set()).update(types)
    return found

"""Older op versions, lifted to the newest: one small function per op and change, in one table.

`lift(node)` brings a node from the opset its model imports to the newest semantics. The functions
are in files by family; each is entered into the table with `@lifts(op, until=version)`, which
reads: nodes of opsets below `version` need this change.

Of the 110 ops of the default domain that have several versions, these changed only in element
types, wording, or through a new attribute whose default is the old meaning, so they need no
function: Abs, Acos..Tanh and the other unary functions, ArgMax, ArgMin, Attention, BitShift,
Ceil..Floor, Compress, Concat (from 4), ConstantOfShape, Conv, ConvTranspose, CumSum, DeformConv,
DepthToSpace, DequantizeLinear, Einsum, Expand, Flatten, Gather*, GlobalAveragePool,
GlobalMaxPool, GRU, LSTM, RNN, Identity, If, Loop, LRN, MatMul, Max, Mean, Min, Sum, MaxPool,
MaxUnpool, MeanVarianceNormalization, Mod, NonMaxSuppression, NonZero, OneHot, QuantizeLinear,
Random*, Range, ReverseSequence, Scan (from 9), ScatterElements, ScatterND, Shape, Size,
SpaceToDepth, ThresholdedRelu, TopK (from 10), Transpose, Unique, Where.
Attributes that only old versions have (`consumed_inputs`, `output_sequence`) are dropped.
"""

from __future__ import annotations

import importlib
import pkgutil

from layercc.frontends.onnx.versions.versioned_node import NewNode, VersionedNode, lift, renamed

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["NewNode", "VersionedNode", "lift", "renamed"]

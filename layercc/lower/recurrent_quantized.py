"""Lowering of DynamicQuantizeLSTM."""

from __future__ import annotations

from ir.diagnostics import UnsupportedError
from ir.graph import Node
from ir.ops.recurrent import LSTM
from layercc.jobs.quantized_recurrence import QuantizedRecurrence, QuantizedWeights
from layercc.lower.context import Context
from layercc.lower.gathering import in_range
from layercc.lower.recurrent import activations, optional_input
from layercc.lower.registry import lowering

#: The gates' functions are approximated as onnxruntime does it: with the same sums, and those are
#: exact, h is the same to the bit, and so it is quantised the same.
_FUNCTIONS = {"sigmoid": "rational_sigmoid", "tanh": "rational_tanh"}


@lowering("com.microsoft.DynamicQuantizeLSTM")
def quantized_lstm(context: Context, node: Node) -> None:
    """An LSTM with weights of 8 bits, which with their scales and zero points are constants."""
    call = context.call_of(node)
    x = context.tensor(node.inputs[0])
    h0, c0 = (optional_input(context, node, index) for index in (5, 6))
    bias, lengths, peepholes = (optional_input(context, node, index) for index in (3, 4, 7))
    if lengths is not None:
        lengths = in_range(context, node, 4)
    outputs = [*node.outputs, "", ""]
    y, h, c = (context.output(name) if name else None for name in outputs[:3])
    w, r = (_weights(context, node, index) for index in (1, 2))
    context.emit(
        QuantizedRecurrence(
            x=x,
            w=w,
            r=r,
            bias=bias,
            lengths=lengths,
            initial=(h0, c0),
            peepholes=peepholes,
            y=y,
            states=(h, c),
            hidden=r.tensor.shape[1],
            direction=call.direction,
            activations=activations(call, LSTM, str(x.dtype), _FUNCTIONS),
            coupled=bool(call.input_forget),
        )
    )


def _weights(context: Context, node: Node, index: int) -> QuantizedWeights:
    """The weights that are input `index` of the node, with their scales and zero points.

    Raises UnsupportedError for those that are computed.
    """
    names = node.inputs[index], *node.inputs[6 + 2 * index : 8 + 2 * index]
    for name in names:
        if name not in context.graph.constants:
            raise UnsupportedError(f"{node}: {name!r} is computed; a constant would fit")
    return QuantizedWeights(*(context.tensor(name) for name in names))

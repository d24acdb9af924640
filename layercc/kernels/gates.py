"""The unit of an LSTM, as kernels of all targets compute it.

Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

from layercc.kernels.expressions import Expression, build
from layercc.kernels.helper import jit
from layercc.kernels.math import SCALAR


def make_lstm_update(
    dtype: str, activations: tuple[Expression, ...], peeping: bool, coupled: bool
) -> Any:
    """The helper `update(i, o, f, c, peepholes, j, cell)` → (h, cell): a unit of an LSTM.

    `i`, `o`, `f`, `c` are its gates before their functions, `cell` is its old cell state.
    `peeping`: to the gates i, o, f, what the cell adds through `peepholes` (pointers for the three,
    used at `j`); `coupled`: the forget gate is 1 - i.
    """
    one = SCALAR[dtype](1)
    gate, candidate, last = (build(activation, contract=True) for activation in activations)

    @jit
    def update(i: Any, o: Any, f: Any, c: Any, peepholes: Any, j: Any, cell: Any) -> Any:
        pi, po, pf = peepholes
        if peeping:
            i += pi[j] * cell
            f += pf[j] * cell
        entering = gate(i)
        kept = one - entering if coupled else gate(f)
        new = blend(kept, cell, entering, candidate(c))
        if peeping:
            o += po[j] * new
        return gate(o) * last(new), new

    return update


@jit(contract=False)
def blend(a: Any, x: Any, b: Any, y: Any) -> Any:
    """a x + b y, rounded alike whichever is written first."""
    return a * x + b * y

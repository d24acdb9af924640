"""Pointwise groups: one loop nest over collapsed, broadcast dimensions.

    y_k[i, j] = f_k(x_0[o_0(i) + s_0 j], x_1[o_1(i) + s_1 j], ...)

`i` counts rows (all dimensions but the innermost, `sizes` of them), `o(i)` is an operand's offset
in a row, and the inner stride `s` is 1 or 0. Operands with inner stride 0 are loaded once a row.
A task is a block of `row_block` rows by `inner_block` elements.

Bound by memory but for expressions of several transcendental functions; see
`python -m benchmarks.elementwise`.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family(noalias=("y0",))
def pointwise(expression: tuple, inner_strides: tuple, outer_rank: int):
    """The kernel of an expression (see `layercc.kernels.expressions`).

    Arguments: pointers `x0 ...` and `y0 ...`; `rows`, `row_block`, `inner`, `inner_block`; for each
    outer dimension d its `size{d}` and the strides `x{k}_stride{d}` of the operands. Outputs are
    dense. Tasks: ceil(rows / row_block) * ceil(inner / inner_block).

    An output may be an input of the same strides and element type: each element is read before it
    is written, and no other is read from its place. So the freedom that `noalias` gives to
    reorder loads and stores of different elements does no harm.
    """
    from layercc.kernels.expressions import build, load, store
    from layercc.kernels.intrinsics import offset

    inputs, steps, outputs = expression
    dtypes = (*inputs, *(step[-1] for step in steps))
    names = {"INT": INT, "f": build(expression), "offset": offset}
    for dtype in {*inputs, *(dtypes[value] for value in outputs)}:
        names |= {f"load_{dtype}": load(dtype), f"store_{dtype}": store(dtype)}
        names[f"pointer_{dtype}"] = pointer(dtype)
    source = _source(inputs, tuple(dtypes[value] for value in outputs), inner_strides, outer_rank)
    exec(source, names)
    return names["body"]


def _source(inputs: tuple, outputs: tuple, inner_strides: tuple, outer_rank: int) -> str:
    """The Python source of the kernel's body, for these numbers of operands and dimensions."""
    dims = range(outer_rank)  # outermost first
    xs = range(len(inputs))
    ys = range(len(outputs))
    arguments = [
        "task: INT",
        *(f"x{k}: pointer_{inputs[k]}" for k in xs),
        *(f"y{k}: pointer_{outputs[k]}" for k in ys),
        *(f"{name}: INT" for name in ("rows", "row_block", "inner", "inner_block")),
        *(f"size{d}: INT" for d in dims),
        *(f"x{k}_stride{d}: INT" for k in xs for d in dims),
    ]
    values = []
    hoisted = []
    for k in xs:
        if inner_strides[k]:
            values.append(f"load_{inputs[k]}(p{k}, j)")
        else:
            hoisted.append(f"v{k} = load_{inputs[k]}(p{k}, 0)")
            values.append(f"v{k}")
    results = [f"r{k}" for k in ys]
    decompose = ["rest = first_row"]
    for d in reversed(dims):
        decompose += [f"i{d} = rest % size{d}", f"rest = rest // size{d}"]
    pointers = []
    for k in xs:
        terms = [f"i{d} * x{k}_stride{d}" for d in dims]
        terms += ["first"] if inner_strides[k] else []
        pointers.append(f"p{k} = offset(x{k}, {' + '.join(terms) or '0'})")
    pointers += [f"q{k} = offset(y{k}, row * inner + first)" for k in ys]
    lines = [
        f"def body({', '.join(arguments)}):",
        "    blocks = (inner + inner_block - 1) // inner_block",
        "    first = task % blocks * inner_block",
        "    count = min(inner_block, inner - first)",
        "    first_row = task // blocks * row_block",
        *(f"    {line}" for line in decompose),
        "    for row in range(first_row, min(first_row + row_block, rows)):",
        *(f"        {line}" for line in [*pointers, *hoisted]),
        "        for j in range(count):",
        f"            {', '.join(results)} = f({', '.join(values)})",
        *(f"            store_{outputs[k]}(q{k}, j, r{k})" for k in ys),
    ]
    indent = "        "
    for d in reversed(dims):  # an odometer over the outer dimensions
        lines += [f"{indent}i{d} += 1", f"{indent}if i{d} == size{d}:", f"{indent}    i{d} = 0"]
        indent += "    "
    return "\n".join(lines)

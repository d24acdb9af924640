# mypy: ignore-errors
"""Pointwise groups: an expression of the elements of broadcast tensors.

    y_k[i] = f_k(x_0[o_0(i)], x_1[o_1(i)], ...)

`i` counts elements of the dense outputs in order, in which an operand is walked with strides of its
own, over dims that no two operands walk as one. A thread computes `width` neighbouring elements,
and reads and writes each operand in as few accesses as it can. Bound by memory but for expressions
of several transcendental functions.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, INT, pointer

THREADS = 256


@gpu_kernel_family(threads=THREADS)
def pointwise(expression: tuple, inner_strides: tuple, rank: int, width: int):
    """The kernel of an expression (see `layercc.kernels.expressions`).

    Arguments: pointers `x0 ...` and `y0 ...`; the number of elements `n`; for dims from the second
    on their `size{d}`, and for each dim but the last the strides `x{k}_stride{d}` of the operands;
    along the last dim, operand k's stride is `inner_strides[k]`, 0 or 1. If `width` is not 1, all
    operands lie at multiples of 16 bytes, and with several dims the last one and all strides are
    multiples of it. Blocks: ceil(n / (THREADS * width)).

    An output may be an input of the same place, strides and type: a thread reads its elements
    before it writes them, and no other reads them.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import load_vector, quotient, rest, store_vector
    from layercc.kernels.expressions import build, decoder, encoder, load, store
    from layercc.kernels.intrinsics import offset

    inputs, steps, outputs = expression
    dtypes = (*inputs, *(step[-1] for step in steps))
    names = {
        "INT": INT, "I32": I32, "cuda": cuda, "f": build(expression), "offset": offset,
        "load_vector": load_vector, "store_vector": store_vector, "quotient": quotient,
        "rest": rest,
    }  # fmt: skip
    for dtype in {*inputs, *(dtypes[value] for value in outputs)}:
        names |= {f"load_{dtype}": load(dtype), f"store_{dtype}": store(dtype)}
        names |= {f"decode_{dtype}": decoder(dtype), f"encode_{dtype}": encoder(dtype)}
        names[f"pointer_{dtype}"] = pointer(dtype)
    made = tuple(dtypes[value] for value in outputs)
    plain = {dtype for dtype in (*inputs, *made) if names[f"decode_{dtype}"] is None}
    raw = {dtype for dtype in made if names[f"encode_{dtype}"] is None}
    exec(_source(inputs, made, inner_strides, rank, width, plain, raw), names)
    return names["body"]


def _source(inputs, outputs, inner_strides, rank, width, plain, raw) -> str:
    """The Python source of the kernel's body."""
    xs, ys = range(len(inputs)), range(len(outputs))
    dims = range(rank)
    arguments = [
        *(f"x{k}: pointer_{inputs[k]}" for k in xs),
        *(f"y{k}: pointer_{outputs[k]}" for k in ys),
        "n: I32",
        *(f"size{d}: I32" for d in dims[1:]),
        *(f"x{k}_stride{d}: INT" for k in xs for d in dims[:-1]),
    ]
    place = []
    if rank > 1:
        place.append("left = first")
        for d in reversed(dims[1:]):
            place += [f"i{d} = rest(left, size{d})", f"left = quotient(left, size{d})"]
        place.append("i0 = left")
    for k in xs:
        terms = [f"i{d} * x{k}_stride{d}" for d in dims[:-1]]
        if inner_strides[k]:
            terms.append(f"i{rank - 1}" if rank > 1 else "first")
        place.append(f"p{k} = offset(x{k}, {' + '.join(terms) or '0'})")
    place += [f"q{k} = offset(y{k}, first)" for k in ys]
    results = ", ".join(f"r{k}" for k in ys)

    def one(j) -> list[str]:
        values = (f"load_{inputs[k]}(p{k}, {j if inner_strides[k] else 0})" for k in xs)
        return [
            f"{results} = f({', '.join(values)})",
            *(f"store_{outputs[k]}(q{k}, {j}, r{k})" for k in ys),
        ]

    wide = []
    for k in xs:
        if inner_strides[k]:
            wide.append(f"v{k} = load_vector(p{k}, {width})")
        else:
            wide.append(f"s{k} = load_{inputs[k]}(p{k}, 0)")
    for j in range(width):
        values = []
        for k in xs:
            element = f"v{k}[{j}]" if inputs[k] in plain else f"decode_{inputs[k]}(v{k}[{j}])"
            values.append(element if inner_strides[k] else f"s{k}")
        wide.append(f"{', '.join(f'r{k}_{j}' for k in ys)} = f({', '.join(values)})")
        wide += [f"r{k}_{j} = encode_{outputs[k]}(r{k}_{j})" for k in ys if outputs[k] not in raw]
    for k in ys:
        wide.append(f"store_vector(q{k}, ({', '.join(f'r{k}_{j}' for j in range(width))},))")
    lines = [
        f"def body({', '.join(arguments)}):",
        f"    first = (cuda.blockIdx.x * {THREADS} + cuda.threadIdx.x) * {width}",
        "    if first < n:",
        *(f"        {line}" for line in place),
    ]
    if width == 1:
        lines += [f"        {line}" for line in one("0")]
    else:
        lines += [
            f"        if first + {width} <= n:",
            *(f"            {line}" for line in wide),
            "        else:",
            "            for j in range(n - first):",
            *(f"                {line}" for line in one("j")),
        ]
    return "\n".join(lines)

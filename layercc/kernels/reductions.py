# mypy: ignore-errors
"""The steps of a reduction, from its expressions (`layercc.jobs.reductions.Recipe`)."""


def reduction_steps(pre: tuple, post: tuple, combine: str):
    """What a reduction does, as helpers of kernels; and the type of its accumulators.

    `element(x, index, shift, shift_index)` is `pre` of an element, `join(total, element)` combines,
    from `start` on, and `finish(y, index, total, count, shift, shift_index)` stores `post`.
    """
    from layercc.kernels.accumulate import step
    from layercc.kernels.expressions import build, compute_dtype, load, store
    from layercc.kernels.helper import jit

    accumulator = compute_dtype(post[0][0])
    before, after = build(pre, contract=True), build(post, contract=True)
    load_x = load(pre[0][0])
    output = output_dtype(post)
    store_y = store(output)
    shifted = len(pre[0]) > 1
    shifted_after = len(post[0]) > 2
    load_shift = load(pre[0][1] if shifted else post[0][2] if shifted_after else "f32")

    if shifted:

        def element(x, index, shift, shift_index):
            return before(load_x(x, index), load_shift(shift, shift_index))

    else:

        def element(x, index, shift, shift_index):
            return before(load_x(x, index))

    if shifted_after:

        def finish(y, index, total, count, shift, shift_index):
            store_y(y, index, after(total, count, load_shift(shift, shift_index)))

    else:

        def finish(y, index, total, count, shift, shift_index):
            store_y(y, index, after(total, count))

    join, start = step(combine, accumulator)
    return jit(element), jit(finish), join, start, accumulator


def output_dtype(expression: tuple) -> str:
    inputs, steps, outputs = expression
    return (*inputs, *(step[-1] for step in steps))[outputs[0]]


def shift_dtype(pre: tuple, post: tuple) -> str:
    return pre[0][1] if len(pre[0]) > 1 else post[0][2] if len(post[0]) > 2 else "f32"

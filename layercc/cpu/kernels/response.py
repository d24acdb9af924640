"""Local response normalization across channels, of planes [channels, step].

    y[c, i] = x[c, i] / (bias + alpha / size * Σ_d x[c + d, i]^2) ^ beta,   -before <= d <= after

A plane is contiguous: with channels last it is the channels of one pixel (step 1), with channels
first all pixels of one image. Either way neighbours are `step` apart, and each distance d is one
vector loop over the elements that have such a neighbour.
"""

from layercc.kernels.declaration import F64, INT, kernel_family, pointer

#: Elements of a block, whose sums of squares are on the stack.
BLOCK = 2048


@kernel_family(noalias=("y",))
def local_response(dtype: str, beta: float):
    """Tasks: ceil(planes / plane_block) * ceil(channels * step / BLOCK)."""
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math import SCALAR
    from layercc.kernels.response import response_factor

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    load_x, store_y = load(dtype), store(dtype)
    zero = scalar(0)
    factor = response_factor(kind, beta)
    block = BLOCK

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        planes: INT,
        plane_block: INT,
        channels: INT,
        step: INT,
        before: INT,
        after: INT,
        alpha: F64,
        bias: F64,
    ):
        size = channels * step
        parts = (size + block - 1) // block
        first = task % parts * block
        end = min(first + block, size)
        weight = scalar(alpha)
        base = scalar(bias)
        sums = stack_array(block, kind)
        first_plane = task // parts * plane_block
        for plane in range(first_plane, min(first_plane + plane_block, planes)):
            source = offset(x, plane * size)
            target = offset(y, plane * size + first)
            for i in range(end - first):
                sums[i] = zero
            for d in range(-before, after + 1):
                low = max(first, -d * step)
                high = min(end, size - d * step)
                shifted = offset(source, low + d * step)
                part = offset(sums, low - first)
                for i in range(high - low):
                    value = load_x(shifted, i)
                    part[i] += value * value
            source = offset(source, first)
            for i in range(end - first):
                store_y(target, i, load_x(source, i) * factor(base + weight * sums[i]))

    return body

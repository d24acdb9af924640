# mypy: ignore-errors
"""Contiguous copies: ``y[i] = x[i]`` for ``i < n``, ``chunk`` elements a task.

Bound by memory: reads and writes ``n`` elements each once.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family
def copy(dtype: str):
    """Copy ``n`` elements of ``dtype``; tasks: ``ceil(n / chunk)``. The ranges may be equal."""

    def body(task: INT, x: pointer(dtype), y: pointer(dtype), n: INT, chunk: INT):
        for i in range(task * chunk, min((task + 1) * chunk, n)):
            y[i] = x[i]

    return body

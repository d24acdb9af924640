# mypy: ignore-errors
"""Fills: ``y[i] = value`` for ``i < n``, ``chunk`` elements a task.

Bound by memory: writes ``n`` elements once.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family
def fill(dtype: str):
    """Write the first element at ``value`` to ``n`` elements; tasks: ``ceil(n / chunk)``."""

    def body(task: INT, value: pointer(dtype), y: pointer(dtype), n: INT, chunk: INT):
        element = value[0]
        for i in range(task * chunk, min((task + 1) * chunk, n)):
            y[i] = element

    return body

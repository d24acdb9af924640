"""Helper functions of kernels: Python functions, which each target compiles in its own way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Helper:
    """A function that kernels, and other helpers, may call.

    `inline` forces it into its caller; `contract` allows a multiply and an add to become one FMA,
    where both stand in functions that allow it. `options` are Numba's.
    """

    def __init__(
        self, function: Callable[..., Any], inline: bool, contract: bool, options: dict[str, Any]
    ) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self.inline = inline
        self.contract = contract
        self.options = options

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.py_func.__qualname__} is called from kernels only")


def jit(
    function: Callable[..., Any] | None = None,
    *,
    inline: bool = True,
    contract: bool = True,
    **options: Any,
) -> Any:
    """Makes a function a helper; see `Helper`."""

    def decorate(function: Callable[..., Any]) -> Helper:
        return Helper(function, inline, contract, options)

    return decorate if function is None else decorate(function)

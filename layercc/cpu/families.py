"""The families of the CPU's kernels, imported when one is first asked for."""

from __future__ import annotations

from layercc.kernels import declaration
from layercc.kernels.declaration import KernelFamily, KernelKey


def family_of(key: KernelKey) -> KernelFamily:
    """The family ``key`` belongs to, layercc's own or a user's.

    Raises KeyError where its module was never imported.
    """
    try:
        return declaration.family_of(key)
    except KeyError:
        import layercc.cpu.kernels  # noqa: F401  registers the families of layercc

        return declaration.family_of(key)

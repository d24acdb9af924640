"""CPU kernels, and how Numba and llvmlite make them native code."""

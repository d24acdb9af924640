"""What a model is: types, graph, ops, shape inference, diagnostics, reference interpreter.

Useful on its own for checking shapes. Imports NumPy, networkx and ml_dtypes; never Numba.
"""

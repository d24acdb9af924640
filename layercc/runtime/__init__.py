"""What runs compiled models on a CPU, and loads them from files: NumPy and the C library suffice.

Nothing here imports the rest of layercc but `ir.diagnostics`, so that it can be shipped alone.
"""

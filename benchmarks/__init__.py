"""Measurements of layercc beside other runtimes, in one run (`python -m benchmarks.run`)."""

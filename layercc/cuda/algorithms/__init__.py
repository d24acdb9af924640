"""Algorithms for contractions on a GPU: see `layercc.algorithms`. They are found by being there."""

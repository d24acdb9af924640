"""Lowering of integer and quantised matrix products and convolutions."""

"""Layers of a user's own: ops that `lc.op` makes of functions."""

"""What an algorithm is; see `layercc.algorithms`."""

from layercc.algorithms import ROWS, Algorithm, rows_of

__all__ = ["ROWS", "Algorithm", "rows_of"]

"""`compare`: two models, or one on two runtimes, layer by layer; and who is at fault.

`tolerance` says what rounding may do, `difference` how two arrays differ, `align` which values of
two models belong together, `sides` what runs them, `layers` compares them, `verdict` says what that
comes to, `bisect` looks for the fault inside layercc; `comparison` is the result.
"""

from layercc.tools.compare.comparing import compare
from layercc.tools.compare.comparison import Comparison

__all__ = ["Comparison", "compare"]

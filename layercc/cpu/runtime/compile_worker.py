"""A process that compiles kernels into the cache: ``python -m layercc.cpu.runtime.compile_worker``.

A worker of `layercc.kernels.compile_pool`, whose setting ``isa`` is the instruction set.
"""

from __future__ import annotations

import importlib
import json
import sys

from layercc.cpu.isa import Isa
from layercc.cpu.runtime.native import default_kernels
from layercc.kernels.declaration import KernelKey


def main() -> None:
    """Serve requests until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a module that prints must not break the dialogue
    for line in sys.stdin:
        try:
            request = json.loads(line)
            importlib.import_module(request["module"])
            isa = Isa(**{**request["isa"], "features": tuple(request["isa"]["features"])})
            kernels = default_kernels(isa)
            kernels.compile(KernelKey.from_json(request["key"]))
            fault = "" if kernels.cache is not None else "the cache is off"
        except Exception as error:  # whatever it is, the caller meets it again and reports it
            fault = f"{type(error).__name__}: {error}"
        print(json.dumps({"fault": fault}), file=answers, flush=True)


if __name__ == "__main__":
    main()

"""A process that compiles GPU kernels into the cache: ``python -m layercc.cuda.compile_worker``.

A worker of `layercc.kernels.compile_pool`, whose settings are the ``architecture`` by name and the
``assembler`` as its fields, or null.
"""

from __future__ import annotations

import importlib
import json
import sys

from layercc.cuda.architecture import architecture_named
from layercc.cuda.codegen.assembler import Assembler
from layercc.cuda.store import GpuKernels
from layercc.kernels.cache import open_cache
from layercc.kernels.declaration import KernelKey


def main() -> None:
    """Serve requests until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a module that prints must not break the dialogue
    cache = open_cache()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            importlib.import_module(request["module"])
            given = request["assembler"]
            assembler = None if given is None else Assembler(**given)
            kernels = GpuKernels(cache, architecture_named(request["architecture"]), assembler)
            kernels.compile(KernelKey.from_json(request["key"]))
            fault = "" if cache is not None else "the cache is off"
        except Exception as error:  # whatever it is, the caller meets it again and reports it
            fault = f"{type(error).__name__}: {error}"
        print(json.dumps({"fault": fault}), file=answers, flush=True)


if __name__ == "__main__":
    main()

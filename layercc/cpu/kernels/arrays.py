# mypy: ignore-errors
"""Calls of a function of a user's with whole arrays, or with blocks of their first axis."""

from layercc.cpu.faults import FAULT
from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family
def call_arrays(function: str, arguments: tuple, tensors: tuple, split: tuple):
    """``f(*arguments)``, on dense arrays.

    ``function``: its name (`layercc.kernels.functions`). ``arguments``: in its order, places of
    tensors (``"x0"``, ``"y0"``), ``"none"`` for an absent one, and constants in tuples of one.
    ``tensors``: place, element type and rank of each. Of those in ``split``, task t gets the rows
    from ``t * block`` on, `block` of `rows` at most; else there is one task.

    Arguments: pointers and sizes (``x0``, ``x0_0``, ...), ``rows``, ``block``, ``fault``. What the
    function raises is reported for the task as the address of a record
    (`layercc.kernels.raised`). An index outside of an array raises IndexError.
    """
    from layercc.cpu.faults import reporter
    from layercc.kernels.functions import resolve
    from layercc.kernels.guarded import array_at, guarded
    from layercc.kernels.intrinsics import offset

    names = {"INT": INT, "FAULT": FAULT, "report": reporter(), "offset": offset}
    names["call"] = guarded(resolve(function))
    for place, dtype, _ in tensors:
        names[f"pointer_{dtype}"] = pointer(dtype)
        names[f"array_{place}"] = array_at(dtype, place[0] == "y")
    exec(_source(arguments, tensors, split), names)
    return names["body"]


def _source(arguments: tuple, tensors: tuple, split: tuple) -> str:
    parameters = ["task: INT"]
    lines = ["first = task * block", "count = min(block, rows - first)"]
    for place, dtype, rank in tensors:
        parameters.append(f"{place}: pointer_{dtype}")
        parameters += [f"{place}_{axis}: INT" for axis in range(rank)]
        sizes, start = [f"{place}_{axis}" for axis in range(rank)], place
        if place in split:
            start = f"offset({place}, {' * '.join(['first', *sizes[1:]])})"
            sizes[0] = "count"
        shape = f"({', '.join(sizes)}{',' if rank == 1 else ''})"
        lines.append(f"a_{place} = array_{place}({start}, {shape})")
    parameters += ["rows: INT", "block: INT", "fault: FAULT"]
    given = [_argument(each) for each in arguments]
    lines += [
        f"raised = call(({', '.join(given)},))",
        "if raised != 0:",
        "    report(fault, task, raised, 0, 0)",
    ]
    return "\n    ".join([f"def body({', '.join(parameters)}):", *lines])


def _argument(each: object) -> str:
    if isinstance(each, tuple):
        return repr(each[0])
    return "None" if each == "none" else f"a_{each}"

# mypy: ignore-errors
"""Trampolines: they run another kernel and write down when, and on which thread.

A table of calls is recorded by putting a trampoline into each row in the kernel's place, with a
block of words that names the kernel. The executor walks such a table as any other, and one that is
not recorded pays nothing.

`clock` is "counter" or "system": what of `layercc.cpu.counter` is read.
"""

from typing import Final

from layercc.kernels.declaration import INT, kernel_family, pointer

#: Words of a block: the kernel's address, that of its argument words, and that of the records.
FUNCTION: Final = 0
ARGUMENTS: Final = 1
RECORDS: Final = 2
#: For `record_call`: how many tasks there are.
TASKS: Final = 3
#: For `record_task`: timed are tasks whose number has no bit in common with MASK; task t has the
#: record t >> SHIFT.
MASK: Final = 3
SHIFT: Final = 4
BLOCK_WORDS: Final = 8  # a cache line

#: Words of a record: an address in the thread's stack; the counter before, and behind.
STACK: Final = 0
START: Final = 1
END: Final = 2
RECORD_WORDS: Final = 3


@kernel_family(abi="direct")
def record_task(clock: str):
    """``record_task(task, block)``: one task, as a kernel is called by the executor."""
    from layercc.cpu.atomics import call_kernel
    from layercc.cpu.counter import counter, monotonic_nanoseconds, stack_place
    from layercc.kernels.intrinsics import pointer_at

    now = counter if clock == "counter" else monotonic_nanoseconds

    def body(task: INT, block: pointer("i64")):
        function = block[FUNCTION]
        arguments = block[ARGUMENTS]
        if task & block[MASK] != 0:
            call_kernel(function, task, arguments)
            return
        record = pointer_at(block[RECORDS] + (task >> block[SHIFT]) * (8 * RECORD_WORDS), "i64")
        start = now()
        call_kernel(function, task, arguments)
        record[END] = now()
        record[START] = start
        record[STACK] = stack_place()

    return body


@kernel_family(abi="direct")
def record_call(clock: str):
    """``record_call(task, block)``: all tasks of a call, one after another, as a single one.

    Where nobody shares the call, that costs two looks at the clock instead of two a task. With no
    tasks, it takes the time.
    """
    from layercc.cpu.atomics import call_kernel
    from layercc.cpu.counter import counter, monotonic_nanoseconds, stack_place
    from layercc.kernels.intrinsics import pointer_at

    now = counter if clock == "counter" else monotonic_nanoseconds

    def body(task: INT, block: pointer("i64")):
        function = block[FUNCTION]
        arguments = block[ARGUMENTS]
        tasks = block[TASKS]
        record = pointer_at(block[RECORDS], "i64")
        start = now()
        for each in range(tasks):
            call_kernel(function, each, arguments)
        record[END] = now()
        record[START] = start
        record[STACK] = stack_place()

    return body

# mypy: ignore-errors
"""The executor: a native loop that walks a table of kernel calls, on one thread or several.

A table is int64[n_calls, 4]: the kernel's address, its number of tasks, the address of its
argument words, and whether the call is too short to share. Calls run in order; the tasks of one
call in any order.

One thread, the leader, walks the table. A call with one task, or too short to share, it runs
itself; any other it publishes, takes tasks from the front while workers take tasks from the back,
and waits until every task taken has been reported done. No step waits for a worker that has taken
nothing, so a worker that is asleep, late or absent costs speed, never progress. Sharing a call
costs about half a microsecond.

What is shared is the control block, one cache line a word:

- TICKET holds the tasks left, ``front << 32 | back``, both offset by BIAS; a task is taken by one
  atomic add (to front) or subtract (from back), valid where the value before had front < back.
  A failed attempt moves a bound by one, which BIAS absorbs; the next store of TICKET forgets it.
  Whoever takes a task of a call keeps that call open until it reports, so the call's fields
  (FUNCTION, WORDS) stay as they are; they are read only after a task was taken. An attempt
  begun in one call and completed in a later one takes a task of the later one: it is valid too.
- DONE counts tasks that workers have reported. The leader sets it back to 0 once all are in, when
  nobody else can touch it.
- WORKERS has a line for each worker: its THREAD_ID, and whether it is AT_WORK, that is, may have a
  task. Where other threads of the machine want processors too, a worker can lose its own in the
  middle of a task, and the leader would wait until the scheduler's next turn, some milliseconds.
  So a leader that waits for long brings such a worker to its own processor, sets LEADER_SLEEPS,
  looks at DONE a last time and sleeps on it; a worker adds to DONE before it looks at
  LEADER_SLEEPS. (Where workers are merely slow, it stays awake.)
- ACTIVE says that a run goes on; LIMIT is how many threads may take part in it.
- A worker without work spins SPIN times, then sleeps on WAKE. It adds itself to SLEEPERS before
  it looks at ACTIVE a last time; the leader sets ACTIVE before it looks at SLEEPERS. All four
  accesses are sequentially consistent, so one of the two sees the other.
- LEADER_CPU is the processor that the leader was last seen on (RUNS counts its runs). A worker
  that finds itself there moves to another: a scheduler that sees all other processors busy wakes
  a worker beside its waker, and may leave it there for many milliseconds.
- BUSY is held by the leader of the one run that uses the workers; a second caller meanwhile walks
  its table alone.

Threads keep the floating-point mode (rounding, denormals) they have: a worker has what its parent
had when it was started.
"""

from typing import Final

from layercc.kernels.declaration import INT, kernel_family, pointer
from layercc.runtime.control import LINE, MOST_WATCHED, SPIN, STOP, TABLE_COLUMNS, WORKERS

BUSY: Final = 0 * LINE
ACTIVE: Final = 1 * LINE
LIMIT: Final = ACTIVE + 1
TICKET: Final = 2 * LINE
FUNCTION: Final = TICKET + 1
WORDS: Final = TICKET + 2
DONE: Final = 3 * LINE
LEADER_SLEEPS: Final = DONE + 1
WAKE: Final = 4 * LINE
LEADER_CPU: Final = ACTIVE + 2
RUNS: Final = BUSY + 1
SLEEPERS: Final = 5 * LINE
THREAD_ID: Final = 0  # words of a worker's line
AT_WORK: Final = 1

BIAS: Final = 1 << 16  # more than there are threads
MOST_TASKS: Final = 1 << 30  # a call with more is run by the leader alone
_LOW: Final = (1 << 32) - 1
_LEADER_SPINS: Final = 4000
# Pauses between two looks at how long a worker has run. Most of what takes a worker's processor
# gives it back sooner, and a thread that moves leaves its cache behind.
_LOOK_SPINS: Final = 12000
_THREAD_CLOCK: Final = 6  # CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED of Linux
_RUNS_BETWEEN_LOOKS: Final = 16  # runs after which the leader says again where it runs
_CALLS_BETWEEN_LOOKS: Final = 64  # calls a worker takes part in before it looks where it runs
_MASK_WORDS: Final = 16  # of a set of processors: up to 1024


@kernel_family(abi="direct")
def walk_table():
    """``walk_table(control, table, n_calls, threads)``: run a table as the leader."""
    from layercc.cpu.atomics import (
        call_kernel,
        exchange,
        fetch_add,
        linux_call,
        load,
        pause,
        store_release,
        wait_while,
        wake_all,
        yield_thread,
    )
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import address, stack_array

    @jit
    def run_alone(function, tasks, words):
        for task in range(tasks):
            call_kernel(function, task, words)

    @jit
    def processor_time(thread_id):
        """How long a thread of this process has run, in nanoseconds; 0 where that is not known."""
        time = stack_array(2, "i64")
        time[0] = time[1] = 0
        clock = (~thread_id << 3) | _THREAD_CLOCK
        linux_call("clock_gettime", clock, address(time), 0)
        return time[0] * 1_000_000_000 + time[1]

    @jit(inline=False)
    def lend_processor(control, wanted):
        """Bring a worker that has a task, but no processor, to the processor of this thread.

        Returns whether there was one; not if DONE became `wanted` before it could be told.
        """
        for index in range(1, min(control[LIMIT], MOST_WATCHED)):
            worker = WORKERS + index * LINE
            if load(control, worker + AT_WORK) == 0:
                continue
            thread = control[worker + THREAD_ID]
            before = processor_time(thread)
            for _ in range(_LOOK_SPINS):
                if load(control, DONE) == wanted:
                    return False
                pause()
            if processor_time(thread) == before:
                cpu = stack_array(1, "i64")
                cpu[0] = 0
                allowed = stack_array(_MASK_WORDS, "i64")
                here = stack_array(_MASK_WORDS, "i64")
                size = linux_call("sched_getaffinity", thread, 8 * _MASK_WORDS, address(allowed))
                if size > 0 and linux_call("getcpu", address(cpu), 0, 0) == 0:
                    for word in range(_MASK_WORDS):
                        here[word] = 0
                    here[cpu[0] // 64] = 1 << (cpu[0] % 64)
                    linux_call("sched_setaffinity", thread, size, address(here))
                    linux_call("sched_setaffinity", thread, size, address(allowed))
                    control[LEADER_CPU] = cpu[0]
                    return True
        return False

    @jit(inline=False)
    def run_shared(control, function, tasks, words):
        control[FUNCTION] = function
        control[WORDS] = words
        store_release(control, TICKET, (BIAS << 32) + BIAS + tasks)
        own = 0
        while True:
            ticket = fetch_add(control, TICKET, 1 << 32)
            front = ticket >> 32
            if front >= ticket & _LOW:
                break
            call_kernel(function, front - BIAS, words)
            own += 1
        spins = 0
        while load(control, DONE) != tasks - own:
            spins += 1
            if spins < _LEADER_SPINS:
                pause()
            elif lend_processor(control, tasks - own):
                exchange(control, LEADER_SLEEPS, 1)
                done = load(control, DONE)
                if done != tasks - own:
                    wait_while(control, DONE, done)
                exchange(control, LEADER_SLEEPS, 0)
            else:
                yield_thread()
        store_release(control, DONE, 0)

    def body(control: pointer("i64"), table: pointer("i64"), n_calls: INT, threads: INT):
        shared = False
        if threads > 1:
            for call in range(n_calls):
                if table[call * TABLE_COLUMNS + 1] > 1 and table[call * TABLE_COLUMNS + 3] == 0:
                    shared = exchange(control, BUSY, 1) == 0
                    break
        if shared:
            if control[RUNS] % _RUNS_BETWEEN_LOOKS == 0:
                cpu = stack_array(1, "i64")
                cpu[0] = 0
                known = linux_call("getcpu", address(cpu), 0, 0) == 0
                control[LEADER_CPU] = cpu[0] if known else -1
            control[RUNS] += 1
            control[LIMIT] = threads
            exchange(control, ACTIVE, 1)
            if load(control, SLEEPERS) > 0:
                fetch_add(control, WAKE, 1)
                wake_all(control, WAKE)
        for call in range(n_calls):
            function = table[call * TABLE_COLUMNS]
            tasks = table[call * TABLE_COLUMNS + 1]
            words = table[call * TABLE_COLUMNS + 2]
            alone = table[call * TABLE_COLUMNS + 3] != 0
            if shared and not alone and tasks > 1 and tasks <= MOST_TASKS:
                run_shared(control, function, tasks, words)
            else:
                run_alone(function, tasks, words)
        if shared:
            store_release(control, ACTIVE, 0)
            store_release(control, BUSY, 0)

    return body


@kernel_family(abi="direct")
def attend():
    """``attend(control, index)``: be worker ``index`` (1, 2, …) until told to stop.

    With index 0: tell the workers to stop, and return.
    """
    from layercc.cpu.atomics import (
        call_kernel,
        exchange,
        fetch_add,
        linux_call,
        load,
        pause,
        store_release,
        wait_while,
        wake_all,
        yield_thread,
    )
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import address, stack_array

    @jit(inline=False)
    def leave_leader(control):
        """Move to another processor, if there is one, where this thread shares the leader's."""
        cpu = stack_array(1, "i64")
        cpu[0] = 0
        if linux_call("getcpu", address(cpu), 0, 0) != 0 or cpu[0] != control[LEADER_CPU]:
            return
        mask = stack_array(_MASK_WORDS, "i64")
        size = linux_call("sched_getaffinity", 0, 8 * _MASK_WORDS, address(mask))
        word, bit = cpu[0] // 64, 1 << (cpu[0] % 64)
        if word < size // 8:
            allowed = mask[word]
            mask[word] = allowed & ~bit
            linux_call("sched_setaffinity", 0, size, address(mask))  # refused if it is empty
            mask[word] = allowed
            linux_call("sched_setaffinity", 0, size, address(mask))

    @jit
    def take_tasks(control, worker):
        """Run tasks from the back until none is left."""
        count = 0
        store_release(control, worker + AT_WORK, 1)
        while True:
            ticket = fetch_add(control, TICKET, -1)
            back = ticket & _LOW
            if ticket >> 32 >= back:
                break
            call_kernel(control[FUNCTION], back - 1 - BIAS, control[WORDS])
            count += 1
        if count > 0:
            fetch_add(control, DONE, count)
        store_release(control, worker + AT_WORK, 0)
        if count > 0 and load(control, LEADER_SLEEPS) != 0:
            wake_all(control, DONE)
            leave_leader(control)

    @jit
    def wanted(control, index):
        return load(control, ACTIVE) != 0 and load(control, LIMIT) > index

    def body(control: pointer("i64"), index: INT):
        if index == 0:
            exchange(control, STOP, 1)
            fetch_add(control, WAKE, 1)
            wake_all(control, WAKE)
            return
        worker = WORKERS + min(index, MOST_WATCHED) * LINE
        control[worker + THREAD_ID] = linux_call("gettid", 0, 0, 0)
        limit = control[SPIN]
        spins = 0
        calls = 0
        while load(control, STOP) == 0:
            ticket = load(control, TICKET)
            if ticket >> 32 < ticket & _LOW and wanted(control, index):
                if calls % _CALLS_BETWEEN_LOOKS == 0:
                    leave_leader(control)
                calls += 1
                take_tasks(control, worker)
                spins = 0
            elif spins < limit:
                spins += 1
                pause()
            elif wanted(control, index):
                yield_thread()
            else:
                fetch_add(control, SLEEPERS, 1)
                word = load(control, WAKE)
                if not wanted(control, index) and load(control, STOP) == 0:
                    wait_while(control, WAKE, word)
                fetch_add(control, SLEEPERS, -1)
                calls = 0
                if wanted(control, index):
                    spins = 0

    return body


EXECUTOR_KEYS: Final = (walk_table.key(), attend.key())

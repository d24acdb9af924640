"""Device memory for running calls: one arena a call, which the plans of a model share.

Arenas that no call uses lie in the pool of their model, the last one used on top. One goes when
none of a number of runs has needed it: when only small plans ran in it, or it lay below others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layercc.cuda.owned import Memory, PinnedMemory
from layercc.cuda.streams import Event, Stream

if TYPE_CHECKING:
    from layercc.cuda.driver import Device
    from layercc.cuda.instance import Instance

#: Runs of the model after which an arena that none of them needed goes.
PATIENCE = 64
#: A plan needs an arena if it takes more than this part of it.
_WORTH_KEEPING = 1 / 4
#: Plans whose graphs an arena keeps: a launch takes some kilobytes of the device.
_MOST_INSTANCES = 64


class Arena:
    """What one running call has: device memory for what lies between inputs and outputs, more of it
    and pinned memory through which arrays go in and out, and a stream."""

    def __init__(self, device: Device, nbytes: int) -> None:
        self.device = device
        self.memory = device.allocate(nbytes, "what lies between inputs and outputs")
        self.stream = device.stream()
        self.staged: Memory | None = None
        self.pinned: PinnedMemory | None = None
        #: By the number of the plan, which must not be held: it holds the pool.
        self.instances: dict[int, Instance] = {}
        self.needed_at = 0  # the pool's clock
        #: The stream whose work in this arena may not be done, and a mark behind it.
        self.busy: Stream | None = None
        self.done = Event(device)
        self._inputs: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of device memory."""
        return self.memory.nbytes + (0 if self.staged is None else self.staged.nbytes)

    def stage(self, nbytes: int, pinned: bool) -> None:
        """Has room for so many bytes of arrays: in device memory, and in pinned memory too.

        Nothing may be queued that works on what there was.
        """
        if self.staged is None or self.staged.nbytes < nbytes:
            self.staged = None  # freed first
            self.staged = self.device.allocate(nbytes, "inputs and outputs")
        if pinned and (self.pinned is None or self.pinned.nbytes < nbytes):
            self.pinned = None
            self.pinned = self.device.allocate_pinned(nbytes)

    def begin(self, stream: Stream) -> None:
        """Has work on a stream come behind what is queued in this arena."""
        if self.busy is not None and self.busy.number != stream.number:
            stream.wait_for(self.done)

    def queued(self, stream: Stream, inputs: Any) -> None:
        """Work was queued that nobody has waited for; these inputs are kept until more is."""
        stream.record(self.done)
        self.busy = stream
        self._inputs = inputs

    def settle(self) -> None:
        """Waits for what is queued in this arena."""
        if self.busy is not None:
            self.done.wait()
            self.busy = self._inputs = None


class Arenas(list[Arena]):
    """The arenas of one model that no call uses. Safe to use from several threads."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device
        self._clock = 0  # runs; threads may lose one another's ticks, which does no harm
        device.add_reserve(self)

    __hash__ = object.__hash__  # type: ignore[assignment]  # a reserve of the device's by identity, whatever lies in it

    @property
    def nbytes(self) -> int:
        """Bytes of device memory of all arenas that no call uses."""
        return sum(arena.nbytes for arena in [*self])

    def take(self, nbytes: int) -> Arena:
        """An arena of so many bytes at least. Raises MemoryLimitError."""
        try:
            arena = self.pop()
        except IndexError:
            return Arena(self._device, nbytes)
        return arena if arena.memory.nbytes >= nbytes else Arena(self._device, nbytes)

    def give_back(self, arena: Arena, nbytes: int) -> None:
        """Gives one back after a run that needed so many bytes of it."""
        self._clock = now = self._clock + 1
        if nbytes >= arena.memory.nbytes * _WORTH_KEEPING:
            arena.needed_at = now
        self.append(arena)
        if now % (PATIENCE // 4) == 0:
            for each in [*self]:
                if now - each.needed_at >= PATIENCE:
                    try:
                        self.remove(each)
                    except ValueError:
                        continue  # another thread has just taken it

    def forget(self, number: int) -> None:
        """Drops the graphs of a plan that is no more."""
        for arena in [*self]:
            arena.instances.pop(number, None)


def keep(arena: Arena, number: int, instance: Instance) -> None:
    """Enters the instance of a plan; the oldest makes room."""
    while len(arena.instances) >= _MOST_INSTANCES:
        del arena.instances[next(iter(arena.instances))]
    arena.instances[number] = instance

"""Device memory for results: taken for each call, given back when nobody holds the arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layercc.cuda.owned import Memory

if TYPE_CHECKING:
    from layercc.cuda.driver import Device
    from layercc.cuda.streams import Event, Stream

#: Bytes that the blocks of one model may hold in reserve, as a part of the device's memory.
_MOST_IDLE = 1 / 16
_GRAIN = 512


class Block:
    """Memory for the results of one call, queued on `stream`; `ready` is behind the call.

    It goes back to its pool with the object, for a later call on the same stream, which is behind
    all that was queued there. If another stream has used it, nobody knows when that is done: it is
    freed instead, for which the driver waits.
    """

    __slots__ = ("_pool", "elsewhere", "memory", "ready", "stream")

    def __init__(self, pool: Blocks, memory: Memory, stream: Stream) -> None:
        self._pool = pool
        self.memory = memory
        self.stream = stream
        self.ready: Event | None = None
        self.elsewhere = False

    def __del__(self) -> None:
        if not self.elsewhere:
            self._pool.give_back(self.memory, self.stream.number)


class Blocks:
    """The blocks of one model that no array lies in, by their stream and bytes.

    Safe to use from several threads, and from finalizers, which may run amid any of its methods:
    only single steps of dicts and lists change it.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._most = int(device.memory * _MOST_IDLE)
        self._idle: dict[tuple[int, int], list[Memory]] = {}
        device.add_reserve(self)

    def take(self, nbytes: int, stream: Stream) -> Block:
        """A block of so many bytes at least, for work on a stream.

        Raises MemoryLimitError.
        """
        size = _rounded(nbytes)
        try:
            memory = self._idle[stream.number, size].pop()
        except (KeyError, IndexError):
            memory = self._device.allocate(size, "results")
        return Block(self, memory, stream)

    def give_back(self, memory: Memory, stream: int) -> None:
        """Keeps memory for the next call, or not, if enough is kept."""
        if self.nbytes + memory.nbytes <= self._most:
            self._idle.setdefault((stream, memory.nbytes), []).append(memory)

    @property
    def nbytes(self) -> int:
        """Bytes that are held in reserve."""
        return sum(size * len(idle) for (_, size), idle in [*self._idle.items()])

    def clear(self) -> None:
        """Frees what is held in reserve."""
        self._idle = {}


def _rounded(nbytes: int) -> int:
    """Sizes that differ little become one: in steps of a sixteenth to an eighth."""
    step = max(_GRAIN, 1 << max(nbytes.bit_length() - 4, 0))
    return -(-nbytes // step) * step or step

"""Device memory of the interpreter: allocations with gaps, and who has touched which byte."""

from __future__ import annotations

import numpy as np

from tests.cuda.ptx.parser import PtxError

_ALIGNMENT = 256
_MANY = -1  # readers


class Bytes:
    """Bytes that threads read and write, strictly.

    Read may be only what was written, and, between two times that all threads meet (barriers of
    a block for shared memory, launches for global memory), what one thread writes no other may
    read or write. Threads are numbered from 1.
    """

    def __init__(self, size: int, what: str) -> None:
        self.what = what
        self.data = np.full(size, 0xFF, np.uint8)
        self.known = np.zeros(size, bool)
        self.writer = np.zeros(size, np.int32)
        self.reader = np.zeros(size, np.int32)
        self.landing = np.zeros(size, bool)  # of a copy that is under way

    def meet(self, start: int = 0, stop: int | None = None) -> None:
        """All threads that share these bytes have met: what came before is seen by all."""
        self.writer[start:stop] = 0
        self.reader[start:stop] = 0

    def load(self, places: np.ndarray, threads: np.ndarray, text: str) -> np.ndarray:
        """The bytes at `places`, [threads, width]."""
        if self.landing[places].any():
            raise PtxError(f"{self.what} to which a copy is under way is read: {text}")
        if not self.known[places].all():
            raise PtxError(f"{self.what} that nobody has written is read: {text}")
        who = threads[:, None]
        writer = self.writer[places]
        if ((writer != 0) & (writer != who)).any():
            raise PtxError(f"race: {self.what} that another thread writes is read: {text}")
        before = self.reader[places]
        self.reader[places] = np.where((before == 0) | (before == who), who, _MANY)
        self.reader[places[self.reader[places] != who]] = _MANY  # several at once
        return self.data[places]

    def store(self, places: np.ndarray, data: np.ndarray, threads: np.ndarray, text: str) -> None:
        """Writes [threads, width] bytes."""
        self._claim(places, threads, text)
        self.data[places] = data
        self.known[places] = True

    def begin(self, places: np.ndarray, threads: np.ndarray, text: str) -> None:
        """A copy to [threads, width] bytes sets out; until it lands they are nobody's."""
        self._claim(places, threads, text)
        self.known[places] = False
        self.landing[places] = True

    def land(self, places: np.ndarray, data: np.ndarray, threads: np.ndarray) -> None:
        """It lands: written by these threads now."""
        self.landing[places] = False
        self.writer[places] = threads[:, None]
        self.data[places] = data
        self.known[places] = True

    def _claim(self, places: np.ndarray, threads: np.ndarray, text: str) -> None:
        who = threads[:, None]
        if self.landing[places].any():
            raise PtxError(f"{self.what} to which a copy is under way is written: {text}")
        reader, writer = self.reader[places], self.writer[places]
        if ((writer != 0) & (writer != who)).any():
            raise PtxError(f"race: two threads write the same {self.what}: {text}")
        if ((reader != 0) & (reader != who)).any():
            raise PtxError(f"race: {self.what} that another thread reads is written: {text}")
        self.writer[places] = who
        if (self.writer[places] != who).any():
            raise PtxError(f"race: two threads write the same {self.what}: {text}")


class Memory(Bytes):
    """Global memory. Addresses are made up; between allocations lie bytes that nobody may touch."""

    BASE = 1 << 40

    def __init__(self, size: int = 1 << 22) -> None:
        super().__init__(size, "global memory")
        self.owned = np.zeros(size, bool)
        self.sizes: dict[int, int] = {}  # by address
        self._top = _ALIGNMENT

    def meet(self, start: int = 0, stop: int | None = None) -> None:
        """As of all bytes: none are touched beyond the last allocation."""
        super().meet(start, self._top if stop is None else stop)

    def allocate(self, nbytes: int) -> int:
        """The address of so many bytes, aligned as by cuMemAlloc."""
        start = self._top
        end = start + max(nbytes, 1)
        while end + _ALIGNMENT > self.data.size:
            self._grow()
        self.owned[start : start + nbytes] = True
        self.known[start:end] = False
        self._top = -(-end // _ALIGNMENT) * _ALIGNMENT + _ALIGNMENT
        self.sizes[self.BASE + start] = nbytes
        return self.BASE + start

    def _grow(self) -> None:
        for name in ("data", "known", "writer", "reader", "landing", "owned"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)]))

    def free(self, address: int) -> None:
        """Gives an allocation back; its address is never used again."""
        if address not in self.sizes:
            raise PtxError(f"{address:#x} is no allocation")
        start = address - self.BASE
        self.owned[start : start + self.sizes.pop(address)] = False

    def at(self, address: int, nbytes: int) -> slice:
        """Where so many bytes at an address lie; raises PtxError where they are nobody's."""
        start = address - self.BASE
        if nbytes and not (
            0 <= start <= self.data.size and self.owned[start : start + nbytes].all()
        ):
            raise PtxError(f"{nbytes} bytes at {address:#x} are in no allocation")
        return slice(start, start + nbytes)

    def put(self, array: np.ndarray) -> int:
        """The address of a copy of an array."""
        address = self.allocate(array.nbytes)
        self.write(address, array)
        return address

    def write(self, address: int, array: np.ndarray) -> None:
        """Copies from the host."""
        place = self.at(address, array.nbytes)
        self.data[place] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.known[place] = True

    def read(self, address: int, shape: tuple[int, ...], dtype: object) -> np.ndarray:
        """Copies to the host; raises PtxError where not all was written."""
        kind = np.dtype(dtype)  # type: ignore[call-overload]
        place = self.at(address, int(np.prod(shape)) * kind.itemsize)
        if not self.known[place].all():
            raise PtxError("bytes that nobody has written are copied to the host")
        return self.data[place].view(kind).reshape(shape).copy()

    def places(self, addresses: np.ndarray, width: int, text: str) -> np.ndarray:
        """Indices of `width` bytes at each address, all in allocations."""
        places = (addresses.astype(np.int64) - self.BASE)[:, None] + np.arange(width)
        inside = (places >= 0) & (places < self.data.size)
        if not inside.all() or not self.owned[places].all():
            raise PtxError(f"outside of all allocations: {text}")
        return places

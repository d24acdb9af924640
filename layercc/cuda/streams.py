"""Queues of work on a device, graphs that are put into them, and marks in them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from layercc.cuda.owned import Owned

if TYPE_CHECKING:
    from layercc.cuda.driver import Device

_NO_TIMING = 2  # CU_EVENT_DISABLE_TIMING


class Event(Owned):
    """A mark in a stream, which others can wait for. Without `timing` it costs less."""

    def __init__(self, device: Device, timing: bool = False) -> None:
        super().__init__(
            device, device.do("cuEventCreate", 0 if timing else _NO_TIMING), "cuEventDestroy"
        )

    def wait(self) -> None:
        """Has the caller wait for what was queued before the mark; raises DeviceError for what
        went wrong in it."""
        self.device.do("cuEventSynchronize", self.handle)


class Graph(Owned):
    """An executable graph, and the nodes that it was made of, whose arguments may be written anew.

    `nodes` are the driver's, with their parameters. They belong to the graph, so it is kept.
    """

    def __init__(
        self, device: Device, graph: Any, nodes: list[tuple[Any, Any]], handle: Any
    ) -> None:
        super().__init__(device, handle, "cuGraphExecDestroy")
        self.nodes = nodes
        self._graph = Owned(device, graph, "cuGraphDestroy")

    def rewrite(self, index: int) -> None:
        """Has the node of this number read its arguments anew; launches that are queued keep what
        they have."""
        handle, words = self.nodes[index]
        self.device.do("cuGraphExecKernelNodeSetParams", self.handle, handle, words)


class Stream:
    """A queue of work; `owner` if it goes with the object."""

    def __init__(self, device: Device, handle: Any, owner: Owned | None = None) -> None:
        self.device = device
        self.handle = handle
        self.number = int(handle)
        self._owner = owner

    def copy_in(self, target: int, source: int, nbytes: int) -> None:
        """Queues a copy from pinned to device memory."""
        self.device.do("cuMemcpyHtoDAsync", target, source, nbytes, self.handle)

    def copy_within(self, target: int, source: int, nbytes: int) -> None:
        """Queues a copy from device memory to device memory."""
        self.device.do("cuMemcpyDtoDAsync", target, source, nbytes, self.handle)

    def copy_out(self, target: int, source: int, nbytes: int) -> None:
        """Queues a copy from device to pinned memory."""
        self.device.do("cuMemcpyDtoHAsync", target, source, nbytes, self.handle)

    def launch(self, graph: Graph) -> None:
        """Queues a graph."""
        self.device.do("cuGraphLaunch", graph.handle, self.handle)

    def record(self, event: Event) -> None:
        """Marks this place with an event."""
        self.device.do("cuEventRecord", event.handle, self.handle)

    def wait_for(self, event: Event) -> None:
        """Has what is queued from now on wait for an event."""
        self.device.do("cuStreamWaitEvent", self.handle, event.handle, 0)

    def wait_for_stream(self, other: Stream) -> None:
        """Has what is queued from now on wait for what is queued on another stream now."""
        event = Event(self.device)
        other.record(event)
        self.wait_for(event)

    def times(self, graph: Graph, runs: int) -> list[float]:
        """The device's own times, in seconds, of runs of a graph one behind the other; waits."""
        events = [Event(self.device, timing=True) for _ in range(runs + 1)]
        self.record(events[0])
        for event in events[1:]:
            self.launch(graph)
            self.record(event)
        events[-1].wait()
        return [elapsed(*pair) for pair in itertools.pairwise(events)]

    def wait(self) -> None:
        """Waits for all that was queued; raises DeviceError for what went wrong in it."""
        self.device.do("cuStreamSynchronize", self.handle)


def elapsed(first: Event, last: Event) -> float:
    """Seconds from one event to another, both of which have been waited for."""
    return float(first.device.do("cuEventElapsedTime", first.handle, last.handle)) / 1e3

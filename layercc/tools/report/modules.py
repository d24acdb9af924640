"""The modules of a graph, by the names of its nodes: what a picture of it folds.

Exporters write the path of a module into the names of its nodes: `/encoder/layer.0/fc/MatMul`
(PyTorch), `model/dense_1/MatMul` (Keras), `layer1.0.conv1`. Where names have no path, or too many
nodes lie in one module, neighbours are folded together, cut where few values cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

#: More items than this on one level are folded into about `RUNS` runs, each of at least `SHORTEST`.
LIMIT, RUNS, SHORTEST = 40, 16, 6
#: This many nodes of a module may compute with constants alone before they are folded.
MOST_ASIDE = 2
#: Paths are cut at this depth: names are not trusted.
DEPTH = 16


@dataclass
class Module:
    """What is folded together: nodes by their position, and modules, in the graph's order.

    `run` tells neighbours without a common name from a module that the model's author named.
    """

    name: str
    items: list[Item] = field(default_factory=list)
    run: bool = False

    def nodes(self) -> Iterator[int]:
        for item in self.items:
            if isinstance(item, Module):
                yield from item.nodes()
            else:
                yield item


Item: TypeAlias = "int | Module"


def path_of(name: str, layer: str = "") -> tuple[str, ...]:
    """A node's modules, then its own name, from its name and, where the model's file tells it
    apart, the path of its `layer`.

    Slashes separate if there are any, dots otherwise. A number belongs to what stands before it, as
    in `layer.0`, since it counts things of that name.
    """
    if layer:
        return *path_of(layer), path_of(name)[-1]
    parts: list[str] = []
    for part in name.split("/" if "/" in name else "."):
        if parts and (part.isdecimal() or len(parts) == DEPTH):
            parts[-1] += f".{part}" if part.isdecimal() else f"/{part}"
        elif part:
            parts.append(part)
    return tuple(parts) or (name,)


def modules(
    paths: Sequence[tuple[str, ...]],
    edges: Iterable[tuple[int, int]],
    starts: Sequence[bool],
    constant: Sequence[bool],
) -> Module:
    """The outermost module of nodes of these paths (`path_of`); its own name is empty.

    `edges`: pairs of positions, from a node to one that reads it. `starts`: whether a run may well
    begin with a node, which is so where it has parameters: activations go with what they follow.
    `constant`: whether a node computes with constants alone; such nodes are put aside.
    """
    root = _by_path(paths)
    _put_aside(root, constant)
    readers: dict[int, list[int]] = {}
    for maker, reader in edges:
        readers.setdefault(maker, []).append(reader)
    _fold_runs(root, paths, readers, starts)
    return root


def _by_path(paths: Sequence[tuple[str, ...]]) -> Module:
    inner = {path[:depth] for path in paths for depth in range(1, len(path))}
    found: dict[tuple[str, ...], Module] = {(): Module("")}

    def at(path: tuple[str, ...]) -> Module:
        if path not in found:
            found[path] = Module(path[-1])
            at(path[:-1]).items.append(found[path])
        return found[path]

    for node, path in enumerate(paths):
        # a module that makes its result with a node of its own name: `attention`
        at(path if path in inner else path[:-1]).items.append(node)
    root = _joined(found[()])
    while len(root.items) == 1 and isinstance(root.items[0], Module):
        root = Module("", root.items[0].items)  # a prefix that all names share says nothing
    return root


def _joined(module: Module) -> Module:
    """Modules of one node become the node; those of one module become that one, names joined."""
    items: list[Item] = []
    for item in module.items:
        if isinstance(item, Module):
            item = _joined(item)
            if len(item.items) == 1:
                (only,) = item.items
                if isinstance(only, Module):
                    only.name = f"{item.name}/{only.name}"
                items.append(only)
                continue
        items.append(item)
    return Module(module.name, items)


def _put_aside(module: Module, constant: Sequence[bool]) -> None:
    """Folds what a module computes of constants alone into a module of its own."""
    aside: list[Item] = [i for i in module.items if not isinstance(i, Module) and constant[i]]
    rest = [item for item in module.items if isinstance(item, Module) or not constant[item]]
    if len(aside) > MOST_ASIDE and rest:
        module.items = [Module("constants", aside, run=True), *rest]
    for item in rest:
        if isinstance(item, Module):
            _put_aside(item, constant)


def _fold_runs(
    module: Module,
    paths: Sequence[tuple[str, ...]],
    readers: dict[int, list[int]],
    starts: Sequence[bool],
) -> None:
    if len(module.items) > LIMIT:
        widths, fitting = _cuts(module, readers, starts)
        items = module.items
        module.items = []
        begin = 0
        for end in _ends(widths, fitting):
            run = items[begin:end]
            label = f"{_label(run[0], paths)} … {_label(run[-1], paths)}"
            module.items.append(Module(label, run, run=True) if len(run) > 1 else run[0])
            begin = end
    for item in module.items:
        if isinstance(item, Module):
            _fold_runs(item, paths, readers, starts)


def _label(item: Item, paths: Sequence[tuple[str, ...]]) -> str:
    return item.name if isinstance(item, Module) else paths[item][-1]


def _cuts(
    module: Module, readers: dict[int, list[int]], starts: Sequence[bool]
) -> tuple[list[int], list[bool]]:
    """For each item: how many values cross the cut in front of it, and whether a run may well
    begin with it."""
    owner: dict[int, int] = {}
    for position, item in enumerate(module.items):
        for node in item.nodes() if isinstance(item, Module) else (item,):
            owner[node] = position
    change = [0] * (len(module.items) + 1)
    for node, position in owner.items():
        last = max(
            (owner[reader] for reader in readers.get(node, ()) if reader in owner), default=0
        )
        if last > position:
            change[position + 1] += 1
            change[last + 1 if last + 1 < len(change) else -1] -= 1
    widths, width = [], 0
    for step in change[:-1]:
        width += step
        widths.append(width)
    fitting = [isinstance(item, Module) or starts[item] for item in module.items]
    return widths, fitting


def _ends(widths: list[int], fitting: list[bool]) -> Iterator[int]:
    """Where runs end: within reach of the length wanted, where fewest values cross."""
    count, wanted, begin = len(widths), max(SHORTEST, len(widths) // RUNS), 0
    while count - begin > wanted + wanted // 2:
        reach = range(begin + wanted // 2, begin + wanted + wanted // 2 + 1)
        ends = [end for end in reach if end < count]
        begin = min(ends, key=lambda e: (widths[e], not fitting[e], abs(e - begin - wanted)))
        yield begin
    yield count

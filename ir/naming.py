"""Names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Names that are taken; makes new ones.

    `separator` stands before the number of a new name: a dot in what passes make; front ends and
    the builder take an underscore, as PyTorch and Keras do.
    """

    def __init__(self, taken: Iterable[str] = (), separator: str = ".") -> None:
        self._taken = set(taken)
        self._separator = separator
        self._counts: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def take(self, names: Iterable[str]) -> None:
        """Enters names that are given elsewhere."""
        self._taken.update(names)

    def fresh(self, hint: str) -> str:
        """`hint` if it is free, else the first free one of `hint.1`, `hint.2`, ...; it is taken
        from now on. Takes amortized constant time."""
        name, count = hint, self._counts.get(hint, 0)
        while name in self._taken or not name:
            count += 1
            name = f"{hint}{self._separator}{count}"
        self._counts[hint] = count
        self._taken.add(name)
        return name

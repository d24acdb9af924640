"""What a fact and a finding are, and the lists of functions that tell them."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

Level = Literal["error", "warning", "note"]

#: In the order in which they are told: a fact may hang on those of sections before its own.
SECTIONS = (
    "system",
    "memory",
    "processor",
    "kernel cache",
    "packages",
    "optional packages",
    "environment",
    "GPU",
    "check",
    "limits",
)


class NotTold(Exception):
    """Raised by a probe that says itself why there is no fact."""


@dataclass(frozen=True)
class Machine:
    """Where facts are asked for: `root` is the start of the file tree, `system` the kind of system
    as Python names it. With `measure`, limits are measured."""

    root: Path = Path("/")
    system: str = field(default_factory=platform.system)
    measure: bool = True

    def read(self, path: str) -> str:
        """The text of a file below the root, without white space around. Raises OSError."""
        return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()

    def try_read(self, path: str) -> str | None:
        """The same, or None where there is no such file: systems tell more or less."""
        try:
            return self.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


@dataclass(frozen=True)
class Fact:
    """`value` is JSON data, `text` how a person reads it, in which spaces that keep words on one
    line are no-break spaces. `unknown`: it could not be told, and `text` says why."""

    section: str
    name: str
    value: Any
    text: str
    unknown: bool = False

    @property
    def data(self) -> Any:
        return {"unknown": self.text} if self.unknown else self.value


@dataclass(frozen=True)
class Finding:
    """Something to know: `what` there is, what that `means`, and what to `do` about it."""

    level: Level
    what: str
    means: str
    do: str


class Facts:
    """The facts that have been told so far, in order."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.all = list(facts)

    def value(self, section: str, name: str) -> Any:
        """The value of a fact; None where it is not there, or unknown."""
        fact = self.find(section, name)
        return None if fact is None or fact.unknown else fact.value

    def find(self, section: str, name: str) -> Fact | None:
        for fact in self.all:
            if (fact.section, fact.name) == (section, name):
                return fact
        return None


@dataclass(frozen=True)
class Probe:
    """Tells one fact; `wants` what has been told before, too."""

    section: str
    name: str
    ask: Callable[[Machine, Facts], Any]
    show: Callable[[Any], str]

    def fact(self, machine: Machine, facts: Facts) -> Fact:
        """The fact; never raises."""
        try:
            value = self.ask(machine, facts)
            return Fact(self.section, self.name, value, self.show(value))
        except NotTold as error:
            why = str(error)
        except Exception as error:  # whatever it is, it is told, and the other facts stand
            why = f"{type(error).__name__}: {error}"
        return Fact(self.section, self.name, None, " ".join(why.split()), unknown=True)


class Conclusion(Protocol):
    """A function from facts to a finding, several, or None."""

    __name__: str

    def __call__(self, facts: Facts) -> Finding | Iterable[Finding] | None: ...


probes: list[Probe] = []
conclusions: list[Conclusion] = []


def fact(
    section: str, name: str, show: Callable[[Any], str] | None = None, none: str = "not told"
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function from a machine to the value of a fact, None for what there is not.

    `show` makes text of it, and `none` is the text for None. A function with a second parameter is
    given the facts told before.
    """

    def register(ask: Callable[..., Any]) -> Callable[..., Any]:
        alone = ask.__code__.co_argcount < 2

        def shown(value: Any) -> str:
            return none if value is None else (show or plain)(value)

        def asked(machine: Machine, facts: Facts) -> Any:
            return ask(machine) if alone else ask(machine, facts)

        probes.append(Probe(section, name, functools.wraps(ask)(asked), shown))
        return ask

    return register


def conclusion(conclude: Conclusion) -> Conclusion:
    """Registers a function from facts to a finding, several, or None."""
    conclusions.append(conclude)
    return conclude


def plain(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return unbroken(f"{name} {plain(item)}" for name, item in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(plain, value)) or "none"
    return str(value)


def unbroken(texts: Iterable[str]) -> str:
    """Texts with commas between, where lines may be broken."""
    return ", ".join(text.replace(" ", "\u00a0") for text in texts)


def binary(nbytes: int) -> str:
    """Bytes as operating systems tell them: `48 KiB`, `1.5 GiB`."""
    value, unit = float(nbytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"

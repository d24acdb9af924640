"""Kernel families: how kernels are declared, named and described.

A kernel is a serial function over one task. A *family* builds kernels from compile-time
parameters (data types, tile sizes, expressions; never shapes, which are arguments)::

    from layercc.kernels.declaration import F64, INT, kernel_family, pointer

    @kernel_family
    def scale(dtype: str):                       # plain hashable data: str, int, float, bool, tuple
        from layercc.kernels.helper import jit  # imports Numba, so only where a kernel is built

        @jit                                     # a helper, inlined into the kernel
        def scaled(value, factor):
            return value * factor

        def body(task: INT, x: pointer(dtype), y: pointer(dtype), n: INT, chunk: INT, factor: F64):
            for i in range(task * chunk, min((task + 1) * chunk, n)):
                y[i] = scaled(x[i], factor)

        return body

    key = scale.key("f32")                       # KernelKey: scale[f32]
    kernels.get(key)                             # layercc.cpu.runtime.native.Kernels: native code

The first argument, ``task``, is the task's number; the others arrive as 64-bit words in the order
written, each converted by its annotation:

=================  =========================================  ====================================
annotation         the word holds                             the body sees
=================  =========================================  ====================================
``pointer("f32")`` an address                                 a pointer: ``x[i]``, ``x[i] = v``
``INT``            a signed integer                           int64
``I32``            a signed integer of 32 bits                int32
``F64``            the bits of a double                       float64
``F32``            the bits of a double                       float32, rounded from it
=================  =========================================  ====================================

Arguments that belong together, and that several kernels take, are a *record*::

    AXIS = record("Axis", size=INT, stride=INT)
    WINDOW = record("Window", h=AXIS, w=AXIS)

    def body(task: INT, window: WINDOW, operands: (operand,) * 2): ...

The body sees a named tuple (``window.h.size``), for a tuple of annotations a tuple
(``operands[0]``), and may pass either to helpers. A caller gives a mapping from field to value, or
a sequence. Among the words, a record is its fields in order; their names are ``window.h.size``,
``operands.0``. A field costs nothing at run time. Every argument must be given in a call, but
those annotated ``optional(...)``: words of these that are left out are 0.

Pointer types are those of ``layercc.kernels.element_types``. Some are stored as others: bool as u8,
f16 and bf16 as u16 (``load`` and ``store`` in ``layercc.kernels.expressions`` convert them).
``layercc.kernels.intrinsics`` also has pointer arithmetic, scratch on the stack and prefetch.

What a kernel file must keep to:

- no ``from __future__ import annotations`` (the annotations of ``body`` are values) and no Numba
  import at module level: a warm start must not import it. Begin it with ``# mypy: ignore-errors``;
- Numba's arithmetic: a literal ``0.5`` is float64 and widens a float32 expression, so write
  ``np.float32(0.5)`` outside the body and use the name; int64 with uint64 gives float64;
- no arrays, strings, exceptions or Python objects: object code that refers to anything but the C
  library is refused. A user's function that a kernel calls through `layercc.kernels.guarded` may
  have arrays and raise;
- ``a * b + c`` may become a fused multiply-add; a helper that must not (compensated arithmetic)
  says ``@jit(contract=False)``, as the expressions of a model's own ops do. No other
  floating-point law is relaxed, but in the steps of reductions that `layercc.kernels.accumulate`
  marks;
- a family whose kernels differ between instruction sets, beyond what LLVM makes of them, takes the
  keyword ``isa``, which is no part of the key;
- pointers may alias. ``@kernel_family(noalias=("y",))`` promises that nothing else reaches what
  ``y`` points to, and saves the checks at run time.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar

from layercc.kernels.element_types import ELEMENT_TYPES

Parameter = str | int | float | bool | tuple["Parameter", ...]
Abi = Literal["words", "direct"]


@dataclass(frozen=True)
class Kind:
    """What one argument word holds: ``pointer`` (to ``dtype``), ``int``, ``i32``, ``f64``, ``f32``.

    Calls may leave out one that is ``optional``: it is 0.
    """

    word: Literal["pointer", "int", "i32", "f64", "f32"]
    dtype: str = ""
    optional: bool = False

    def __str__(self) -> str:
        text = f"{self.dtype}*" if self.word == "pointer" else self.word
        return f"{text}?" if self.optional else text

    @staticmethod
    def parse(text: str) -> Kind:
        """The inverse of ``str``."""
        if text.endswith("?"):
            return replace(Kind.parse(text[:-1]), optional=True)
        if text.endswith("*"):
            return pointer(text[:-1])
        for kind in (INT, I32, F64, F32):
            if text == kind.word:
                return kind
        raise ValueError(f"no argument kind {text!r}")


INT: Final = Kind("int")
I32: Final = Kind("i32")
F64: Final = Kind("f64")
F32: Final = Kind("f32")


def pointer(dtype: str) -> Any:
    """The kind of a pointer to elements of ``dtype``, for use as an annotation."""
    if dtype not in ELEMENT_TYPES:
        raise ValueError(f"no pointer type {dtype!r}; known: {', '.join(ELEMENT_TYPES)}")
    return Kind("pointer", dtype)


@dataclass(frozen=True)
class Record:
    """Arguments under one name, for use as an annotation; ``record`` makes it."""

    name: str
    fields: tuple[tuple[str, Annotation], ...]


Annotation = Kind | Record | tuple["Annotation", ...]


def record(name: str, **fields: Annotation) -> Any:
    """A record called ``name``; its fields are kinds, records or tuples of these."""
    return Record(name, tuple(fields.items()))


def optional(annotation: Annotation) -> Any:
    """The same, but calls may leave out any word of it; such words are 0."""
    if isinstance(annotation, Kind):
        return replace(annotation, optional=True)
    if isinstance(annotation, Record):
        fields = tuple((name, optional(part)) for name, part in annotation.fields)
        return replace(annotation, fields=fields)
    return tuple(optional(part) for part in annotation)


@dataclass(frozen=True)
class Argument:
    """One argument word of a kernel: the name and kind of a parameter or of a record's field."""

    name: str
    kind: Kind


Signature = tuple[Argument, ...]


def words_of(name: str, annotation: Annotation) -> Iterator[Argument]:
    """The words of the parameter ``name``, in order.

    Raises TypeError where ``annotation`` is none, or has a part that is none.
    """
    if isinstance(annotation, Kind):
        yield Argument(name, annotation)
    elif isinstance(annotation, Record):
        for field_name, part in annotation.fields:
            yield from words_of(f"{name}.{field_name}", part)
    elif isinstance(annotation, tuple):
        for index, part in enumerate(annotation):
            yield from words_of(f"{name}.{index}", part)
    else:
        raise TypeError(
            f"argument {name} is annotated {annotation!r}, which is none of pointer(dtype), "
            "INT, I32, F64, F32, or a record or tuple of these"
        )


@dataclass(frozen=True, eq=False)
class KernelKey:
    """The name of one kernel: a family and the values of its compile-time parameters.

    Keys are equal where they are written equal: 1, 1.0 and True differ, and so do 0.0 and -0.0.
    """

    family: str
    params: tuple[Parameter, ...] = ()
    _text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_text", f"{self.family}{self.params!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelKey) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return f"{self.family}[{', '.join(map(_brief, self.params))}]"

    def to_json(self) -> list[Any]:
        """Plain lists and scalars; ``from_json`` makes the key again."""
        return [self.family, _lists(self.params)]

    @staticmethod
    def from_json(data: list[Any]) -> KernelKey:
        """The inverse of ``to_json``."""
        return KernelKey(data[0], _tuples(data[1]))


def _brief(value: Parameter) -> str:
    return value if isinstance(value, str) else repr(value)


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


BodyBuilder = Callable[..., Callable[..., None]]


class KernelFamily:
    """A function from compile-time parameters to the Python body of a kernel."""

    def __init__(
        self,
        build: BodyBuilder,
        noalias: tuple[str, ...] = (),
        abi: Abi = "words",
        unroll: bool = True,
    ) -> None:
        self.name = build.__name__
        self.build = build
        self._parameters = inspect.signature(build)
        self._wants_isa = "isa" in self._parameters.parameters
        self.noalias = noalias
        self.unroll = unroll
        self.abi: Abi = abi
        self.module = build.__module__

    def key(self, *args: Parameter, **kwargs: Parameter) -> KernelKey:
        """The key of the kernel with these parameters, given as in a call of the family.

        Raises TypeError for parameters the family does not have, or that are not plain data.
        """
        given = {"isa": None} if self._wants_isa else {}  # no part of the key
        bound = self._parameters.bind(*args, **kwargs, **given)
        bound.apply_defaults()
        bound.arguments.pop("isa", None)
        params = tuple(bound.arguments.values())
        for value in params:
            _require_plain(value, self.name)
        return KernelKey(self.name, params)

    def body(self, key: KernelKey, isa: object) -> Callable[..., None]:
        """Build the Python body of ``key`` for ``isa``; imports Numba where the family does."""
        return self.build(*key.params, **({"isa": isa} if self._wants_isa else {}))

    def parameters(self, body: Callable[..., None]) -> dict[str, Annotation]:
        """The annotations of the arguments of ``body``, by name, without ``task``.

        Raises TypeError where ``task`` is missing.
        """
        given = {item.name: item.annotation for item in inspect.signature(body).parameters.values()}
        if self.abi == "words" and (next(iter(given), "") != "task" or given.pop("task") != INT):
            raise TypeError(f"kernel {self.name}: the first argument must be `task: INT`")
        return given

    def signature(self, body: Callable[..., None]) -> Signature:
        """The argument words of ``body``, in order, without ``task``.

        Raises TypeError where an annotation is missing or is none.
        """
        parameters = self.parameters(body)
        try:
            signature = tuple(
                word for name, given in parameters.items() for word in words_of(name, given)
            )
        except TypeError as error:
            raise TypeError(f"kernel {self.name}: {error}") from None
        if unknown := set(self.noalias) - {argument.name for argument in signature}:
            raise TypeError(f"kernel {self.name}: noalias names no argument: {sorted(unknown)}")
        return signature

    def __repr__(self) -> str:
        return f"<kernel family {self.name}>"


def _require_plain(value: object, family: str) -> None:
    if isinstance(value, tuple):
        for item in value:
            _require_plain(item, family)
    elif type(value) not in (str, int, float, bool):
        raise TypeError(
            f"kernel {family}: parameter {value!r} is a {type(value).__name__}; "
            "parameters are str, int, float, bool and tuples of those"
        )


AnyFamily = TypeVar("AnyFamily", bound=KernelFamily)

_families: dict[str, KernelFamily] = {}


def kernel_family(
    build: BodyBuilder | None = None,
    *,
    noalias: tuple[str, ...] = (),
    abi: Abi = "words",
    unroll: bool = True,
) -> Any:
    """Register ``build`` as a family of kernels, named after it.

    ``noalias`` names pointer arguments that nothing else in the kernel aliases. With
    ``abi="direct"`` the compiled function takes the body's arguments themselves, as C would pass
    them, rather than a task and a block of words. ``unroll=False`` keeps LLVM from unrolling loops:
    one of a few constant steps, unrolled before it is vectorised, ends as scalar code.

    Raises ValueError where another module has a family of that name.
    """

    def register(build: BodyBuilder) -> KernelFamily:
        return enter(KernelFamily(build, noalias, abi, unroll))

    return register if build is None else register(build)


def enter(family: AnyFamily) -> AnyFamily:
    """Makes a family known by its name, and gives it back.

    Raises ValueError where another module has a family of that name.
    """
    known = _families.get(family.name)
    if known is not None and known.module != family.module:
        raise ValueError(
            f"kernel family {family.name} of {family.module} is already in {known.module}"
        )
    _families[family.name] = family
    return family


def family_of(key: KernelKey) -> KernelFamily:
    """The family ``key`` belongs to; raises KeyError where its module was never imported."""
    try:
        return _families[key.family]
    except KeyError:
        raise KeyError(
            f"no kernel family {key.family!r}: is the module that defines it imported?"
        ) from None


def module_file(family: KernelFamily) -> str | None:
    """The source file that defines ``family``, or None in an interactive session."""
    return getattr(sys.modules.get(family.module), "__file__", None)

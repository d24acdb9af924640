"""The C function around a kernel's Numba-compiled body, in LLVM IR.

Importing this module imports Numba.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llvmlite import ir

from layercc.kernels.declaration import Annotation, Kind, Record, words_of
from layercc.kernels.numba_types import numba_type

_INT64 = ir.IntType(64)


class Wrapper:
    """The C function around a Numba-compiled body, in LLVM IR."""

    def __init__(
        self,
        context: Any,
        fndesc: Any,
        parameters: Mapping[str, Annotation],
        entry: str,
        noalias: tuple[str, ...],
    ) -> None:
        self.context = context
        self.fndesc = fndesc
        self.parameters = parameters
        self.signature = [
            word for name, given in parameters.items() for word in words_of(name, given)
        ]
        self.entry = entry
        self.noalias = noalias
        self.module = context.create_module(entry)

    def words(self) -> Any:
        """``void entry(i64 task, i64* words)``."""
        adapter = self._adapter(f"{self.entry}.arguments", leading=[_INT64])
        # Inlined before its body is simplified, it would lose what noalias says.
        adapter.attributes.add("noinline" if self.noalias else "alwaysinline")
        adapter.linkage = "internal"
        entry = self._function(self.entry, [_INT64, _INT64.as_pointer()])
        task, words = entry.args
        builder = ir.IRBuilder(entry.append_basic_block("entry"))
        values = [task]
        for index, argument in enumerate(self.signature):
            word = builder.load(builder.gep(words, [_INT64(index)]))
            values.append(self._from_word(builder, word, argument.kind))
        builder.call(adapter, values)
        builder.ret_void()
        return self.module

    def direct(self) -> Any:
        """``void entry(arguments…)``."""
        self._adapter(self.entry, leading=[])
        return self.module

    def _adapter(self, name: str, leading: list[Any]) -> Any:
        """A function that takes one plain argument a word and calls the body as Numba would.

        It is where ``noalias`` is said: Numba's own option would say it of every pointer.
        """
        types = [self.context.get_value_type(numba_type(item.kind)) for item in self.signature]
        adapter = self._function(name, [*leading, *types])
        for argument, value in zip(self.signature, adapter.args[len(leading) :], strict=True):
            if argument.name in self.noalias:
                value.add_attribute("noalias")
        convention = self.context.call_conv
        callee_type = convention.get_function_type(self.fndesc.restype, self.fndesc.argtypes)
        callee = ir.Function(self.module, callee_type, self.fndesc.llvm_func_name)
        builder = ir.IRBuilder(adapter.append_basic_block("entry"))
        words = iter(adapter.args)
        values = [next(words) for _ in leading]
        values += [self._assembled(builder, given, words) for given in self.parameters.values()]
        convention.call_function(builder, callee, self.fndesc.restype, self.fndesc.argtypes, values)
        builder.ret_void()
        return adapter

    def _assembled(self, builder: Any, annotation: Annotation, words: Iterator[Any]) -> Any:
        """The value of an argument, made of the next words."""
        if isinstance(annotation, Kind):
            return next(words)
        if isinstance(annotation, Record):
            parts = tuple(part for _, part in annotation.fields)
        else:
            parts = annotation
        values = [self._assembled(builder, part, words) for part in parts]
        return self.context.make_tuple(builder, numba_type(annotation), values)

    def _function(self, name: str, arguments: list[Any]) -> Any:
        return ir.Function(self.module, ir.FunctionType(ir.VoidType(), arguments), name)

    def _from_word(self, builder: Any, word: Any, kind: Kind) -> Any:
        if kind.word == "int":
            return word
        if kind.word == "i32":
            return builder.trunc(word, ir.IntType(32))
        if kind.word == "pointer":
            return builder.inttoptr(word, self.context.get_value_type(numba_type(kind)))
        value = builder.bitcast(word, ir.DoubleType())
        return value if kind.word == "f64" else builder.fptrunc(value, ir.FloatType())

"""Reads the text form of a graph (`ir.text`). Recursive descent; bounded nesting; nothing is run.

    module    = graph NAME signature block
    signature = "(" inputs ")" "->" "(" values ")"          value = NAME [":" type]
    input     = value ["=" array]                           array = type "(" data ")"
    block     = "{" (constant | node)* "}"
    constant  = "const" NAME ":" type "=" data
    data      = literal | "@weights" "(" STRING ")" | "fill" "(" element ")"
              | "random" "(" seed ["," scale] ")"
    node      = outputs "=" OP "(" inputs ")" ["{" attributes "}"] ["@" STRING] (NAME [NAME]
                signature block)*                            # the last: its subgraphs
    type      = DTYPE "[" dims "]"

Types of node outputs, of graph outputs and of a fused group's inputs may be left out: inference
fills them in. An output whose number of dims only running can tell is `DTYPE[*]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ir.arguments import expect, expect_mapping
from ir.diagnostics import InvalidModelError, Source
from ir.dims import Dim, parse
from ir.dtypes import DType, dtype_of
from ir.graph import Graph, Node, Value
from ir.literals import Bits, random_array, to_array
from ir.scanner import NAME, Scanner
from ir.typefill import UNTYPED, fill_types
from ir.types import TensorType

MAX_GRAPH_NESTING = 16
MAX_LIST_NESTING = 32
#: Bytes beyond which `fill` and `random` are refused.
MADE_BYTES_LIMIT = 1 << 30

_SUBGRAPH = re.compile(rf"{NAME}\s*(?:{NAME}\s*)?\(")  # a node has : , or = after a name
_BITS = re.compile(r"bits\(0x([0-9a-f]{1,16})\)")
_DTYPE = re.compile(r"[a-z][a-z0-9]*")
_DIM = re.compile(r'(?:[^\[\]",(){}#\n]|"(?:[^"\\\n]|\\.)*")+')


def parse_graph(
    text: str,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    file: str | None = None,
    infer: bool = True,
) -> Graph:
    """The graph that `text` describes.

    `weights` holds the arrays behind `@weights(key)`. With `file`, each node's source is its line
    there. Types left out are inferred, where they can be, unless `infer` is false.
    Raises InvalidModelError with line and column, and what would fit there.
    """
    expect(isinstance(text, str), "text", text, "the text form of a graph, a str,")
    if weights is not None:
        expect_mapping(weights, "weights", "arrays by key")
    parser = _Parser(text, weights or {}, file)
    graph = parser.module()
    if infer:
        fill_types(graph)
    for value in graph.outputs:
        if value.type is UNTYPED:
            raise InvalidModelError(
                f"graph {graph.name!r}: the type of output {value.name!r} is left out"
                " and cannot be inferred"
            )
    return graph


def parse_type(text: str) -> TensorType:
    """Reads `f32[N, 3, 224, 224]`. Raises InvalidModelError."""
    parser = _Parser(text, {}, None)
    kind = parser.type()
    parser.end()
    return kind


class _Parser(Scanner):
    def __init__(self, text: str, weights: Mapping[str, np.ndarray], file: str | None) -> None:
        super().__init__(text, file)
        self.weights = weights
        self.graphs = self.lists = 0  # depth of nesting

    # --- types

    def type(self, may_be_open: bool = False) -> TensorType:
        start = self.position
        match = self.match(_DTYPE)
        if match is None or match[0] not in DType.__members__:
            self.position = start
            self.expected("an element type such as f32")
        self.expect("[", " and the dims")
        if may_be_open and self.accept("*"):
            self.expect("]")
            return TensorType.open_rank(DType[match[0]])
        return TensorType(DType[match[0]], tuple(self.several(self.dim, "]")))

    def dim(self) -> Dim:
        start = self.position
        depth = 0
        while True:  # up to the comma or bracket outside all parentheses
            if match := _DIM.match(self.text, self.position):
                self.position = match.end()
            following = self.text[self.position : self.position + 1]
            if following == "(":
                depth += 1
            elif following == ")" and depth:
                depth -= 1
            elif following != "," or not depth:
                break
            self.position += 1
        text = self.text[start : self.position]
        if not text.strip():
            self.expected("a dim (an integer, a symbol or an expression)")
        self.skip()
        try:
            dim = parse(text.strip())
        except ValueError as error:
            self.fail(str(error), start)
        if isinstance(dim, int) and dim < 0:
            self.fail(f"dim {dim} is negative", start)
        return dim

    # --- graphs

    def module(self) -> Graph:
        if not self.keyword("graph"):
            self.expected("'graph'")
        graph = self.graph(self.name("the name of the graph"))
        self.end()
        return graph

    def graph(self, name: str) -> Graph:
        self.graphs += 1
        if self.graphs > MAX_GRAPH_NESTING:
            self.fail(f"graphs nest deeper than {MAX_GRAPH_NESTING}")
        graph = Graph(name)
        self.expect("(", " and the inputs")
        graph.inputs = self.several(lambda: self.input(graph), ")")
        self.expect("->")
        self.expect("(", " and the outputs")
        graph.outputs = self.several(lambda: self.value(is_output=True), ")")
        graph.types = {v.name: v.type for v in graph.inputs if v.type is not UNTYPED}
        self.expect("{")
        while not self.accept("}"):
            if self.position == len(self.text):
                self.expected("a node, 'const' or '}'")
            if self.keyword("const"):
                self.constant(graph)
            else:
                self.node(graph)
        self.graphs -= 1
        return graph

    def input(self, graph: Graph) -> Value:
        value = self.value()
        start = self.position
        if self.accept("="):
            if self.graphs > 1:
                self.fail("only inputs of the outermost graph have defaults", start)
            kind = self.type()
            graph.defaults[value.name] = self.array_of(kind, "default")
        return value

    def value(self, is_output: bool = False) -> Value:
        name = self.name("the name of a value")
        return Value(name, self.type(may_be_open=is_output) if self.accept(":") else UNTYPED)

    def constant(self, graph: Graph) -> None:
        start = self.position
        name = self.name("the name of a constant")
        if name in graph.constants:
            self.fail(f"constant {name!r} is defined twice", start)
        self.expect(":", " and the type of the constant")
        kind = self.type()
        self.expect("=")
        graph.constants[name] = self.data(kind)
        graph.types[name] = kind

    def node(self, graph: Graph) -> None:
        start = self.position
        outputs: list[str] = []
        while True:
            name = self.optional_name("a node's output, 'const' or '}'")
            if name and self.accept(":"):
                graph.types[name] = self.type()
            outputs.append(name)
            if not self.accept(","):
                break
        self.expect("=", " (or ',' and another output)")
        op = self.name("the name of an op")
        self.expect("(", " and the inputs")
        inputs = self.several(lambda: self.optional_name("an input"), ")")
        attributes: dict[str, Any] = {}
        if self.accept("{"):
            self.several(lambda: self.attribute(attributes), "}")
        title = self.string("the name of the node, in quotes") if self.accept("@") else ""
        while _SUBGRAPH.match(self.text, self.position):
            key = self.name("an attribute that is a graph")
            self.unused(key, attributes)
            own = key if self.text.startswith("(", self.position) else self.name("'('")
            attributes[key] = self.graph(own)
        source = Source(self.file, self.line(start)) if self.file else None
        made = tuple(outputs) if outputs != [""] else ()
        graph.nodes.append(Node(op, tuple(inputs), made, attributes, title, source))

    def unused(self, key: str, attributes: Mapping[str, Any]) -> None:
        if key in attributes:
            self.fail(f"attribute {key!r} is given twice")

    # --- attributes and literals

    def attribute(self, attributes: dict[str, Any]) -> None:
        key = self.name("the name of an attribute")
        self.unused(key, attributes)
        self.expect("=")
        attributes[key] = self.attribute_value()

    def attribute_value(self) -> Any:
        if self.text.startswith('"', self.position):
            return self.string("a string")
        if self.accept("["):
            self.lists += 1
            if self.lists > MAX_LIST_NESTING:
                self.fail(f"lists nest deeper than {MAX_LIST_NESTING}")
            items = tuple(self.several(self.attribute_value, "]"))
            self.lists -= 1
            return items
        for word in ("true", "false"):
            if self.keyword(word):
                return word == "true"
        if (number := self.number()) is not None:
            return number
        start = self.position
        match = self.match(_DTYPE)
        if match is None or match[0] not in DType.__members__:
            self.position = start
            self.expected("a number, a string, a list, a dtype or an array")
        if not self.text.startswith("[", self.position):
            return DType[match[0]]
        self.position = start
        return self.array_of(self.type(), "array")

    def array_of(self, kind: TensorType, what: str) -> np.ndarray:
        self.expect("(", f" and the elements of the {what}")
        array = self.data(kind)
        self.expect(")")
        return array

    def data(self, kind: TensorType) -> np.ndarray:
        """What stands after `const name: type =`."""
        start = self.position
        shape = tuple(dim for dim in kind.shape if isinstance(dim, int))
        if len(shape) != len(kind.shape):
            self.fail(f"a constant of type {kind} has a dim that is no integer")
        if self.accept("@weights"):
            self.expect("(")
            key = self.string("the key of the weights, in quotes")
            self.expect(")")
            return self.weight(key, kind, start)
        if self.keyword("fill"):
            self.expect("(")
            element = self.element()
            self.expect(")")
            self.bounded(kind, start)
            return np.full(shape, self.array([element], kind.dtype, start)[0], kind.dtype.value)
        if self.keyword("random"):
            self.expect("(")
            settings = self.several(self.number, ")")
            self.bounded(kind, start)
            return self.random(settings, kind, start)
        elements: list[Any] = []
        found = self.nested(elements)
        array = self.array(elements, kind.dtype, start)
        if found not in (shape, (math.prod(shape),)):  # nested lists, or all elements in one
            self.fail(f"a literal of shape {list(found)} does not fit the type {kind}", start)
        return array.reshape(shape)

    def weight(self, key: str, kind: TensorType, start: int) -> np.ndarray:
        if key not in self.weights:
            self.fail(f"no weights are given under the key {key!r}", start)
        array = self.weights[key]
        expect(isinstance(array, np.ndarray), f"weights {key!r}", array, "a NumPy array")
        found = TensorType(dtype_of(array), array.shape)
        if found != kind:
            self.fail(f"weights {key!r} are {found}, not {kind}", start)
        return array

    def bounded(self, kind: TensorType, start: int) -> None:
        nbytes = kind.nbytes
        if not isinstance(nbytes, int) or nbytes > MADE_BYTES_LIMIT:
            self.fail(f"a constant {kind} would take {nbytes} bytes", start)

    def random(
        self, settings: list[int | float | None], kind: TensorType, start: int
    ) -> np.ndarray:
        """Normal floats times a scale (1 unless given), integers -8..8, or 0..8 where unsigned."""
        seed, scale = (*settings, 1)[:2] if 1 <= len(settings) <= 2 else (None, None)
        if not isinstance(seed, int) or seed < 0 or scale is None:
            self.fail("random takes a seed (an integer) and optionally a scale", start)
        return random_array(kind, np.random.default_rng(seed), float(scale))

    def array(self, elements: list[Any], dtype: DType, start: int) -> np.ndarray:
        try:
            return to_array(elements, dtype)
        except (ValueError, OverflowError) as error:
            self.fail(str(error), start)

    def nested(self, elements: list[Any]) -> tuple[int, ...]:
        """Adds the elements of a literal to a list and returns its shape."""
        if not self.accept("["):
            elements.append(self.element())
            return ()
        self.lists += 1
        if self.lists > MAX_LIST_NESTING:
            self.fail(f"lists nest deeper than {MAX_LIST_NESTING}")
        start = self.position
        shapes = self.several(lambda: self.nested(elements), "]")
        if len(set(shapes)) > 1:
            self.fail("a literal whose rows differ in length", start)
        self.lists -= 1
        return len(shapes), *(shapes[0] if shapes else ())

    def element(self) -> Any:
        for word in ("true", "false"):
            if self.keyword(word):
                return word == "true"
        if match := self.match(_BITS):
            return Bits(int(match[1], 16))
        if self.accept("("):
            real = self.element()
            self.expect(",", " and the imaginary part")
            imaginary = self.element()
            self.expect(")")
            return real, imaginary
        number = self.number()
        if number is None:
            self.expected("a number, true, false, or a list of them")
        return number

"""Text to dimension: the printed form, and the Python and SymPy spellings of it."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TypeAlias

from ir.dims.aggregates import product
from ir.dims.division import exact_div
from ir.dims.evaluation import calculate
from ir.dims.expression import Dim
from ir.dims.limits import CACHE_SIZE, MAX_BITS, MAX_DEGREE, MAX_NESTING, MAX_TEXT
from ir.dims.names import make_symbol

_TOKEN = re.compile(
    r'\s*(?:(?P<number>[0-9]+)|(?P<name>[^\W\d]\w*)|(?P<quoted>"(?:[^"\\]|\\.)*")'
    r"|(?P<operator>\*\*|//|[-+*/%(),]))"
)


@lru_cache(CACHE_SIZE)
def parse(text: str) -> Dim:
    """Read an int or an expression: the printed form, and Python's or SymPy's spelling of it.

    A division must be exact or inside `floor` or `ceil`. Raises ValueError for anything else,
    and for text or expressions that exceed the bounds in `limits`.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"dimension is longer than {MAX_TEXT} characters: {text[:60]}...")
    try:
        return _Parser(text).parse()
    except ZeroDivisionError as error:
        raise ValueError(f"dimension {text!r} divides by zero") from error


_Quotient: TypeAlias = tuple[Dim, Dim]  # numerator and denominator


class _Parser:
    """Recursive descent with Python's precedence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.position = self.nesting = 0
        end = len(text.rstrip())
        start = 0
        while start < end:
            match = _TOKEN.match(text, start, end)
            if match is None or match.lastgroup is None:
                raise self.error(f"unexpected {text[start:].strip()[:20]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            start = match.end()

    def error(self, problem: str) -> ValueError:
        return ValueError(f"cannot read dimension {self.text!r}: {problem}")

    def parse(self) -> Dim:
        dim = self.whole(self.sum())
        if self.position < len(self.tokens):
            raise self.error(f"unexpected {self.tokens[self.position][1]!r}")
        return dim

    def whole(self, value: _Quotient) -> Dim:
        quotient = exact_div(*value)
        if quotient is None:
            raise self.error(f"({value[0]})/({value[1]}) is not an integer expression")
        return quotient

    def accept(self, *operators: str) -> str | None:
        if self.position < len(self.tokens):
            kind, token = self.tokens[self.position]
            if kind == "operator" and token in operators:
                self.position += 1
                return token
        return None

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error(f"{token!r} is missing")

    def sum(self) -> _Quotient:
        over, under = self.term()
        while sign := self.accept("+", "-"):
            p, q = self.term()
            p = p if sign == "+" else -p
            over, under = (over + p, q) if q == under else (over * q + p * under, under * q)
        return over, under

    def term(self) -> _Quotient:
        over, under = self.signed()
        while sign := self.accept("*", "/", "//", "%"):
            p, q = self.signed()
            if sign == "*":
                over, under = over * p, under * q
            elif p == 0:
                raise self.error("division by zero")
            elif sign == "/":
                over, under = over * q, under * p
            elif sign == "//":
                over, under = (over * q) // (under * p), 1
            else:
                over, under = self.whole((over, under)) % self.whole((p, q)), 1
        return over, under

    def signed(self) -> _Quotient:
        negative = False
        while sign := self.accept("+", "-"):
            negative ^= sign == "-"
        over, under = self.power()
        return (-over if negative else over), under

    def power(self) -> _Quotient:
        base = self.primary()
        if not self.accept("**"):
            return base
        kind, token = self.take()
        if kind != "number" or len(token) > 2 or int(token) > MAX_DEGREE:
            raise self.error(f"power {token!r} is not an integer up to {MAX_DEGREE}")
        result = product([self.whole(base)] * int(token))
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise self.error(f"a number has more than {MAX_BITS} bits")
        return result, 1

    def take(self) -> tuple[str, str]:
        if self.position == len(self.tokens):
            raise self.error("it ends too early")
        self.position += 1
        return self.tokens[self.position - 1]

    def primary(self) -> _Quotient:
        kind, token = self.take()
        if kind == "number":
            if len(token) > MAX_BITS // 3:
                raise self.error(f"a number has more than {MAX_BITS // 3} digits")
            return int(token), 1
        if kind == "quoted":
            return make_symbol(json.loads(token)), 1
        if kind == "name":
            return self.call(token) if self.accept("(") else (make_symbol(token), 1)
        if token != "(":
            raise self.error(f"unexpected {token!r}")
        values = self.arguments()
        if len(values) != 1:
            raise self.error("unexpected ','")
        return values[0]

    def arguments(self) -> list[_Quotient]:
        """What stands between parentheses, the opening one having been read."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error(f"parentheses nest deeper than {MAX_NESTING}")
        values = [self.sum()]
        while self.accept(","):
            values.append(self.sum())
        self.expect(")")
        self.nesting -= 1
        return values

    def call(self, name: str) -> _Quotient:
        function = name.lower() if name in ("Max", "Min", "Mod") else name
        values = self.arguments()
        expected = {"floor": 1, "ceil": 1, "ceiling": 1, "mod": 2}.get(function)
        if expected is None and function not in ("max", "min"):
            raise self.error(f"unknown function {name!r}")
        if expected not in (None, len(values)):
            raise self.error(f"{name!r} takes {expected} arguments, not {len(values)}")
        if function == "floor":
            return values[0][0] // values[0][1], 1
        if function in ("ceil", "ceiling"):
            return -(-values[0][0] // values[0][1]), 1
        return calculate(function, [self.whole(value) for value in values]), 1

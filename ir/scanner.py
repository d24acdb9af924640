"""Reading tokens of the text form: names, strings, numbers, and errors that say where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from ir.diagnostics import InvalidModelError
from ir.text import KEYWORDS, PLAIN_NAME

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
NAME = f"(?:{PLAIN_NAME.pattern}|{_STRING.pattern})"
_NUMBER = re.compile(
    r"[+-]?(?:nan\b|inf\b"
    r"|(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,6})?)"
)
_T = TypeVar("_T")


class Scanner:
    """A position in a text. Spaces, line ends and `#` comments between tokens are skipped."""

    def __init__(self, text: str, file: str | None = None) -> None:
        self.text = text
        self.file = file
        self.position = 0
        self._line = 0, 1  # the last position asked for, and its line
        self.skip()

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def line(self, position: int) -> int:
        """Line of a position; asked in rising order, the text is gone through once."""
        before, line = self._line if self._line[0] <= position else (0, 1)
        self._line = position, line + self.text.count("\n", before, position)
        return self._line[1]

    def fail(self, problem: str, position: int | None = None) -> NoReturn:
        position = self.position if position is None else position
        column = position - self.text.rfind("\n", 0, position)
        where = f"{self.file}: " if self.file else ""
        raise InvalidModelError(f"{where}line {self.line(position)}, column {column}: {problem}")

    def expected(self, what: str) -> NoReturn:
        rest = self.text[self.position : self.position + 30].split("\n")[0].strip()
        self.fail(f"expected {what}, found {rest!r}" if rest else f"expected {what}, found the end")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.position)
        if match is not None:
            self.position = match.end()
            self.skip()
        return match

    def accept(self, token: str) -> bool:
        if not self.text.startswith(token, self.position):
            return False
        self.position += len(token)
        self.skip()
        return True

    def expect(self, token: str, context: str = "") -> None:
        if not self.accept(token):
            self.expected(f"{token!r}{context}")

    def keyword(self, word: str) -> bool:
        match = PLAIN_NAME.match(self.text, self.position)
        if match is None or match[0] != word:
            return False
        self.match(PLAIN_NAME)
        return True

    def end(self) -> None:
        if self.position < len(self.text):
            self.expected("the end of the text")

    def string(self, what: str) -> str:
        start = self.position
        match = self.match(_STRING)
        if match is None:
            self.expected(what)
        try:
            return str(json.loads(match[0]))
        except ValueError as error:
            self.fail(f"not a JSON string: {error}", start)

    def name(self, what: str) -> str:
        if self.text.startswith('"', self.position):
            return self.string(what)
        match = PLAIN_NAME.match(self.text, self.position)
        if match is None or match[0] in KEYWORDS:
            self.expected(what)
        self.match(PLAIN_NAME)
        return match[0]

    def optional_name(self, what: str) -> str:
        return "" if self.keyword("_") else self.name(f"{what}, or _ for none")

    def several(self, item: Callable[[], _T], close: str) -> list[_T]:
        """Items separated by commas, up to `close`; a comma may follow the last."""
        found: list[_T] = []
        while not self.accept(close):
            found.append(item())
            if not self.accept(","):
                self.expect(close, " or ','")
                break
        return found

    def number(self) -> int | float | None:
        """An int, or a float if there is a point, an exponent, nan or inf; None if no number."""
        match = self.match(_NUMBER)
        if match is None:
            return None
        whole = match[0].lstrip("+-").isdigit()
        return int(match[0]) if whole else float(match[0])

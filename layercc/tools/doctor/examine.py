"""Asks for all facts, draws all conclusions, and makes data and text of them."""

from __future__ import annotations

import getpass
import importlib
import os
import re
import textwrap
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from layercc.tools.doctor.registry import (
    SECTIONS,
    Fact,
    Facts,
    Finding,
    Level,
    Machine,
    conclusions,
    probes,
)

# Each of these adds to the lists of `registry`.
for _name in (
    *("system", "processors", "cache", "packages", "gpu", "trials"),
    *("software_findings", "machine_findings"),
):
    importlib.import_module(f"layercc.tools.doctor.{_name}")

_ORDER: tuple[Level, ...] = ("error", "warning", "note")
_WIDTH = 100


@dataclass(frozen=True)
class Examination:
    """All facts, and the findings, worst first. Neither names the user or the home folder."""

    facts: list[Fact]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """JSON data: facts by section and name, an unknown one as `{"unknown": why}`."""
        sections: dict[str, dict[str, Any]] = {}
        for fact in self.facts:
            sections.setdefault(fact.section, {})[fact.name] = fact.data
        found = [asdict(finding) for finding in self.findings]
        return {"ok": self.ok, "facts": sections, "findings": found}

    def __str__(self) -> str:
        width = max((len(fact.name) for fact in self.facts), default=0)
        lines: list[str] = []
        section = ""
        for fact in self.facts:
            if fact.section != section:
                section = fact.section
                lines += ["", section] if lines else [section]
            text = f"not known: {fact.text}" if fact.unknown else fact.text
            lines += _wrapped(f"  {fact.name:<{width}}  ", text)
        lines += ["", "findings"] + ([] if self.findings else ["  none"])
        for finding in self.findings:
            lines += _wrapped(f"  {finding.level:<7}  ", finding.what)
            lines += _wrapped(" " * 11, f"{finding.means}.")
            lines += _wrapped(f"{'':11}→ ", finding.do)
        return "\n".join(lines)


def examine(machine: Machine | None = None) -> Examination:
    """All that can be told of a machine, this one by default. Never raises."""
    machine = machine or Machine()
    facts = Facts()
    for probe in sorted(probes, key=lambda probe: SECTIONS.index(probe.section)):
        facts.all.append(probe.fact(machine, facts))
    found: list[Finding] = []
    for conclude in conclusions:
        try:
            told = conclude(facts)
            found += [] if told is None else [told] if isinstance(told, Finding) else list(told)
        except Exception as error:  # it is told, and the others stand
            what = f"no conclusion on {conclude.__name__}: {type(error).__name__}: {error}"
            found.append(Finding("note", what, "layercc doctor itself is wrong", "report it"))
    found.sort(key=lambda finding: _ORDER.index(finding.level))
    private = _Private()
    return Examination(
        [
            replace(fact, value=private.hidden(fact.value), text=private.hidden(fact.text))
            for fact in facts.all
        ],
        [Finding(**private.hidden(asdict(finding))) for finding in found],
    )


class _Private:
    """Takes the home folder and the user's name out of data."""

    def __init__(self) -> None:
        self._changes: list[tuple[re.Pattern[str], str]] = []
        try:
            home, name = str(Path.home()), getpass.getuser()
        except (RuntimeError, KeyError, OSError, ImportError):  # a user without an entry
            home, name = os.environ.get("HOME", ""), ""
        if len(home) > 1:
            self._changes.append((re.compile(rf"{re.escape(home)}(?![\w.-])"), "~"))
        if name:
            # As a part of a path; anywhere else it may be a word like others.
            part = rf"(?<=[/\\]){re.escape(name)}(?=[/\\:;]|$)"
            self._changes.append((re.compile(part, re.MULTILINE), "USER"))

    def hidden(self, data: Any) -> Any:
        if isinstance(data, str):
            for pattern, instead in self._changes:
                data = pattern.sub(instead, data)
            return data
        if isinstance(data, dict):
            return {key: self.hidden(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.hidden(item) for item in data]
        return data


def _wrapped(begin: str, text: str) -> list[str]:
    """Lines that start with `begin` and go on below the text."""
    lines = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\u00a0", " ") for line in lines] or [begin.rstrip()]

"""Which function emits which jobs on the CPU: those of this folder, see `layercc.emitters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layercc.emitters import Emitters

if TYPE_CHECKING:
    from layercc.cpu.emit.builder import Builder

EMITTERS: Emitters[Builder] = Emitters(__package__)
emitter, emitter_of = EMITTERS.emitter, EMITTERS.of

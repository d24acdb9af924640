"""What a card reaches at most, on paper: from its clocks and what a multiprocessor does in one.

The figures are NVIDIA's: the CUDA C++ Programming Guide, "Arithmetic Instructions", and the white
papers of GA100, GA102, AD102 and GH100 for tensor cores (dense).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from layercc.cuda.architecture import Architecture
from layercc.limits import Limits

if TYPE_CHECKING:
    from layercc.cuda.driver import Device

_TYPES: Final = ("f64", "f32", "i32", "tf32", "bf16", "f16", "i8")
#: Operations a clock of a multiprocessor, a multiply-add counted as two, by compute capability.
#: "f32" are those of CUDA cores; tensor cores multiply "tf32" and the others.
_PER_CLOCK: Final[dict[tuple[int, int], dict[str, int]]] = {
    (8, 0): dict(zip(_TYPES, (64, 128, 128, 1024, 2048, 2048, 4096), strict=True)),
    (8, 6): dict(zip(_TYPES, (4, 256, 128, 256, 512, 512, 1024), strict=True)),
    (8, 9): dict(zip(_TYPES, (4, 256, 128, 512, 1024, 1024, 2048), strict=True)),
    (9, 0): dict(zip(_TYPES, (128, 256, 128, 2048, 4096, 4096, 8192), strict=True)),
}


@dataclass(frozen=True)
class Card:
    """A card: `clock` in Hz, the highest; `bandwidth` of its memory in bytes a second, `cache`
    of the second level in bytes. What a driver does not tell is 0."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    clock: float
    bandwidth: float
    cache: int

    def limits(self, precision: str = "highest") -> Limits:
        """What it reaches; for contractions of f32, by the fastest way that a `precision` allows:
        on CUDA cores, or on tensor cores as three products of tf32 (highest), three of bf16 (high)
        or one of bf16 (medium)."""
        known = _PER_CLOCK.get(self.capability, {}) if self.clock else {}
        rates = {t: each * self.multiprocessors * self.clock for t, each in known.items()}
        if rates:
            tf32, bf16 = rates["tf32"], rates["bf16"]
            ways = {"highest": tf32 / 3, "high": bf16 / 3, "medium": bf16}
            rates["f32"] = max(rates["f32"], ways[precision])
        memory = {"memory": self.bandwidth} if self.bandwidth else {}
        cache = {"L2": self.cache} if self.cache else {}
        return Limits(self.name, self.multiprocessors, rates, memory, cache)


#: A card of each architecture, for plans on paper.
_USUAL: Final[Mapping[tuple[int, int], Card]] = {
    (8, 0): Card("A100 SXM 80 GB", (8, 0), 108, 1.41e9, 2.039e12, 40 << 20),
    (9, 0): Card("H100 SXM", (9, 0), 132, 1.98e9, 3.352e12, 50 << 20),
}


def usual_card(architecture: Architecture) -> Card:
    """The card that plans for an architecture are compared with, where none is here."""
    card = _USUAL[architecture.capability]
    return replace(card, name=f"{card.name} (on paper)")


def card_of(device: Device) -> Card:
    """The card that is here, as its driver tells."""
    clock, memory_clock, bus, cache = device.clocks()
    return Card(
        device.name,
        device.capability,
        device.multiprocessors,
        clock * 1e3,
        memory_clock * 1e3 * 2 * bus / 8,  # two transfers a clock
        cache,
    )

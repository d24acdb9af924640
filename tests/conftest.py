"""Options of the test suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from layercc.cpu.isa import Isa, host_isa, is_executable, isa_named
from tests import support


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files anew instead of comparing"
    )
    parser.addoption(
        "--all-isas",
        action="store_true",
        help="run all cases of tests marked every_isa for narrower instruction sets too",
    )
    parser.addoption(
        "--guard-pages",
        action="store_true",
        help="run compiled models in memory between pages without access (tests/guarded.py)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--guard-pages"):
        from tests.guarded import guard_all_plans

        guard_all_plans()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written."""
    return bool(request.config.getoption("--update-golden"))


def _isas() -> list[Isa]:
    """This machine's instruction set and the narrower ones that it has."""
    others = [isa_named(name) for name in ("avx512", "avx2", "neon", "portable") if _known(name)]
    return [host_isa(), *(isa for isa in others if is_executable(isa) and isa != host_isa())]


def _known(name: str) -> bool:
    try:
        isa_named(name)
    except ValueError:
        return False
    return True


#: Of the cases of a test that is marked `every_isa`, one of so many is run for a narrower set: each
#: has kernels of its own to compile, and cases of one test are for the same kernels' code.
_SAMPLED = 8


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--all-isas"):
        return
    seen: Counter[tuple[str, str]] = Counter()
    kept, left = [], []
    for item in items:
        chosen = getattr(item, "callspec", None) and item.callspec.params.get("isa")
        if isinstance(chosen, Isa) and chosen != host_isa():
            place = item.nodeid.partition("[")[0], chosen.name
            seen[place] += 1
            if seen[place] % _SAMPLED != 1:
                left.append(item)
                continue
        kept.append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `every_isa` run once for each instruction set that this machine executes."""
    if metafunc.definition.get_closest_marker("every_isa"):
        metafunc.parametrize("isa", _isas(), ids=lambda isa: isa.name, indirect=True)


@pytest.fixture(autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[Isa]:
    """The instruction set that `tests.support` compiles for.

    For all tests, so that it is chosen before other fixtures run: those compile too.
    """
    chosen = getattr(request, "param", None)
    if chosen is not None:
        support.chosen.append(chosen)
    yield support.chosen_isa()
    support.chosen.clear()

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
        "--all-cases",
        action="store_true",
        help="run what is left out by default: most cases of tests marked `sampled`, and of those "
        "marked `every_isa` for narrower instruction sets",
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
#: has kernels of its own to compile.
_OF_NARROWER_SETS = {"avx2": 8}
_OF_OTHER_SETS = 24


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is sampled, unless all cases are asked for."""
    if config.getoption("--all-cases"):
        return
    seen: Counter[tuple[str, str]] = Counter()
    kept, left = [], []
    for item in items:
        name, every = _sample_of(item)
        seen[item.nodeid.partition("[")[0], name] += 1
        taken = every == 1 or seen[item.nodeid.partition("[")[0], name] % every == 1
        (kept if taken else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def _sample_of(item: pytest.Item) -> tuple[str, int]:
    """Of which cases of its test an item is one, and of how many one is run."""
    chosen = getattr(item, "callspec", None) and item.callspec.params.get("isa")
    if isinstance(chosen, Isa) and chosen != host_isa():
        return chosen.name, _OF_NARROWER_SETS.get(chosen.name, _OF_OTHER_SETS)
    marker = item.get_closest_marker("sampled")
    return "", marker.args[0] if marker else 1


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

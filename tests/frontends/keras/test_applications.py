"""Some models of `keras.applications`; `applications.py` runs all of them."""

from __future__ import annotations

import pytest

from tests.frontends.keras.applications import TESTED, TOLERANCE, compared, keras, names

pytestmark = pytest.mark.keras


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTED)
@pytest.mark.sampled(3)
def test_application(name: str) -> None:
    found = compared(name)
    assert found.error < TOLERANCE
    assert found.spread > 0.01, "the results are all the same: nothing was compared"
    assert not found.new_kernels


def test_all_applications_are_run_by_the_script() -> None:
    assert set(TESTED) < set(names())
    assert {"ConvNeXtXLarge", "EfficientNetV2L", "InceptionResNetV2"} < set(names())
    assert keras.applications.MobileNet.__name__ in names()

"""The node tests of the onnx package on a CUDA device, through `layercc.onnx_backend`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from layercc import onnx_backend
from tests.onnx.test_backend_nodes import (
    ALL,
    assert_same,
    cases,
    read_data,
    read_model,
    reason_to_skip,
)


def failures(names: Iterable[tuple[str, str]] = ALL, device: str = "CUDA") -> dict[str, str]:
    """The tests, by kind and name, that do not pass on a device, and why. What has no kernels there
    may fall back."""
    found = {}
    for kind, name in names:
        case = cases(kind)[name]
        model = read_model(case)
        if reason_to_skip(name, model):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compiled = onnx_backend.prepare(model, device)
                for inputs, expected in read_data(case):
                    assert_same(expected, compiled.run(inputs), case)
        except Exception as error:  # whatever one met, the others are worth knowing
            found[f"{kind}-{name}"] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


def tried(names: Iterable[tuple[str, str]] = ALL) -> int:
    """How many of the tests are meant to run."""
    models = ((name, read_model(cases(kind)[name])) for kind, name in names)
    return sum(reason_to_skip(name, model) is None for name, model in models)

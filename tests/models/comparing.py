"""Compiled models beside onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto

TOLERANCE = 1e-4


def run_onnxruntime(
    model: ModelProto | Path, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs by name, computed by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def assert_close(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    """Errors are at most `TOLERANCE` of each output's largest element."""
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        assert have.shape == want.shape
        assert have.dtype == want.dtype
        error = np.abs(have.astype(np.float64) - want).max(initial=0)
        assert error <= TOLERANCE * np.abs(want).max(initial=0)

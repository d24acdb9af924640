"""Signal processing: windows, Fourier transforms, mel filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ir.dims import Dim, is_known, product
from ir.ops.shapes import scalar_dim
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


class _CosineWindow(Op):
    """Base: a_0 - a_1 cos(2 pi n / N) + a_2 cos(4 pi n / N), N one less unless periodic."""

    inputs = ("size: Tind",)
    outputs = ("output: any",)
    constraints = {"Tind": "index"}
    attributes = {"periodic": Attr("int", 1), "output_datatype": Attr("int", 1)}
    coefficients: ClassVar[tuple[float, ...]]

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        return [TensorType(call.element_type("output_datatype"), (scalar_dim(call, 0, "window"),))]

    @classmethod
    def reference(cls, call: Call, size: np.ndarray) -> np.ndarray:  # type: ignore[override]
        count = int(size.reshape(()))
        period = count if call.periodic else count - 1
        angle = 2 * np.pi * np.arange(count) / max(period, 1)
        window = sum((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(cls.coefficients))
        return np.asarray(window).astype(call.element_type("output_datatype").value)

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.outputs[0].shape) * 12 * len(cls.coefficients)


@register
class HannWindow(_CosineWindow):
    """Hann window."""

    coefficients = (0.5, 0.5)


@register
class HammingWindow(_CosineWindow):
    """Hamming window, with the coefficients 25/46 and 21/46."""

    coefficients = (25 / 46, 21 / 46)


@register
class BlackmanWindow(_CosineWindow):
    """Blackman window."""

    coefficients = (0.42, 0.5, 0.08)


def _as_complex(x: np.ndarray) -> np.ndarray:
    """Real signals have a last dim of 1, complex ones of 2 (real and imaginary part)."""
    wide = x.astype(np.float64)
    return wide[..., 0] + 1j * wide[..., 1] if x.shape[-1] == 2 else wide[..., 0] + 0j


def _as_pairs(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.stack([x.real, x.imag], axis=-1).astype(dtype)


@register
class DFT(Op):
    """Discrete Fourier transform along an axis; the last dim holds real and imaginary parts.

    `onesided` leaves out the conjugate half of a real signal's transform; with `inverse`, such
    a half is turned back into a real signal.
    """

    contraction = True
    inputs = ("input: T", "dft_length: Tind?", "axis: i64?")
    outputs = ("output: T",)
    constraints = {"T": "float", "Tind": "index"}
    attributes = {"inverse": Attr("int", 0), "onesided": Attr("int", 0)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        if kind.rank < 2 or (is_known(kind.shape[-1]) and kind.shape[-1] not in (1, 2)):
            call.fail(f"input is {kind}; a last dim of 1 (real) or 2 (complex) would fit")
        if call.has(2) and call.value(2) is None:
            return [kind.with_shape(call.fresh_dim("dft") for _ in kind.shape)]
        axis = dft_axis(call, kind.rank)
        length = scalar_dim(call, 1, "dft_length") if call.has(1) else kind.shape[axis]
        last: Dim = 2
        if call.onesided and call.inverse:
            last = 1
            length = length if call.has(1) else 2 * (kind.shape[axis] - 1)
        elif call.onesided:
            length = length // 2 + 1
        return [kind.with_shape((*kind.shape[:axis], length, *kind.shape[axis + 1 : -1], last))]

    @staticmethod
    def reference(call: Call, x: np.ndarray, *more: Any) -> np.ndarray:
        axis = dft_axis(call, x.ndim)
        length = None
        if more and more[0] is not None:
            length = int(more[0].reshape(-1)[0])
        signal = _as_complex(x)
        if call.onesided and call.inverse:
            return np.fft.irfft(signal, n=length, axis=axis)[..., None].astype(x.dtype)
        if call.onesided:
            return _as_pairs(np.fft.rfft(signal.real, n=length, axis=axis), x.dtype)
        transform = np.fft.ifft if call.inverse else np.fft.fft
        return _as_pairs(transform(signal, n=length, axis=axis), x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        """Five for each element and halving, the usual count of an FFT."""
        length = call.outputs[0].shape[dft_axis(call, call.rank(0))]
        halvings = length.bit_length() if isinstance(length, int) else 10
        return product(call.outputs[0].shape[:-1]) * 5 * halvings


def dft_axis(call: Call, rank: int) -> int:
    """The axis that a DFT changes, counted from the first."""
    if not call.has(2):
        return rank - 2
    axis = call.axis_of(int(call.known(2, "it says which axis changes").reshape(-1)[0]), rank)
    if axis == rank - 1:
        call.fail(f"axis {axis} holds real and imaginary parts", "bad-attribute")
    return axis


@register
class STFT(Op):
    """Fourier transforms of windowed frames, `frame_step` apart: [batch, frames, bins, 2]."""

    contraction = True
    inputs = ("signal: T", "frame_step: Tind", "window: T?", "frame_length: Tind?")
    outputs = ("output: T",)
    constraints = {"T": "float", "Tind": "index"}
    attributes = {"onesided": Attr("int", 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        kind = call.type(0)
        if kind.rank != 3:
            call.fail(f"signal is {kind}; [batch, samples, 1 or 2] would fit")
        if not (call.has(2) or call.has(3)):
            call.fail("neither window nor frame_length is given", "missing-input")
        length = scalar_dim(call, 3, "frame_length") if call.has(3) else call.shape(2)[0]
        step = scalar_dim(call, 1, "frame_step")
        if step == 0:
            call.fail("frame_step is 0", "bad-attribute")
        frames = 1 + (kind.shape[1] - length) // step
        if isinstance(frames, int) and frames < 1:
            call.fail(f"signal is {kind}, shorter than a frame of {length}")
        bins = length // 2 + 1 if call.onesided else length
        return [kind.with_shape((kind.shape[0], frames, bins, 2))]

    @staticmethod
    def reference(
        call: Call,
        signal: np.ndarray,
        frame_step: np.ndarray,
        window: np.ndarray | None = None,
        frame_length: np.ndarray | None = None,
    ) -> np.ndarray:
        step = int(frame_step.reshape(()))
        if frame_length is not None:
            length = int(frame_length.reshape(()))
        else:
            assert window is not None
            length = len(window)
        shape = np.ones(length) if window is None else window.astype(np.float64)
        complete = _as_complex(signal)
        starts = range(0, complete.shape[1] - length + 1, step)
        frames = np.stack([complete[:, s : s + length] * shape for s in starts], axis=1)
        if call.onesided:
            return _as_pairs(np.fft.rfft(frames.real, axis=-1), signal.dtype)
        return _as_pairs(np.fft.fft(frames, axis=-1), signal.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.outputs[0].shape[:-1]) * 50


@register
class MelWeightMatrix(Op):
    """Triangular filters from DFT bins to bins of equal width on the mel scale."""

    inputs = (
        "num_mel_bins: Tind",
        "dft_length: Tind",
        "sample_rate: Tind",
        "lower_edge_hertz: T",
        "upper_edge_hertz: T",
    )
    outputs = ("output: any",)
    constraints = {"T": "float", "Tind": "index"}
    attributes = {"output_datatype": Attr("int", 1)}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        bins = scalar_dim(call, 1, "dft_length") // 2 + 1
        shape = (bins, scalar_dim(call, 0, "mel_bins"))
        return [TensorType(call.element_type("output_datatype"), shape)]

    @staticmethod
    def reference(call: Call, *inputs: np.ndarray) -> np.ndarray:
        count, length, rate, low, high = (x.reshape(()).item() for x in inputs)
        # count + 2 points, the last one a step short of the upper edge, as in onnxruntime
        step = (_mel(high) - _mel(low)) / (count + 2)
        hertz = 700 * np.expm1((_mel(low) + step * np.arange(count + 2)) / 2595 * np.log(10))
        bins = ((length + 1) * hertz // rate).astype(int)
        made = np.zeros((length // 2 + 1, count))
        for i in range(count):
            first, centre, last = bins[i : i + 3]
            if centre == first:
                made[centre, i] = 1
            else:
                rising = np.arange(first, centre + 1)
                made[rising, i] = (rising - first) / (centre - first)
            falling = np.arange(centre, last)
            if last > centre:
                made[falling, i] = (last - falling) / (last - centre)
        return made.astype(call.element_type("output_datatype").value)


def _mel(hertz: float) -> float:
    return 2595 * float(np.log1p(hertz / 700) / np.log(10))

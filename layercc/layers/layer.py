"""The base class of all layers."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from ir.diagnostics import UnsupportedError
from ir.dtypes import DTYPE_SETS, DType, dtype_of
from layercc.layers.initializers import Initializer
from layercc.layers.masks import masks_of, set_masks, with_masks
from layercc.layers.tensor import (
    SymbolicTensor,
    applies_operators,
    as_tensor,
    caller,
    calling,
    current_layer,
    emit,
    layer_error,
    map_tensors,
    tensors_in,
)
from layercc.layers.weight import SAME, Layout, Weight

#: Keras arguments that say how to train a layer; accepted, and without effect on inference.
TRAINING_ONLY = frozenset(
    {"activity_regularizer", "autocast", "constraint", "dropout", "flash_attention",
     "recurrent_dropout", "regularizer", "seed", "trainable", "unroll", "use_cudnn"}
    | {
        f"{part}_{kind}"
        for part in ("alpha", "beta", "bias", "depthwise", "embeddings", "gamma", "kernel",
                     "pointwise", "recurrent")
        for kind in ("regularizer", "constraint")
    }
)  # fmt: skip


class Layer:
    """Base of layers: a subclass takes its settings in `__init__` and emits ops in `call`.

    Common arguments, all keywords:

    name: unique in a model; made from the class name when not given (`conv2d`, `conv2d_1`).
    weights: arrays in the order and layout of Keras, instead of random initial values.
    dtype: float type of weights and arithmetic; by default that of the input.
    input_shape: shape without the batch, for the first layer of a `Sequential`.

    Calling the layer again shares its weights.
    """

    #: Whether results carry a mask that the input has (Keras' `supports_masking`).
    masking: ClassVar[bool] = False
    #: Whether `compute_mask` gives masks to results of inputs that have none.
    makes_masks: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str | None = None,
        weights: Sequence[Any] | None = None,
        dtype: Any = None,
        input_shape: Sequence[Any] | None = None,
        **training_only: Any,
    ) -> None:
        for option in training_only:
            if option not in TRAINING_ONLY:
                raise TypeError(f"{type(self).__name__} has no argument {option!r}")
        self.name = name
        self.source = caller()
        self.input_shape = input_shape
        self.given_dtype = None if dtype is None else dtype_of(dtype)
        self.owner: Layer | None = None
        self.own_weights: dict[str, Weight] = {}
        self.weights: list[Weight] = []  # of the layers inside as well, in Keras' order
        self.built = False
        self._parts: dict[str, int] = {}
        self._initial: deque[Any] = deque(weights or ())
        self._dtype: DType = self.given_dtype or DType.f32

    @property
    def path(self) -> str:
        """Name, behind the names of the layers around it."""
        parts = [self.owner.path if self.owner else "", self.name or ""]
        return ".".join(filter(None, parts))

    def own(self, layer: Layer, name: str) -> Layer:
        """Makes `layer` a part of this one, under `name`; gives it back."""
        layer.owner, layer.name = self, name
        if layer.given_dtype is None:
            layer.given_dtype = self.given_dtype
        return layer

    def _part_name(self, part: Layer) -> str:
        """A name for a layer inside this one that no other part has."""
        base = part.name or snake_case(type(part).__name__)
        number = self._parts.get(base, 0)
        self._parts[base] = number + 1
        return f"{base}_{number}" if number else base

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Applies the layer to tensors. Raises ShapeError, naming the layer, if they do not fit."""
        given = tensors_in([arguments, options])
        if not given:
            kinds = ", ".join(type(argument).__name__ for argument in arguments)
            raise TypeError(
                f"{type(self).__name__} takes tensors made by Input or a layer, not ({kinds});"
                " to run a model on arrays, compile it: layercc.compile(model)(x)"
            )
        options = {k: v for k, v in options.items() if k != "training"}
        outer = current_layer()
        nested = outer is not None
        if outer is not None and outer is not self and self.owner is None and not self.built:
            outer.own(self, outer._part_name(self))
        if not self.built:
            floats = [t.dtype for t in given if t.dtype in DTYPE_SETS["float"]]
            self._dtype = self.given_dtype or (floats[0] if floats else DType.f32)
        with calling(self, arguments, options) as call:
            taken = (arguments, options)
            if self.given_dtype is not None:
                taken = map_tensors(self._cast, taken)
            inputs = arguments[0] if arguments else next(iter(options.values()))
            options = with_masks(type(self).call, *taken)
            mask = options["mask"] if options.get("mask") is not None else masks_of(inputs)
            results = self.call(*taken[0], **options)
            if self.makes_masks or (self.masking and mask is not None):
                set_masks(results, self.compute_mask(inputs, mask))
            if not nested:
                call.results = results
        if self._initial and not nested:
            raise layer_error(
                self, f"{len(self._initial)} more weights were given than the layer has"
                f" ({', '.join(w.name for w in self.weights) or 'none'})", "bad-weights",
            )  # fmt: skip
        self.built = True
        return results

    def call(self, *arguments: Any, **options: Any) -> Any:
        """Emits the layer's ops; written by each subclass."""
        raise NotImplementedError(f"{type(self).__name__} does not define call()")

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        """The masks of the results: a tensor, a list with None for results that have none, or None.

        `inputs` is the first argument, `mask` its masks in the same form.
        """
        return mask

    def weight(
        self,
        name: str,
        shape: Sequence[Any],
        initializer: Initializer = "zeros",
        layout: Layout = SAME,
    ) -> Weight:
        """The layer's weight `name`, made at the first call; `shape` and `layout` are Keras'."""
        if name in self.own_weights:
            found = self.own_weights[name]
            if found.keras_shape != tuple(shape):
                raise layer_error(
                    self,
                    f"weight {name!r} has shape {list(found.keras_shape)} from the layer's first "
                    f"call; this input needs {list(shape)}. Use a layer of its own for it",
                )
            return found
        for dim in shape:
            if type(dim) is not int:
                raise layer_error(
                    self,
                    f"weight {name!r} would have the shape {[str(d) for d in shape]}: "
                    "its dims must be known integers",
                )
        made = Weight(name, shape, self._dtype, initializer, layout)
        self.own_weights[name] = made
        layer: Layer | None = self
        while layer is not None:
            layer.weights.append(made)
            if layer._initial and made.array is None:
                try:
                    made.assign(layer._initial.popleft())
                except ValueError as error:
                    raise layer_error(self, str(error), "bad-weights") from None
            layer = layer.owner
        return made

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in the order and layout of Keras."""
        return [weight.numpy().copy() for weight in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets all weights from arrays in the order and layout of Keras.

        Graphs already made from the layer see the new values; compiled models do not.
        """
        if len(weights) != len(self.weights):
            wanted = ", ".join(weight.name for weight in self.weights)
            raise ValueError(
                f"{type(self).__name__} {self.path!r}: {len(weights)} arrays given for "
                f"{len(self.weights)} weights ({wanted})"
            )
        for weight, value in zip(self.weights, weights, strict=True):
            weight.assign(value)

    def count_params(self) -> int:
        """Number of weight elements."""
        return sum(int(np.prod(weight.keras_shape)) for weight in self.weights)

    def fail(self, message: str, code: str = "shape-mismatch") -> Any:
        """Raises ShapeError that names this layer."""
        raise layer_error(self, message, code)

    def positive(self, value: Any, what: str) -> int:
        """An argument that must be an int above 0; ValueError for any other."""
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(
                f"{type(self).__name__}: {what} is {value!r}; an int of at least 1 would fit"
            )
        return int(value)

    def expect_rank(self, x: SymbolicTensor, rank: int, axes: str) -> None:
        """Fails unless `x` has `rank` dims; `axes` names them: `[batch, steps, features]`."""
        if not isinstance(x, SymbolicTensor):
            self.fail(f"takes one tensor {axes}, not a {type(x).__name__}")
        if x.rank != rank:
            self.fail(f"the input is {x.type}; {rank} dims would fit: {axes}")

    def axis(self, axis: int, x: SymbolicTensor) -> int:
        """`axis` counted from the front; fails if `x` has no such axis."""
        if not -x.rank <= axis < x.rank:
            self.fail(f"axis {axis} is outside the input {x.type}", "bad-attribute")
        return axis % x.rank

    def _cast(self, x: SymbolicTensor) -> SymbolicTensor:
        if x.dtype is self.given_dtype or x.dtype not in DTYPE_SETS["float"]:
            return x
        assert self.given_dtype is not None
        made = cast(x, self.given_dtype)
        made.mask = x.mask
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path or '(unnamed)'}>"


class Operator(Layer):
    """One op as a layer: what `a + b` makes of tensors outside a layer."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op

    def call(self, *operands: Any) -> SymbolicTensor:
        like = next(x for x in operands if isinstance(x, SymbolicTensor)).dtype
        return emit(self.op, *(as_tensor(x, like) for x in operands))


@applies_operators
def operate(op: str, *operands: Any) -> SymbolicTensor:
    """An op applied to tensors as a layer of its own."""
    result: SymbolicTensor = Operator(op)(*operands)
    return result


class Lambda(Layer):
    """A Python function of tensors as a layer; it runs while the model is described.

    `function` may use operators on tensors, other layers, and `layercc.layers.emit`.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def call(self, *arguments: Any, **options: Any) -> Any:
        return self.function(*arguments, **options)


def cast(x: SymbolicTensor, dtype: DType) -> SymbolicTensor:
    """`x` in another element type, inside a layer's call."""
    return x if x.dtype is dtype else emit("Cast", x, to=dtype.onnx)


def unsupported(layer: Layer, message: str) -> UnsupportedError:
    """The error for a Keras setting that layercc does not implement."""
    origin = f" ({layer.source})" if layer.source else ""
    return UnsupportedError(f"{type(layer).__name__} {layer.path!r}{origin}: {message}")


def snake_case(name: str) -> str:
    """`MaxPooling2D` → `max_pooling2d`, as Keras names layers."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().strip("_")

"""`from_keras`: names, shared weights, structure, dtypes, masks, refusals."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pytest

import layercc as lc
from layercc.tools.options import load_model
from tests.frontends.keras.comparing import (
    check,
    interpreted,
    keras,
    kernels,
    random,
    randomize,
    same,
)

K, ops = keras.layers, keras.ops
global_state = keras.src.backend.common.global_state
pytestmark = pytest.mark.keras


@keras.saving.register_keras_serializable("tests")
class Scale(K.Layer):
    """A user's own layer: a weight, Keras' ops, operators in both orders."""

    def build(self, shape: Any) -> None:
        self.gamma = self.add_weight(shape=(shape[-1],), name="gamma", initializer="normal")

    def call(self, x: Any) -> Any:
        return self.gamma * x + ops.mean(x * self.gamma, axis=-1, keepdims=True)


class Block(K.Layer):
    """A layer of layers, with a mask and a branch for training."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.attention = K.MultiHeadAttention(2, width // 2, name="attention")
        self.norm = K.LayerNormalization(name="norm")
        self.dropout = K.Dropout(0.5, name="dropout")
        self.supports_masking = True

    def call(self, x: Any, training: bool = False) -> Any:
        y = self.dropout(self.attention(x, x), training=training)
        return self.norm(x + y)


class Net(keras.Model):
    """A subclassed model."""

    def __init__(self) -> None:
        super().__init__(name="net")
        self.stem = K.Conv2D(4, 3, name="stem")
        self.blocks = [K.Conv2D(4, 3, padding="same", name=f"block{i}") for i in range(2)]
        self.scale = Scale(name="scale")

    def call(self, image: Any, training: bool = False) -> Any:
        x = self.stem(image)
        for block in self.blocks:
            x = ops.relu(block(x)) + x
        return {"scores": self.scale(ops.mean(x, axis=(1, 2))), "map": x}


def sequential() -> Any:
    return keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            K.Conv2D(4, 3, activation="relu", name="stem"),
            keras.Sequential([K.BatchNormalization(name="norm"), K.ReLU(name="act")], name="body"),
            K.Flatten(name="flat"),
            K.Dense(5, activation="softmax", name="head"),
        ],
        name="small",
    )


# --- names


def test_nodes_are_named_by_the_paths_of_their_layers() -> None:
    graph = lc.from_keras(sequential())
    names = [node.name for node in graph.nodes]
    assert names == ["stem.conv", "stem", "body.norm", "body.act", "flat", "head.gemm", "head"]
    assert graph.name == "small"
    assert {"stem.kernel", "body.norm.moving_mean", "head.bias"} <= set(graph.constants)
    assert (graph.input_names, graph.output_names) == (["image"], ["head"])
    assert str(graph.inputs[0]) == "image: f32[N, 12, 12, 3]"


def test_ops_and_layers_of_own_classes_are_named_too() -> None:
    graph = lc.from_keras(Net(), random(2, 8, 8, 3))
    names = {node.name for node in graph.nodes}
    assert {"stem", "block0", "relu", "add", "block1", "scale.multiply", "scale.add"} <= names
    assert "net.scale.gamma" in graph.constants or "scale.gamma" in graph.constants
    assert [str(dim) for dim in graph.inputs[0].shape] == ["N", "8", "8", "3"]


def test_a_model_is_as_it_was() -> None:
    """Neither its layers nor the names that Keras makes remember the translation."""
    inner = keras.Sequential([keras.Input((4,)), Scale(name="scale")], name="inner")
    x = keras.Input((4,))
    model = keras.Model(x, inner(inner(x)) * 2)
    before = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers]
    deep = len(inner.get_layer("scale")._inbound_nodes)
    lc.from_keras(model)
    after = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers]
    assert before == after and deep == len(inner.get_layer("scale")._inbound_nodes)
    K.Dense(1)
    one = K.Dense(1).name
    lc.from_keras(model)
    two = K.Dense(1).name
    assert int(two.rpartition("_")[2]) == int(one.rpartition("_")[2]) + 1
    assert keras.Variable.__mul__.__module__.startswith("keras.")


def test_shared_layers_are_one_constant() -> None:
    shared = K.Dense(4, name="shared")
    twice = keras.Sequential([keras.Input((4,)), shared], name="twice")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], [shared(a), twice(b), shared(shared(b))])
    randomize(model)
    graph = check(model, [random(3, 4), random(3, 4, seed=1)], compiled=False)
    assert sorted(graph.constants) == ["shared.bias", "shared.kernel"]


# --- structure


def test_inputs_and_outputs_keep_their_structure() -> None:
    a, b = keras.Input((5,), name="a"), keras.Input((5,), dtype="int32", name="b")
    c = keras.Input((2, 5), name="c")
    total = a + ops.cast(b, "float32") + ops.sum(c, axis=1)
    model = keras.Model({"z": a, "y": [b, c]}, {"sum": total, "pair": (a * 2, [b])})
    x, y, z = random(3, 5), random(3, 5, dtype="int32"), random(3, 2, 5)
    graph = check(model, {"z": x, "y": [y, z]})
    fn = lc.compile(graph)
    assert fn.run({"a": x, "b": y, "c": z}).keys() == set(graph.output_names)
    copy = pickle.loads(pickle.dumps(fn))
    same(copy({"z": x, "y": [y, z]}), model({"z": x, "y": [y, z]}))


def test_a_list_of_inputs_may_be_given_in_other_ways() -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((1,), name="b")
    fn = lc.compile(keras.Model([a, b], a * b))
    x, y = random(2, 3), random(2, 1)
    for found in (fn([x, y]), fn(x, y), fn({"a": x, "b": y}), fn((x, y)), fn(a=x, b=y)):
        np.testing.assert_array_equal(found, x * y)
    np.testing.assert_array_equal(fn([x, y[:, 0]]), x * y)  # as Keras: a dim of 1 is added
    np.testing.assert_array_equal(fn([x.astype("float64"), y]), x * y)
    for wrong in ([x], {"a": x}, [x, y, y], x):
        with pytest.raises(lc.InputError, match=r"\[a, b\] would fit"):
            fn(wrong)
    with pytest.raises(lc.InputError, match="would fit"):
        fn([x[0, 0], y])


def test_a_model_of_several_arguments() -> None:
    class Two(keras.Model):
        def call(self, left: Any, right: Any, training: bool = False) -> Any:
            return left - right, right

    x, y = random(2, 3), random(2, 3, seed=1)
    fn = lc.compile(Two(), (x, y))
    np.testing.assert_array_equal(fn(x, y)[0], x - y)
    np.testing.assert_array_equal(fn(x, right=y)[0], x - y)
    with pytest.raises(lc.InputError, match="argument 'right' is missing"):
        fn(x)


def test_a_second_batch_size_compiles_no_kernel() -> None:
    fn = lc.compile(sequential(), random(2, 12, 12, 3))
    before = kernels()
    assert fn(random(5, 12, 12, 3)).shape == (5, 5)
    assert kernels() == before


# --- models of other kinds


def test_a_subclassed_model_that_was_built_knows_its_inputs() -> None:
    net = Net()
    net(random(2, 8, 8, 3))
    randomize(net)
    graph = lc.from_keras(net)
    same(interpreted(graph)(random(3, 8, 8, 3)), net(random(3, 8, 8, 3)))


def test_example_inputs_may_be_keras_inputs() -> None:
    graph = lc.from_keras(Net(), keras.Input((None, 8, 3)))
    assert [str(dim) for dim in graph.inputs[0].shape] == ["N", "image_1", "8", "3"]


def test_a_sequential_model_without_inputs() -> None:
    model = keras.Sequential([K.Dense(3, name="one"), K.Dense(2, name="two")])
    with pytest.raises(TypeError, match="does not know its inputs"):
        lc.from_keras(model)
    graph = lc.from_keras(model, random(4, 5))
    same(interpreted(graph)(random(4, 5)), model(random(4, 5)))


def test_a_layer_of_layers_with_a_mask() -> None:
    x = keras.Input((6,), dtype="int32")
    y = Block(4, name="block")(K.Embedding(5, 4, mask_zero=True)(x))
    model = keras.Model(x, K.GRU(3)(y))
    randomize(model)
    graph = check(model, np.array([[1, 2, 0, 4, 0, 0], [0, 0, 0, 1, 1, 1]]), compiled=False)
    assert "block.norm" in {node.name for node in graph.nodes}


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_dtype_policies(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        x = keras.Input((7, 6), dtype="float32")
        y = K.Dense(8, activation="relu")(x)
        y = Scale()(K.LayerNormalization()(y))
        y = K.Dense(3, dtype="float32")(K.Add()([y, y]))
        model = keras.Model(x, y)
        randomize(model)
        graph = lc.from_keras(model)
        found, expected = interpreted(graph)(random(2, 7, 6)), model(random(2, 7, 6))
        assert found.dtype == np.float32
        close = 0.1 if "bfloat" in policy else 1e-2
        np.testing.assert_allclose(
            found, keras.ops.convert_to_numpy(expected), close, close, err_msg=policy
        )
        narrow = policy.removeprefix("mixed_")
        kinds = {str(graph.types[node.outputs[0]].dtype) for node in graph.nodes}
        assert {"float16": "f16", "bfloat16": "bf16"}[narrow] in kinds
    finally:
        keras.config.set_dtype_policy("float32")


# --- files


def test_a_file_by_its_path(tmp_path: Any) -> None:
    model, path = sequential(), tmp_path / "small.keras"
    randomize(model)
    model.save(path)
    assert load_model(path).output_names == ["head"]  # what the commands read
    for given in (path, str(path)):
        fn = lc.compile(given)
        same(fn(random(2, 12, 12, 3)), model(random(2, 12, 12, 3)))


def test_code_in_a_file_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "evil.keras"
    x = keras.Input((3,))
    keras.Model(x, K.Lambda(lambda y: y + 1)(x)).save(path)
    keras.config.enable_unsafe_deserialization()
    try:
        with pytest.raises(lc.InvalidModelError, match=r"(?s)`Lambda` layer.*code execution"):
            lc.compile(path)
    finally:
        global_state.set_global_attribute("safe_mode_saving", None)


def test_what_is_no_keras_file(tmp_path: Any) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(lc.InvalidModelError, match="Keras does not load it"):
        lc.from_keras(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps({"class_name": "Model"}))
    with pytest.raises(lc.InvalidModelError, match="Keras does not load it"):
        lc.from_keras(path)


# --- refusals


class Strange(K.Layer):
    def call(self, x: Any) -> Any:
        return ops.i0(ops.erfinv(x))


class Eager(K.Layer):
    def call(self, x: Any) -> Any:
        return x * float(ops.convert_to_numpy(x).max())

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def test_all_that_is_missing_is_listed() -> None:
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), Strange(name="strange")], name="inner")
    y = Eager(name="eager")(inner(Strange(name="odd")(x)))
    with pytest.raises(lc.UnsupportedError) as caught:
        lc.from_keras(keras.Model(x, y, name="mine"))
    text = str(caught.value)
    assert "model 'mine' uses 3 layers and ops" in text
    assert "keras.ops.math.Erfinv ×2 in 'odd', 'inner.strange'" in text
    assert "keras.ops.numpy.I0 ×2 in 'odd', 'inner.strange'" in text
    assert "Eager (not traceable: A KerasTensor is symbolic" in text
    assert "@translates_op('math.Erfinv')" in text and "adds one" in text


def test_refusals_name_the_layer() -> None:
    x = keras.Input(batch_shape=(2, 5, 3))
    model = keras.Model(x, K.LSTM(4, stateful=True, name="memory")(x))
    with pytest.raises(lc.UnsupportedError, match=r"LSTM \(stateful=True: .* in 'memory'"):
        lc.from_keras(model)
    with pytest.raises(TypeError, match="not a list"):
        lc.from_keras([model])


def test_layercc_does_not_import_keras() -> None:
    code = "import sys, layercc; layercc.compile; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_keras_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "import layercc as lc\n"
        "try: lc.compile('model.keras')\n"
        "except ImportError as error: assert \"pip install 'layercc[keras]'\" in str(error)\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- sizes that are not known


class Heads(K.Layer):
    """Reshapes by the sizes of its input, as attention is written by hand."""

    def call(self, x: Any) -> Any:
        batch, steps, width = ops.shape(x)
        y = ops.reshape(x, (batch, steps, 2, width // 2))
        y = ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (batch * 2, steps, width // 2))
        y = y[:, : steps - 1] + ops.cast(steps, "float32")
        return ops.reshape(y, (batch, 2, (steps - 1) * (width // 2)))


class Tokens(K.Layer):
    """A class token and positions, as in ViT."""

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token", initializer="normal")
        self.positions = K.Embedding(50, shape[-1], name="positions")

    def call(self, x: Any) -> Any:
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        x = ops.concatenate([token, x], axis=1)
        return x + self.positions(ops.expand_dims(ops.arange(ops.shape(x)[1]), 0))


class Half(K.Layer):
    def call(self, x: Any) -> Any:
        return x[:, : ops.shape(x)[1] // 2]


class Triangle(K.Layer):
    def call(self, x: Any) -> Any:
        return ops.matmul(ops.tril(ops.ones((ops.shape(x)[1], ops.shape(x)[1]))), x)


@pytest.mark.parametrize("layer", [Heads, Tokens])
def test_layers_that_compute_with_sizes(layer: Any) -> None:
    x = keras.Input((None, 4), name="x")
    model = keras.Model(x, layer(name="own")(x * 1))
    randomize(model)
    check(model, random(2, 5, 4), random(3, 7, 4), random(1, 2, 4))


def test_sizes_that_are_no_polynomials_are_refused() -> None:
    x = keras.Input((None, 4))
    with pytest.raises(lc.UnsupportedError, match=r"Half .*no sum of products.*in 'half'"):
        lc.from_keras(keras.Model(x, Half(name="half")(x)))
    y = keras.Input((None, 4))
    with pytest.raises(lc.UnsupportedError, match=r"Triangle .*a constant that it computes"):
        lc.from_keras(keras.Model(y, Triangle(name="triangle")(y)))

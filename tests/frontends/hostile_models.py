"""Malformed and hostile ONNX files, made from small good ones with a fixed seed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, helper

from tests.frontends.hostile_mutations import mutated_nodes
from tests.frontends.hostile_nodes import bad_attributes, bad_sizes
from tests.frontends.onnx_models import body, model_of

node = helper.make_node
RNG = np.random.default_rng(2024)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def network() -> ModelProto:
    """Conv, Relu, pooling and a dense layer."""
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Reshape", ["p", "shape"], ["f"]),
        node("Gemm", ["f", "d"], ["g"]),
        node("Softmax", ["g"], ["y"]),
    ]
    constants = {
        "w": f32(4, 3, 3, 3), "b": f32(4), "shape": np.array([0, -1]), "d": f32(36, 5),
    }  # fmt: skip
    return model_of(nodes, {"x": f32(2, 3, 6, 6)}, ["y"], constants=constants)


def branches() -> ModelProto:
    then = body([node("Relu", ["x"], ["t"])], [], ["t"])
    other = body([node("Neg", ["x"], ["e"])], [], ["e"])
    nodes = [node("If", ["c"], ["y"], then_branch=then, else_branch=other)]
    return model_of(nodes, {"x": f32(3), "c": np.array(True)}, ["y"])


def looped() -> ModelProto:
    inner = body(
        [node("Identity", ["go"], ["go_out"]), node("Add", ["v", "x"], ["w"])],
        ["i", "go", "v"],
        ["go_out", "w"],
    )
    nodes = [node("Loop", ["n", "", "x"], ["y"], body=inner)]
    return model_of(nodes, {"x": f32(3)}, ["y"], constants={"n": np.array(3)})


def recurrent() -> ModelProto:
    nodes = [
        node("LSTM", ["x", "w", "r"], ["h", "", ""], hidden_size=4),
        node("Squeeze", ["h", "axes"], ["s"]),
        node("LayerNormalization", ["s", "scale"], ["y"]),
    ]
    constants = {
        "w": f32(1, 16, 3), "r": f32(1, 16, 4), "axes": np.array([1]), "scale": f32(4),
    }  # fmt: skip
    return model_of(nodes, {"x": f32(5, 2, 3)}, ["y"], constants=constants)


def function(
    name: str, nodes: list[NodeProto], inputs: str = "x", outputs: str = "y"
) -> FunctionProto:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, [*inputs], [*outputs], nodes, imports)


def calling(functions: list[FunctionProto]) -> ModelProto:
    """A model that calls the first function."""
    nodes = [node(functions[0].name, ["x"], ["y"], domain="local")]
    model = model_of(nodes, {"x": f32(3)}, ["y"])
    model.functions.extend(functions)
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


GOOD: list[Callable[[], ModelProto]] = [network, branches, looped, recurrent]


def damaged_bytes() -> Iterator[tuple[str, bytes]]:
    """Truncated files, flipped bits, bytes lost and made up."""
    whole = [make().SerializeToString() for make in GOOD]
    for i in range(30):
        data = whole[i % len(whole)]
        yield f"truncated-{i}", data[: int(RNG.integers(0, len(data)))]
    for i in range(70):
        data = bytearray(whole[i % len(whole)])
        for _ in range(int(RNG.integers(1, 12))):
            data[int(RNG.integers(len(data)))] ^= 1 << int(RNG.integers(8))
        yield f"flipped-{i}", bytes(data)
    for i in range(20):
        data = whole[i % len(whole)]
        start, end = sorted(RNG.integers(0, len(data), 2).tolist())
        middle = RNG.bytes(int(RNG.integers(0, 40)))
        yield f"spliced-{i}", data[:start] + middle + data[min(end, start + 50) :]
    for i in range(8):
        yield f"noise-{i}", RNG.bytes(10 ** (i % 4 + 1))
    yield "empty", b""
    yield "zeros", bytes(1000)
    yield "text", b"<html>not a model</html>" * 10
    yield "nested-500", nested_bytes(500)
    yield "deep-messages", b"\x3a\x7f" * 5000  # length-delimited fields inside each other


def nested_bytes(depth: int) -> bytes:
    """Subgraphs deeper than the protobuf library would write them."""
    data = b""
    for _ in range(depth):
        for tag in (0x32, 0x2A, 0x0A):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            data = bytes([tag]) + _varint(len(data)) + data
    return b"\x08\x0a\x3a" + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])


def changed(make: Callable[[], ModelProto], change: Callable[[ModelProto], Any]) -> ModelProto:
    model = make()
    change(model)
    return model


def nested(depth: int) -> ModelProto:
    graph = body([node("Relu", ["x"], ["b0"])], [], ["b0"])
    for i in range(1, depth):
        inner = node("If", ["c"], [f"b{i}"], then_branch=graph, else_branch=body([], [], ["x"]))
        graph = body([inner], [], [f"b{i}"])
    nodes = [node("If", ["c"], ["y"], then_branch=graph, else_branch=body([], [], ["x"]))]
    return model_of(nodes, {"x": f32(3), "c": np.array(True)}, ["y"])


def chain(op: str, count: int, **attributes: Any) -> ModelProto:
    """Each node takes the one before twice."""
    nodes = [node(op, [f"v{i}", f"v{i}"], [f"v{i + 1}"], **attributes) for i in range(count)]
    model = model_of(nodes, {"v0": f32(2, 2)}, [f"v{count}"])
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = "N"
    return model


def structures() -> Iterator[tuple[str, ModelProto]]:
    """Graphs that are wrong as graphs."""

    def rename(
        node_index: int, field: str, position: int, name: str
    ) -> Callable[[ModelProto], None]:
        def change(model: ModelProto) -> None:
            getattr(model.graph.node[node_index], field)[position] = name

        return change

    yield "cycle", changed(network, rename(0, "input", 0, "g"))
    yield "self-cycle", changed(network, rename(1, "input", 0, "r"))
    yield "undefined-input", changed(network, rename(1, "input", 0, "nowhere"))
    yield "undefined-output", changed(network, rename(5, "output", 0, "elsewhere"))
    yield "defined-twice", changed(network, rename(1, "output", 0, "c"))
    yield "output-hides-input", changed(network, rename(0, "output", 0, "x"))
    yield "output-hides-constant", changed(network, rename(0, "output", 0, "w"))
    yield (
        "initialiser-twice",
        changed(network, lambda m: m.graph.initializer.append(m.graph.initializer[0])),
    )
    yield "input-twice", changed(network, lambda m: m.graph.input.append(m.graph.input[0]))
    yield "no-inputs-at-all", changed(network, lambda m: m.graph.node[0].ClearField("input"))
    yield "no-outputs-at-all", changed(network, lambda m: m.graph.node[0].ClearField("output"))
    yield "no-graph-outputs", changed(network, lambda m: m.graph.ClearField("output"))
    yield "empty-op", changed(network, lambda m: setattr(m.graph.node[0], "op_type", ""))
    yield "long-name", changed(network, rename(0, "input", 0, "n" * 1_000_000))
    yield (
        "too-many-inputs",
        changed(network, lambda m: m.graph.node[1].input.extend(["x"] * 10_000)),
    )
    yield (
        "too-many-outputs",
        changed(network, lambda m: m.graph.node[1].output.extend(f"o{i}" for i in range(10_000))),
    )
    yield "no-graph", changed(network, lambda m: m.ClearField("graph"))
    yield "no-opset", changed(network, lambda m: m.ClearField("opset_import"))
    for version in (0, -1, 10**9):
        yield (
            f"opset{version}",
            changed(network, lambda m, v=version: setattr(m.opset_import[0], "version", v)),
        )
    yield (
        "other-domain-version",
        changed(
            network, lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1 << 40))
        ),
    )
    yield "no-branches", changed(branches, lambda m: m.graph.node[0].ClearField("attribute"))
    yield "no-body", changed(looped, lambda m: m.graph.node[0].ClearField("attribute"))
    yield (
        "branch-without-output",
        changed(branches, lambda m: m.graph.node[0].attribute[0].g.ClearField("output")),
    )
    yield (
        "attribute-twice",
        changed(network, lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0])),
    )
    yield (
        "attribute-reference",
        changed(network, lambda m: setattr(m.graph.node[0].attribute[0], "ref_attr_name", "other")),
    )
    yield (
        "attribute-of-no-type",
        changed(network, lambda m: setattr(m.graph.node[0].attribute[0], "type", 0)),
    )
    yield "nested-20", nested(20)
    yield "nested-30", nested(30)
    yield (
        "many-nodes",
        model_of(
            [node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(20_000)],
            {"v0": f32(1)},
            ["v20000"],
        ),
    )
    yield "many-branches", model_of(
        [
            node(
                "If", ["c"], [f"y{i}"],
                then_branch=body([], [], ["x"]), else_branch=body([], [], ["x"]),
            )
            for i in range(4000)
        ],
        {"x": f32(2), "c": np.array(True)},
        ["y0"],
    )  # fmt: skip
    yield (
        "reversed-nodes",
        model_of(
            [node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in reversed(range(5000))],
            {"v0": f32(1)},
            ["v5000"],
        ),
    )
    yield "doubling-dims", chain("Concat", 400, axis=0)
    yield "multiplying-dims", chain("Einsum", 40, equation="ab,cd->acbd")
    yield "adding-many", chain("Add", 3000)


def calls() -> Iterator[tuple[str, ModelProto]]:
    """Functions that never end, or end late."""
    yield "calls-itself", calling([function("A", [node("A", ["x"], ["y"], domain="local")])])
    yield (
        "calls-each-other",
        calling(
            [
                function("A", [node("B", ["x"], ["y"], domain="local")]),
                function("B", [node("A", ["x"], ["y"], domain="local")]),
            ]
        ),
    )
    doubling = [
        function(
            f"F{i}",
            [
                node(f"F{i + 1}", ["x"], ["h"], domain="local"),
                node(f"F{i + 1}", ["h"], ["y"], domain="local"),
            ],
        )
        for i in range(30)
    ]
    yield "exponential", calling([*doubling, function("F30", [node("Relu", ["x"], ["y"])])])
    deep = [
        function(f"F{i}", [node(f"F{i + 1}", ["x"], ["y"], domain="local")]) for i in range(500)
    ]
    yield "deep-calls", calling([*deep, function("F500", [node("Relu", ["x"], ["y"])])])
    yield "function-twice", calling([function("A", [node("Relu", ["x"], ["y"])])] * 2)
    yield "function-passes-through", calling([function("A", [], "x", "x")])
    yield "function-of-nothing", calling([function("A", [])])
    yield (
        "function-defines-twice",
        calling([function("A", [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])])]),
    )
    yield "function-hides-input", calling([function("A", [node("Relu", ["x"], ["x"])], "x", "x")])
    yield "function-reads-outside", calling([function("A", [node("Add", ["x", "w"], ["y"])])])


def external(folder: Path) -> Iterator[tuple[str, ModelProto]]:
    """Weights in files: outside the folder, of the wrong size, or no files at all."""
    outside = folder.parent / "secret.bin"
    outside.write_bytes(bytes(64))
    (folder / "good.bin").write_bytes(bytes(64))
    (folder / "empty.bin").write_bytes(b"")
    (folder / "link.bin").symlink_to(outside)
    (folder / "linked_folder").symlink_to(folder.parent)
    (folder / "loop.bin").symlink_to(folder / "loop.bin")
    (folder / "zero.bin").symlink_to("/dev/zero")
    (folder / "subfolder").mkdir()
    os.mkfifo(folder / "pipe.bin")

    def stored(**entries: str) -> ModelProto:
        tensor = TensorProto(name="w", data_type=1, dims=[16], data_location=TensorProto.EXTERNAL)
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        model = model_of([node("Identity", ["w"], ["y"])], {}, ["y"])
        model.graph.initializer.append(tensor)
        return model

    for name in (
        "../secret.bin", "subfolder/../../secret.bin", str(outside), "link.bin", "/dev/zero",
        "linked_folder/secret.bin", "loop.bin", "zero.bin", "pipe.bin", "subfolder", "missing.bin",
        "", ".", "..", "empty.bin", "good.bin\0x", "g" * 5000, "/proc/self/mem", "/etc/passwd",
        "..\\secret.bin", "C:\\secret.bin", "~/secret.bin", "file:///etc/passwd",
    ):  # fmt: skip
        yield f"external-{len(name)}-{name[:10].replace('/', '_')!r}", stored(location=name)
    yield "external-good", stored(location="good.bin")
    yield "external-no-location", stored()
    for offset in ("-1", "63", "64", "9" * 30, "1e3", "nan", ""):
        yield f"external-offset-{offset}", stored(location="good.bin", offset=offset)
    for length in ("-1", "0", "63", "9" * 30, "all"):
        yield f"external-length-{length}", stored(location="good.bin", length=length)


def write_all(folder: Path) -> list[Path]:
    """Writes every file; returns their paths."""
    paths = []

    def write(name: str, data: bytes) -> None:
        paths.append(folder / f"{len(paths):03d}.onnx")
        paths[-1].write_bytes(data)
        (folder / f"{paths[-1].stem}.name").write_text(name)

    for name, data in damaged_bytes():
        write(name, data)
    groups = (structures(), calls(), bad_sizes(), bad_attributes(), external(folder))
    for group in (*groups, mutated_nodes(240, seed=1)):
        for name, model in group:
            write(name, model.SerializeToString())
    for i, text in enumerate((b"\xff\xfe", b"\x80")):  # names that are no UTF-8
        write(
            f"no-utf8-{i}",
            network().SerializeToString().replace(b"Relu", b"R" + text + b"u"[: 3 - len(text)]),
        )
    return paths

"""Large weights are left in the file while the rest of a model is parsed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, helper, numpy_helper

import layercc as lc
from layercc.frontends.onnx.wire import LARGE, FileWeights, without_weights

RNG = np.random.default_rng(0)
SIZES = [1, LARGE // 4 - 1, LARGE // 4, 5001, 70_000]  # float32 elements: below, at, beyond


def tensor(name: str, size: int) -> TensorProto:
    return numpy_helper.from_array(RNG.standard_normal(size).astype(np.float32), name)


def model() -> onnx.ModelProto:
    """Weights as initialisers, in a Constant, and in the branches of an If."""

    def branch(name: str, size: int) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Constant", [], [f"{name}.c"], value=tensor("", size)),
            helper.make_node("ReduceSum", [f"{name}.c"], [f"{name}.y"], keepdims=0),
        ]
        output = helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, [])
        return helper.make_graph(nodes, name, [], [output])

    nodes = [
        helper.make_node("ReduceSum", [f"w{size}"], [f"s{size}"], keepdims=0) for size in SIZES
    ]
    nodes += [
        helper.make_node("Constant", [], ["k"], value=tensor("", 9001)),
        helper.make_node("ReduceSum", ["k"], ["sk"], keepdims=0),
        helper.make_node(
            "If", ["b"], ["i"], then_branch=branch("t", 6001), else_branch=branch("e", 3)
        ),
        helper.make_node("Sum", [*(f"s{size}" for size in SIZES), "sk", "i"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "weights",
        [helper.make_tensor_value_info("b", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [tensor(f"w{size}", size) for size in SIZES],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return model()


def skeleton(data: bytes, folder: Path) -> tuple[bytes, FileWeights]:
    path = folder / "model.onnx"
    path.write_bytes(data)
    weights = FileWeights(open(path, "rb", buffering=0))  # noqa: SIM115
    return without_weights(data, weights), weights


def test_a_file_gives_what_the_message_gives(proto: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    from_file, from_message = lc.from_onnx(path), lc.from_onnx(proto)
    assert from_file.constants.keys() == from_message.constants.keys()
    for name, array in from_message.constants.items():
        np.testing.assert_array_equal(from_file.constants[name], array)
    for flag in (True, False):
        given = {"b": np.array(flag)}
        wanted = lc.interpret(from_message, given)["y"]
        np.testing.assert_array_equal(lc.interpret(from_file, given)["y"], wanted)


def test_what_is_left(proto: onnx.ModelProto, tmp_path: Path) -> None:
    data = proto.SerializeToString()
    rest, weights = skeleton(data, tmp_path)
    assert len(rest) < 2 * LARGE + 4000 < len(data)
    parsed = onnx.ModelProto.FromString(rest)
    for given, found in zip(proto.graph.initializer, parsed.graph.initializer, strict=True):
        read = weights.read(found.raw_data)
        assert (read is None) == (len(given.raw_data) < LARGE)
        assert (found.raw_data if read is None else bytes(read)) == given.raw_data
        if read is not None:
            assert np.frombuffer(read, np.uint8).ctypes.data % 64 == 0
            assert read.readonly
        found.raw_data = given.raw_data
    for node in parsed.graph.node:
        for attribute in node.attribute:
            for found in [attribute.t, *(n.attribute[0].t for n in attribute.g.node[:1])]:
                read = weights.read(found.raw_data)
                if read is not None:
                    found.raw_data = bytes(read)
    assert parsed == proto


def test_fields_given_twice(proto: onnx.ModelProto, tmp_path: Path) -> None:
    """Repeated messages are merged, of repeated bytes the last count; as in Protocol Buffers."""
    other = onnx.ModelProto()
    other.graph.initializer.append(tensor("extra", 8000))
    twice = proto.SerializeToString() + other.SerializeToString()
    rest, weights = skeleton(twice, tmp_path)
    last = onnx.ModelProto.FromString(rest).graph.initializer[-1]
    assert weights.read(last.raw_data) == other.graph.initializer[0].raw_data

    raw = tensor("w", 8000)
    field = raw.SerializeToString() + TensorProto(raw_data=b"z" * 8000).SerializeToString()
    holder = onnx.ModelProto()
    holder.graph.initializer.append(TensorProto.FromString(b""))
    graph = b"\x2a" + varint(len(field)) + field
    rest, weights = skeleton(b"\x3a" + varint(len(graph)) + graph, tmp_path)
    assert weights.read(onnx.ModelProto.FromString(rest).graph.initializer[0].raw_data) == (
        b"z" * 8000
    )


def varint(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(high) if high else bytes([low])


def test_files_have_no_tickets_of_their_own(proto: onnx.ModelProto, tmp_path: Path) -> None:
    _, first = skeleton(proto.SerializeToString(), tmp_path)
    _, second = skeleton(proto.SerializeToString(), tmp_path)
    ticket = first.leave(0, 10)
    assert first.read(ticket) is not None
    assert second.read(ticket) is None
    assert first.read(ticket[:-1]) is None


def test_a_file_cut_meanwhile(proto: onnx.ModelProto, tmp_path: Path) -> None:
    data = proto.SerializeToString()
    rest, weights = skeleton(data, tmp_path)
    (tmp_path / "model.onnx").write_bytes(data[:9000])
    last = onnx.ModelProto.FromString(rest).graph.initializer[-1]
    with pytest.raises(lc.InvalidModelError, match="cut short while it was read"):
        weights.read(last.raw_data)


def test_damaged_files_stay_damaged(proto: onnx.ModelProto, tmp_path: Path) -> None:
    """What does not parse whole does not parse without its weights, and the other way round."""
    data = proto.SerializeToString()
    parsed = 0
    for _ in range(300):
        damaged = bytearray(data)
        if RNG.random() < 0.3:
            del damaged[RNG.integers(len(data)) :]
        for _ in range(RNG.integers(1, 4)):
            if damaged:
                # Most bytes are weights; those at the ends are structure.
                span = len(damaged) if RNG.random() < 0.3 else min(300, len(damaged))
                damaged[RNG.integers(span) - (RNG.random() < 0.5) * span] = RNG.integers(256)
        rest, _ = skeleton(bytes(damaged), tmp_path)
        assert parses(rest) == parses(bytes(damaged))
        parsed += parses(rest)
    assert 30 < parsed < 270


def parses(data: bytes) -> bool:
    try:
        onnx.ModelProto.FromString(data)
    except DecodeError:
        return False
    return True


def test_nested_without_end(tmp_path: Path) -> None:
    """A graph in a node in a graph …: looked into a few levels deep, and refused by the parser."""
    data = b"x" * LARGE
    for _ in range(2000):
        for field in (6, 5, 1):  # AttributeProto.g in NodeProto.attribute in GraphProto.node
            data = bytes([field << 3 | 2]) + varint(len(data)) + data
    data = b"\x3a" + varint(len(data)) + data
    rest, _ = skeleton(data, tmp_path)
    assert rest == data
    path = tmp_path / "model.onnx"
    with pytest.raises(lc.LayerccError):
        lc.from_onnx(path)

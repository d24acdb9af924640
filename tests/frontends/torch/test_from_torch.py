"""`from_torch`: names, shared memory, structure, dynamic sizes, refusals."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch.export import Dim  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import layercc as lc  # noqa: E402
from tests.frontends.torch.comparing import check, interpreted, random, same  # noqa: E402

pytestmark = pytest.mark.torch


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        return self.act(self.bn1(self.conv1(x))) + x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layers = nn.Sequential(Block(4), Block(4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(self.stem(x)).mean((2, 3)))


def function(body: Any) -> nn.Module:
    """A module whose forward is a function."""

    class Function(nn.Module):
        def forward(self, *args: Any) -> Any:
            return body(*args)

    return Function().eval()


# --- names


def test_nodes_are_named_by_their_modules():
    graph = lc.from_torch(Net().eval(), (random(2, 3, 8, 8),))
    names = [node.name for node in graph.nodes]
    assert names == [
        "stem", "layers.0.conv1", "layers.0.bn1", "layers.0.act", "layers.0.add",
        "layers.1.conv1", "layers.1.bn1", "layers.1.act", "layers.1.add", "mean", "head",
    ]  # fmt: skip
    assert graph.name == "Net"
    assert {"stem.weight", "layers.1.bn1.running_var", "head.bias"} <= set(graph.constants)
    assert [value.name for value in graph.inputs] == ["x"]
    assert [value.name for value in graph.outputs] == ["output"]


def test_nodes_know_the_line_of_the_module_call():
    graph = lc.from_torch(Net().eval(), (random(2, 3, 8, 8),))
    head = next(node for node in graph.nodes if node.name == "head")
    assert head.source is not None and head.source.file == __file__
    line = Path(__file__).read_text(encoding="utf-8").splitlines()[(head.source.line or 0) - 1]
    assert "self.head(" in line


def test_a_module_may_be_called_as_an_output_is():
    class Outputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Linear(3, 3)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.output(x))

    graph = lc.from_torch(Outputs(), (random(2, 3),))
    assert [node.name for node in graph.nodes] == ["output", "relu"]
    assert graph.output_names == ["output"] == list(graph.nodes[-1].outputs)


def test_modules_called_twice_share_their_weights():
    layer = nn.Linear(4, 4)
    graph = lc.from_torch(nn.Sequential(layer, layer), (random(2, 4),))
    assert sorted(name for name in graph.constants if "weight" in name) == ["0.weight"]
    assert len({node.name for node in graph.nodes}) == len(graph.nodes) == 2


# --- constants


def test_parameters_are_shared_not_copied():
    net = Net().eval()
    graph = lc.from_torch(net, (random(2, 3, 8, 8),))
    weight = graph.constants["head.weight"]
    assert np.shares_memory(weight, net.head.weight.detach().numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_parameters_of_other_types_are_shared(dtype):
    net = nn.Linear(3, 2).to(dtype)
    graph = lc.from_torch(net, (random(4, 3, dtype=dtype),))
    weight = graph.constants["weight"]
    assert np.shares_memory(weight, net.weight.detach().view(torch.uint8).numpy())
    x = random(4, 3, dtype=dtype)
    same(interpreted(graph)(x), net(x).detach())


def test_tied_weights_are_one_constant():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: Any) -> Any:
            return self.head(self.embedding(tokens))

    graph = check(Tied(), (torch.arange(5)[None],))
    assert [name for name, array in graph.constants.items() if array.shape == (7, 4)] == [
        "embedding.weight"
    ]


def test_a_tensor_of_the_code_is_a_constant():
    scale = torch.tensor([1.0, 2.0, 3.0])
    check(function(lambda x: x * scale), (random(2, 3),), compiled=False)


# --- structure


Pair = namedtuple("Pair", "left right")


class Structured(nn.Module):
    def forward(
        self, batch: Any, scale: Any, *more: Any, flag: bool = True, extra: Any = None
    ) -> Any:
        x = batch["x"] * scale if flag else batch["x"]
        x = x + more[0] if more else x
        hidden = [x, Pair(x + 1, x.shape[0])]
        return OrderedDict(
            y=x - batch["pair"][1], hidden=hidden, none=None, mode="eval", extra=extra
        )


def structured_inputs() -> Any:
    return {"x": random(2, 3), "pair": (random(3), random(2, 3, seed=1))}, torch.tensor(2.0)


def test_inputs_and_outputs_are_named_by_their_places():
    batch, scale = structured_inputs()
    graph = lc.from_torch(Structured(), (batch, scale, random(3, seed=2)))
    assert graph.input_names == ["batch.x", "batch.pair.0", "batch.pair.1", "scale", "more.0"]
    assert graph.output_names == ["y", "hidden.0", "hidden.1.left"]


def test_a_compiled_module_is_called_as_the_module_is():
    module, (batch, scale) = Structured(), structured_inputs()
    compiled = lc.compile(module, (batch, scale))
    same(compiled(batch, scale), module(batch, scale))
    same(compiled(batch, scale=scale), module(batch, scale))
    same(compiled(batch=batch, scale=scale), module(batch, scale))
    found = compiled.run(
        {"batch.x": batch["x"], "batch.pair.0": batch["pair"][0], "batch.pair.1": batch["pair"][1],
         "scale": scale}
    )  # fmt: skip
    same(found["y"], module(batch, scale)["y"])


def test_inputs_by_name():
    module, (batch, scale) = Structured(), structured_inputs()
    compiled = lc.compile(module, {"batch": batch, "scale": scale, "flag": False})
    same(compiled(batch=batch, scale=scale, flag=False), module(batch, scale, flag=False))
    same(compiled(batch, scale, flag=False), module(batch, scale, flag=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda b, s: ((b,), {}), "argument 'scale' is missing"),
        (lambda b, s: ((b, s), {"flags": 1}), "there is no argument 'flags'"),
        (lambda b, s: ((b, s, s), {}), "3 arguments given by position"),
        (lambda b, s: (({"x": b["x"]}, s), {}), r"\{'x': \*, 'pair': \(\*, \*\)\}.* would fit"),
    ],
)
def test_calls_that_do_not_fit_are_refused(arguments, message):
    batch, scale = structured_inputs()
    compiled = lc.compile(Structured(), (batch, scale))
    args, kwargs = arguments(batch, scale)
    with pytest.raises(lc.InputError, match=message):
        compiled(*args, **kwargs)


def test_numbers_are_part_of_the_model():
    module = function(lambda x, n: x * n)
    compiled = lc.compile(module, (random(2, 3), 2))
    same(compiled(random(2, 3), 2), random(2, 3) * 2)
    with pytest.raises(lc.InputError, match=r"argument 'args.1' is 3; the model was made for 2"):
        compiled(random(2, 3), 3)


def test_an_object_that_pytree_knows_keeps_its_class():
    @dataclasses.dataclass
    class Result:
        logits: Any
        size: Any

    torch.utils._pytree.register_dataclass(Result, serialized_type_name="layercc.tests.Result")
    module = function(lambda x: Result(x + 1, x * 2))
    found = lc.compile(module, (random(2, 3),))(random(2, 3))
    assert isinstance(found, Result)
    assert lc.from_torch(module, (random(2, 3),)).output_names == ["logits", "size"]


def test_inputs_and_constants_may_be_outputs():
    weight = torch.arange(3.0)
    module = function(lambda x: (x, x, weight, x + 1))
    same(lc.compile(module, (random(3),))(random(3)), module(random(3)))


def test_arrays_tensors_and_what_needs_a_gradient_are_taken():
    compiled = lc.compile(nn.Linear(3, 2), (random(4, 3),))
    expected = compiled(random(4, 3))
    same(compiled(random(4, 3).numpy()), torch.from_numpy(expected))
    same(compiled(random(4, 3).requires_grad_()), torch.from_numpy(expected))
    strided = random(3, 4).t()
    same(compiled(strided), torch.from_numpy(compiled(strided.contiguous())))


def test_a_compiled_module_is_pickled():
    compiled = lc.compile(Structured(), structured_inputs())
    copy = pickle.loads(pickle.dumps(compiled))
    same(copy(*structured_inputs()), Structured()(*structured_inputs()))


def test_a_compiled_model_becomes_a_module():
    module = nn.Linear(3, 2)
    compiled = lc.torch_module(lc.compile(module, (random(4, 3),)))
    with torch.no_grad():
        torch.testing.assert_close(compiled(random(4, 3)), module(random(4, 3)))
    assert isinstance(compiled, nn.Module)
    with pytest.raises(lc.UnsupportedError, match="no gradients"):
        compiled(random(4, 3).requires_grad_())


# --- sizes


class Sizes(nn.Module):
    def forward(self, x: Any) -> Any:
        n, c = x.shape
        y = x.reshape(n * c // 2, 2)
        z = torch.zeros(n, 2 * n + 1) + x.sum(1, keepdim=True)
        return y, z, x / n, torch.cat([x, x]), torch.arange(n), n, x.repeat(n // 2, 1), x.mean(0)


@pytest.mark.parametrize(
    "dynamic",
    [("N", 4), ({0: "N"},), {"x": {0: Dim("batch")}}, ({0: Dim.AUTO},), ((Dim.DYNAMIC, None),)],
)
def test_dynamic_sizes(dynamic):
    graph = check(Sizes(), (random(6, 4),), (random(9, 4),), (random(2, 4),), dynamic=dynamic)
    (size, width) = graph.inputs[0].shape
    given = str(dynamic)
    assert str(size) == ("N" if "'N'" in given else "batch" if "batch" in given else "x_0")
    assert width == 4
    assert [str(dim) for dim in graph.outputs[1].shape] == [f"{size}", f"2*{size} + 1"]


def test_equal_names_are_equal_sizes():
    module = function(lambda a, b: a @ b)
    graph = lc.from_torch(module, (random(3, 4), random(4, 5)), ((("M", "K"), ("K", 5)),))
    assert [str(value.type) for value in graph.inputs] == ["f32[M, K]", "f32[K, 5]"]
    compiled = lc.compile(graph)
    same(compiled(random(2, 7), random(7, 5)), random(2, 7) @ random(7, 5))
    with pytest.raises(lc.InputError, match="K"):
        compiled(random(2, 7), random(6, 5))


def test_sizes_that_are_functions_of_others():
    module = function(lambda a, b: a.repeat_interleave(2, 0) + b[:-1])
    graph = lc.from_torch(module, (random(3, 4), random(7, 4)), ((("N", 4), ("2*N + 1", 4)),))
    assert [str(value.type) for value in graph.inputs] == ["f32[N, 4]", "f32[2*N + 1, 4]"]
    same(lc.compile(graph)(random(5, 4), random(11, 4)), module(random(5, 4), random(11, 4)))


def test_ranges_of_sizes_are_kept():
    table = random(6, 2)
    module = function(lambda x: x + table[: x.shape[0]])
    graph = lc.from_torch(module, (random(4, 2),), (((Dim("T", min=3, max=6), None),),))
    compiled = lc.compile(graph)
    same(compiled(random(6, 2)), module(random(6, 2)))
    for size in (2, 7):
        with pytest.raises(lc.InputError, match=rf"dim 0 \(T\) is {size}; 3..6 would fit"):
            compiled(random(size, 2))


@pytest.mark.parametrize("low", [1, 2])
def test_small_minima_are_kept(low):
    module = function(lambda x, y: x + y[:, None])
    dim = Dim("T", min=low)
    graph = lc.from_torch(module, (random(4, 2), random(4)), (((dim, None), (dim,)),))
    compiled = lc.compile(graph)
    same(compiled(random(low, 2), random(low)), module(random(low, 2), random(low)))
    with pytest.raises(lc.InputError, match=rf"dim 0 \(T\) is {low - 1}; at least {low} would"):
        compiled(random(low - 1, 2), random(low - 1))


def test_ranges_of_names_are_found():
    table = random(6, 2)
    module = function(lambda x: x + table[: x.shape[0]])
    compiled = lc.compile(lc.from_torch(module, (random(4, 2),), ((("T", 2),),)))
    same(compiled(random(5, 2)), module(random(5, 2)))
    with pytest.raises(lc.InputError, match=r"dim 0 \(T\) is 7; 0..6 would fit"):
        compiled(random(7, 2))


def test_sizes_of_what_a_forward_takes_by_any_name():
    class Named(nn.Module):
        def forward(self, x: Any, **more: Any) -> Any:
            return x + more["y"]

    shapes = {"x": ("N", 3), "y": ("N", 3)}
    given = {"x": random(2, 3), "y": random(2, 3)}
    module = Named()
    compiled = lc.compile(lc.from_torch(module, given, dynamic_shapes=shapes))
    assert "forward" not in vars(module)
    others = {"x": random(4, 3), "y": random(4, 3, seed=1)}
    same(compiled(**others), module(**others))


@pytest.mark.parametrize("kind", [list, tuple, lambda parts: Pair(*parts)])
def test_sizes_of_nested_arguments(kind):
    module = function(lambda parts: parts[0] + parts[1])
    example = kind([random(2, 3), random(2, 3)])
    graph = lc.from_torch(module, (example,), ((kind([("N", 3), ("N", 3)]),),))
    assert [str(value.shape[0]) for value in graph.inputs] == ["N", "N"]
    others = kind([random(4, 3), random(4, 3, seed=1)])
    same(lc.compile(graph)(others), module(others))


class Memory:
    """A container that only holds tensors, as caches of keys and values do."""

    def __init__(self, first: Any, second: Any) -> None:
        self.parts = first + first.new_zeros(1), second.to(first.dtype)


pytree.register_pytree_node(
    Memory,
    lambda memory: (list(memory.parts), ["first", "second"]),
    lambda parts, _: Memory(*parts),
    flatten_with_keys_fn=lambda memory: (
        [(pytree.MappingKey(f"{i}"), part) for i, part in enumerate(memory.parts)],
        ["first", "second"],
    ),
)


def test_objects_that_pytree_knows():
    module = function(lambda memory: (memory.parts[0] * 2, Memory(*memory.parts)))
    given = Memory(random(2, 3), random(2, 3))
    graph = lc.from_torch(module, (given,), (([("N", 3), ("N", 3)],),))
    assert graph.input_names == ["args.0.first", "args.0.second"]
    assert str(graph.inputs[0].shape[0]) == "N"
    other = Memory(random(4, 3), random(4, 3, seed=1))
    wanted = module(other)
    compiled = lc.compile(graph)
    for found in (compiled(other), lc.torch_module(compiled)(other)):
        same(np.asarray(found[0]), wanted[0])
        assert all(map(torch.equal, found[1].parts, wanted[1].parts))


def test_what_an_export_assumes_of_sizes_is_checked():
    def halves(x: Any) -> Any:
        return x * 2 if 2 * x.shape[0] > x.shape[1] + 3 else x.sum(1)

    compiled = lc.compile(lc.from_torch(function(halves), (random(6, 4),), ((("N", "M"),),)))
    same(compiled(random(5, 3)), random(5, 3) * 2)
    with pytest.raises(lc.InputError, match=r"N = 3; sizes with .* < .* would fit"):
        compiled(random(3, 4))


def test_sizes_that_the_module_fixes_are_refused():
    module = function(lambda x: x + torch.ones(4))
    with pytest.raises(lc.InvalidModelError, match="N"):
        lc.from_torch(module, (random(2, 4),), ((("B", "N"),),))


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [
        ((("N", 5),), "has 5 for dim 1 of 'args.0'"),
        ((("N",),), "has 1 dims for 'args.0' of shape"),
        ((("N*N", 4),), "a symbol, or a multiple of one"),
        ({"y": ("N", 4)}, "names 'y'; the arguments are 'args'"),
    ],
)
def test_dynamic_shapes_that_do_not_fit(dynamic, message):
    given = dynamic if isinstance(dynamic, dict) else (dynamic,)
    with pytest.raises(lc.InvalidModelError, match=message):
        lc.from_torch(function(lambda x: x + 1), (random(2, 4),), given)


def test_sizes_that_data_decide():
    module = function(lambda x: (x[x > 0].sum(), x.nonzero()))
    check(module, (random(3, 4),), compiled=False)


# --- refusals


def test_all_ops_without_a_translation_are_listed():
    class Lost(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.special.i0(x)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lost = nn.ModuleList([Lost(), Lost()])

        def forward(self, x: Any) -> Any:
            y = self.lost[1](self.lost[0](x))
            return y + torch.rand_like(x) + torch.linalg.det(x)

    with pytest.raises(lc.UnsupportedError) as caught:
        lc.from_torch(Two(), (random(3, 3),))
    text = str(caught.value)
    assert "aten.i0.default ×2 in 'lost.0', 'lost.1'" in text
    assert "aten.rand_like.default (random numbers; numbers that are an input would fit)" in text
    assert "det" in text
    assert "module Two uses 3 ops" in text
    assert text.endswith("@translates('i0') on a function in layercc/frontends/torch/ops adds one")
    assert "aten.i0.default" in caught.value.ops


def test_training_mode_is_refused():
    net = Net()
    with pytest.raises(lc.UnsupportedError, match=r"'layers.0.bn1'.*module.eval\(\) would fit"):
        lc.from_torch(net, (random(2, 3, 8, 8),))
    with pytest.raises(lc.UnsupportedError, match=r"dropout.*training mode"):
        lc.from_torch(nn.Sequential(nn.Dropout()), (random(2, 3),))


def test_state_that_is_written_is_refused():
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()
            self.inner.register_buffer("keys", torch.zeros(4, 3))

        def forward(self, x: Any) -> Any:
            self.inner.keys[1:2] = x
            return self.inner.keys * 2

    with pytest.raises(
        lc.UnsupportedError, match=r"Identity 'inner' writes 'inner.keys'"
    ) as caught:
        lc.from_torch(Cache().eval(), (random(1, 3),))
    assert "a forward that returns the new value would fit" in str(caught.value)
    with pytest.raises(lc.UnsupportedError, match=r"forward \(its inputs\) writes 'args_0'"):
        lc.from_torch(function(lambda x: x.add_(1)), (random(1, 3),))


def test_writes_in_place_reach_all_who_share_the_memory():
    def forward(x: Any) -> Any:
        alone = (x * 2).relu_()
        kept = x + 1
        seen = kept * 3
        kept.mul_(2)
        whole = x.exp()
        part = whole[0]
        whole.add_(1)
        same_memory = whole.view(-1)
        same_memory.neg_()
        return alone, kept, seen, part, whole, x.flatten().clone().sigmoid_()

    check(function(forward), (random(2, 3),), compiled=False)
    check(function(lambda x: (x + 1).relu_().mul_(2).add_(x)), (random(2, 3),), compiled=False)


def test_control_flow_on_data_is_refused():
    def forward(x: Any) -> Any:
        return x + 1 if x.sum() > 0 else x - 1

    with pytest.raises(lc.UnsupportedError, match="hangs on data") as caught:
        lc.from_torch(function(forward), (random(2, 3),))
    assert "test_from_torch.py" in str(caught.value)


def test_scripted_modules_are_refused():
    scripted = torch.jit.trace(nn.Linear(3, 2), random(4, 3))
    with pytest.raises(lc.UnsupportedError, match="scripted or traced"):
        lc.compile(scripted, (random(4, 3),))


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"a torch\.nn\.Module or a torch\.export\.ExportedProgram"):
        lc.from_torch(random(2), (random(2),))
    with pytest.raises(TypeError, match="Linear needs example_inputs"):
        lc.compile(nn.Linear(3, 2))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module with example inputs"):
        lc.compile(object())


def test_parameters_without_data_are_refused():
    with pytest.raises(lc.InvalidModelError, match="parameter 'weight' holds no data"):
        lc.from_torch(nn.Linear(3, 2, device="meta"), (torch.empty(4, 3, device="meta"),))


# --- ways in


def test_an_exported_program():
    module = Structured()
    program = torch.export.export(module, structured_inputs())
    graph = lc.from_torch(program)
    assert graph.input_names[0] == "batch.x"
    same(lc.compile(program)(*structured_inputs()), module(*structured_inputs()))


def test_regions_without_gradients_are_entered():
    def forward(x: Any) -> Any:
        with torch.no_grad():
            y = x * 2
        return y + x

    check(function(forward), (random(2, 3),), compiled=False)


def test_the_graph_is_exported_to_onnx(tmp_path):
    graph = lc.from_torch(Net().eval(), (random(2, 3, 8, 8),), (("N", 3, 8, 8),))
    again = lc.from_onnx(lc.to_onnx(graph))
    x = random(3, 3, 8, 8).numpy()
    np.testing.assert_allclose(lc.compile(again)(x), lc.compile(graph)(x), 1e-5, 1e-6)


def test_importing_layercc_does_not_import_torch():
    script = (
        "import layercc as lc, sys\nlc.compile, lc.from_torch, lc.from_onnx\n"
        "try: lc.compile(object())\nexcept TypeError: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_torch_the_error_says_what_to_install():
    script = (
        "import sys\nsys.modules['torch'] = None\nimport layercc as lc\n"
        "try: lc.from_torch(None)\n"
        "except ImportError as error: assert \"pip install 'layercc[torch]'\" in str(error)\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

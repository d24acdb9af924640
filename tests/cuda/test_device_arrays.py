"""Arrays that lie on the device: taken without a copy, and results that stay there."""

from __future__ import annotations

import functools
import gc
import weakref

import numpy as np
import pytest

import layercc as lc
from layercc.cuda import dlpack
from layercc.cuda.arrays import DeviceArray, stream_number
from layercc.cuda.blocks import Blocks
from layercc.cuda.driver import DeviceError, device
from layercc.cuda.torch_tensors import plain
from tests.cuda.stand_in import INVALID_VALUE, LAUNCH_FAILED, StandIn

RELU = "graph g(x: f32[N]) -> (y) {\n a = Relu(x)\n y = Add(a, a)\n}"
X = np.array([-1, 2, 3, 4, -5], np.float32)
Y = 2 * np.maximum(X, 0)


def model(text: str = RELU, target: str = "cuda") -> lc.CompiledModel:
    return lc.compile(lc.parse_graph(text), target=target)


def new_stream():
    here = device(0)
    here.enter()
    return here.stream()


class Foreign:
    """Another library's array on the stand-in device, by DLPack."""

    def __init__(self, driver: StandIn, array: np.ndarray, *, offset: int = 0, number: int = 0):
        self.driver, self.array, self.device = driver, array, (dlpack.CUDA, number)
        room = np.zeros(array.nbytes + offset, np.uint8)
        room[offset:] = array.reshape(-1).view(np.uint8)
        self.address = driver.memory.put(room) + offset
        self.streams: list[int] = []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream):
        self.streams.append(stream)
        dtype = lc.DType[{"f": "f", "i": "i"}[self.array.dtype.kind] + str(8 * self.array.itemsize)]
        return dlpack.capsule_of(self.address, self.device, dtype, self.array.shape, self)


class Interface:
    """And by the interface that CuPy and Numba have."""

    def __init__(self, driver: StandIn, array: np.ndarray, **changed) -> None:
        self.address = driver.memory.put(array)
        self.__cuda_array_interface__ = {
            "shape": array.shape, "typestr": array.dtype.str, "data": (self.address, False),
            "version": 3, "strides": None, "stream": None,
        } | changed  # fmt: skip


def test_results_stay_on_the_device(stand_in):
    fn = model()
    y = fn.run({"x": X}, device=True)["y"]
    assert isinstance(y, DeviceArray)
    assert (y.shape, y.ndim, y.size, y.nbytes, y.dtype) == ((5,), 1, 5, 20, np.float32)
    assert y.device == "cuda:0" and repr(y).startswith("DeviceArray(shape=(5,), dtype=float32")
    stand_in._cuCtxSetCurrent(0)
    y.wait()
    assert not stand_in.CUstream(1).queue
    np.testing.assert_array_equal(y.numpy(), Y)
    with pytest.raises(TypeError, match=r"\.numpy\(\)"):
        np.asarray(y)


def test_a_result_goes_into_the_next_model_and_nothing_is_copied(stand_in):
    fn = model()
    y = fn.run({"x": X}, device=True)["y"]
    z = fn.run({"x": y}, device=True)["y"]
    stand_in.calls.clear()
    z = fn.run({"x": z}, device=True)["y"]
    assert not [name for name in stand_in.calls if "Memcpy" in name or "Synchronize" in name]
    np.testing.assert_array_equal(z.numpy(), 4 * Y)
    np.testing.assert_array_equal(y.numpy(), Y)  # as it was
    np.testing.assert_array_equal(fn(y), 2 * Y)  # the same values, for the host


@pytest.mark.parametrize("kind", [Foreign, Interface])
def test_arrays_of_other_libraries_are_taken_where_they_lie(stand_in, kind):
    fn = model()
    fn.run({"x": X}, device=True)
    x = kind(stand_in, X)
    stand_in.calls.clear()
    y = fn.run({"x": x}, device=True)["y"]
    assert not [name for name in stand_in.calls if "Memcpy" in name or "Alloc" in name]
    np.testing.assert_array_equal(y.numpy(), Y)
    np.testing.assert_array_equal(fn(x), Y)
    np.testing.assert_array_equal(fn.run({"x": x})["y"], Y)


def test_other_addresses_are_told_to_the_launches_that_have_them(stand_in):
    fn = model()
    one, two = Foreign(stand_in, X), Foreign(stand_in, X + 1)
    held = [fn.run({"x": x}, device=True)["y"] for x in (one, two, one)]
    stand_in.calls.clear()
    held.append(fn.run({"x": two}, device=True)["y"])
    assert stand_in.calls.count("cuGraphExecKernelNodeSetParams") == 1
    for y, x in zip(held, (X, X + 1, X, X + 1), strict=True):
        np.testing.assert_array_equal(y.numpy(), 2 * np.maximum(x, 0))
    held.clear()
    fn.run({"x": two}, device=True)
    stand_in.calls.clear()
    fn.run({"x": two}, device=True)  # the block that the last one gave back
    assert stand_in.calls == [
        "cuCtxGetCurrent", "cuCtxSetCurrent", "cuGraphLaunch", "cuEventRecord", "cuCtxSetCurrent",
    ]  # fmt: skip


def test_the_callers_stream_is_the_one_that_work_is_queued_on(stand_in):
    fn = model()
    stream = new_stream()
    x = Foreign(stand_in, X)
    y = fn.run({"x": x}, device=True, stream=stream.number)["y"]
    assert x.streams == [stream.number]
    assert len(stream.handle.queue) == 2  # the graph, and the event behind it
    assert y.__cuda_array_interface__["stream"] == stream.number
    np.testing.assert_array_equal(y.numpy(), Y)
    assert fn.run({"x": x}, stream=stream.number)["y"].tolist() == Y.tolist()  # for the host


def test_streams_wait_for_one_another(stand_in):
    """A call on a stream comes behind what another has queued in the same arena, and who takes a
    result behind the call."""
    fn = model()
    one, two, three = (new_stream() for _ in range(3))
    y = fn.run({"x": Foreign(stand_in, X)}, device=True, stream=one.number)["y"]
    z = fn.run({"x": y}, device=True, stream=two.number)["y"]
    capsule = z.__dlpack__(stream=three.number)
    assert three.handle.queue and dlpack.Contents(capsule).address == z.address
    three.wait()  # and so what it waits for
    np.testing.assert_array_equal(stand_in.memory.read(z.address, (5,), np.float32), 2 * Y)
    stand_in.calls.clear()
    z.__dlpack__(stream=two.number)  # its own
    z.__dlpack__(stream=-1)
    assert "cuStreamWaitEvent" not in stand_in.calls


def test_a_producers_stream_is_waited_for(stand_in):
    fn = model()
    stream = new_stream()
    x = Interface(stand_in, X - 100, stream=stream.number)
    stream.handle.queue.append(lambda: stand_in.memory.write(x.address, X))
    np.testing.assert_array_equal(fn(x), Y)


def test_a_stream_is_known_in_many_forms():
    class Torch:
        cuda_stream = 7

    class Cupy:
        ptr = 8

    class Standard:
        def __cuda_stream__(self):
            return 0, 9

    class Numba:
        class handle:
            value = None

    assert [*map(stream_number, (None, 0, 5, Torch, Cupy, Standard(), Numba))] == [
        1, 1, 5, 7, 8, 9, 1,
    ]  # fmt: skip
    for wrong in ("default", 1.5, True):
        with pytest.raises(TypeError, match="stream: a handle or a stream would fit"):
            stream_number(wrong)


def test_memory_is_given_back(stand_in):
    fn = model()
    y = fn.run({"x": X}, device=True)["y"]
    capsule = y.__dlpack__(stream=1)
    address = y.address
    del y
    gc.collect()
    z = fn.run({"x": X}, device=True)["y"]
    assert z.address != address  # the capsule holds it
    del capsule
    gc.collect()
    assert fn.run({"x": X}, device=True)["y"].address == address
    stream = new_stream()
    z.__dlpack__(stream=stream.number)
    size, address = len(stand_in.memory.sizes), z.address
    del z  # another stream may be reading it
    gc.collect()
    assert address not in stand_in.memory.sizes and len(stand_in.memory.sizes) == size - 1
    kept = fn.run({"x": X}, device=True)["y"]
    del fn
    gc.collect()
    np.testing.assert_array_equal(kept.numpy(), Y)  # longer than the model
    del kept
    gc.collect()
    assert not stand_in.memory.sizes


def test_results_in_reserve_are_freed_where_memory_runs_short(stand_in):
    fn = model()
    for n in (5, 1000, 5000):
        fn.run({"x": np.zeros(n, np.float32)}, device=True)
    stand_in.limit = sum(stand_in.memory.sizes.values()) + 1000
    np.testing.assert_array_equal(fn(np.ones(1500, np.float32)), np.full(1500, 2))


def test_what_does_not_fit_is_refused(stand_in):
    fn = model()
    for x, message in {
        Foreign(stand_in, X.astype(np.float64)): r"'x' is f32; an array of float64 on the device",
        Foreign(stand_in, X, number=1): r"'x': it lies on cuda:1; the model runs on cuda:0",
        Foreign(stand_in, X.reshape(1, 5)): r"'x' is \[1, 5\], \[N\] would fit",
        Interface(stand_in, X, strides=(8,)): r"strides are \(2\) elements .* x\.contiguous\(\)",
        Interface(stand_in, X, mask=X): r"it has a mask",
        Interface(stand_in, X, typestr=">f4"): r"in the order of other machines",
        Interface(stand_in, X, typestr="|V3"): r"its elements are \|V3",
    }.items():
        with pytest.raises(lc.InputError, match=message):
            fn(x)
    elsewhere = Interface(stand_in, X)
    stand_in.owners[elsewhere.address] = 1
    with pytest.raises(lc.InputError, match="'x': it lies on cuda:1; the model runs on cuda:0"):
        fn(elsewhere)
    fn.run({"x": Interface(stand_in, X[:1], strides=(400,))})  # of one element: any stride


def test_what_is_not_aligned_is_copied(stand_in):
    fn = model("graph g(x: f32[64]) -> (y) {\n y = Relu(x)\n}")
    x = np.arange(-32, 32, dtype=np.float32)
    y = fn.run({"x": Foreign(stand_in, x, offset=4)}, device=True)["y"]
    np.testing.assert_array_equal(y.numpy(), np.maximum(x, 0))
    assert "cuMemcpyDtoDAsync" in stand_in.calls


def test_host_and_device_inputs_mix(stand_in):
    fn = model("graph g(a: f32[N], b: f32[N], c: f32[N]) -> (y, z) {\n"
               " y = Sub(a, b)\n z = Add(y, c)\n}")  # fmt: skip
    given = {"a": X, "b": Foreign(stand_in, X[::-1].copy()), "c": Interface(stand_in, X)}
    wanted = X - X[::-1]
    for found in (fn.run(given), fn.run(given, device=True), fn.run(given, device=True)):
        y, z = (each if isinstance(each, np.ndarray) else each.numpy() for each in found.values())
        np.testing.assert_array_equal(y, wanted)
        np.testing.assert_array_equal(z, wanted + X)


def test_values_that_decide_shapes_are_read(stand_in):
    fn = model("graph g(x: f32[N], s: i64[2]) -> (y) {\n r = Reshape(x, s)\n y = Relu(r)\n}")
    for shape in ([2, 3], [3, 2], [2, 3]):
        s = Foreign(stand_in, np.array(shape))
        y = fn.run({"x": np.arange(6, dtype=np.float32), "s": s}, device=True)["y"]
        assert y.numpy().shape == tuple(shape)


@pytest.mark.filterwarnings("ignore:.*target cpu runs what")
def test_what_falls_back_goes_through_the_host(stand_in):
    fn = model("graph g(x: f32[2,2]) -> (y) {\n a = Relu(x)\n y = Det(a)\n}")
    x = np.array([[1, 2], [3, 5]], np.float32)
    y = fn.run({"x": Foreign(stand_in, x)}, device=True)["y"]
    np.testing.assert_allclose(y.numpy(), -1)
    np.testing.assert_allclose(fn(Foreign(stand_in, x)), -1)


def test_values_out_of_range_are_told_at_once(stand_in):
    fn = model("graph g(x: f32[7], i: i64[2]) -> (y) {\n y = Gather(x, i)\n}")
    given = {"x": np.arange(7, dtype=np.float32), "i": Foreign(stand_in, np.array([1, 9]))}
    with pytest.raises(lc.InputError, match="9"):
        fn.run(given, device=True)
    given["i"] = Foreign(stand_in, np.array([1, 6]))
    assert fn.run(given, device=True)["y"].numpy().tolist() == [1, 6]


@pytest.mark.parametrize("dtype", ["f16", "bf16", "bool", "i64", "c64", "f4e2m1fn"])
def test_element_types(stand_in, dtype):
    """What neither protocol has is said in its own way."""
    dtype = lc.DType[dtype]
    here = device(0)
    here.enter()
    y = DeviceArray(Blocks(here).take(12 * dtype.itemsize, here.legacy), 0, dtype.value, (3, 4))
    if dtype is lc.DType.f4e2m1fn:
        with pytest.raises(BufferError, match="DLPack has no f4e2m1fn"):
            y.__dlpack__()
    else:
        contents = dlpack.Contents(y.__dlpack__())
        assert (
            contents.dtype == dtype.value and contents.shape == (3, 4) and contents.strides is None
        )
    assert hasattr(y, "__cuda_array_interface__") == (dtype.name not in ("bf16", "f4e2m1fn"))


def test_the_rest_of_the_protocol(stand_in):
    y = model().run({"x": X}, device=True)["y"]
    assert y.__dlpack_device__() == (2, 0)
    for asked in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match=r"\.numpy\(\)"):
            y.__dlpack__(**asked)
    y.__dlpack__(stream=None, max_version=(1, 1), dl_device=(2, 0), copy=False)
    with pytest.raises(ValueError, match="stream 0 is ambiguous"):
        y.__dlpack__(stream=0)
    with pytest.raises((BufferError, RuntimeError), match=r"[Dd]evice"):
        np.from_dlpack(y)


def test_a_model_for_the_cpu_says_what_would_fit(stand_in):
    fn = model(target="cpu")
    for given in ({"device": True}, {"stream": 5}):
        with pytest.raises(lc.InputError, match=r"compiled for cpu.* target='cuda'"):
            fn.run({"x": X}, **given)
    for x, where in ((Foreign(stand_in, X), "cuda:0"), (Interface(stand_in, X), "a CUDA device")):
        with pytest.raises(lc.InputError, match=f"'x' lies on {where}; .* target='cuda'"):
            fn(x)


def test_profiles_take_device_arrays(stand_in):
    profile = model().profile(Foreign(stand_in, X), seconds=0.01)
    assert profile.to_dict()["calls"]


def test_pytorch_takes_capsules():
    """Of the host's memory, for there may be no other: the form is the same."""
    torch = pytest.importorskip("torch")
    held = np.arange(6, dtype=np.float32).reshape(2, 3)
    owner = type("Owner", (), {})()
    gone = weakref.ref(owner)
    tensor = torch.utils.dlpack.from_dlpack(
        dlpack.capsule_of(held.ctypes.data, (1, 0), lc.DType.f32, held.shape, owner)
    )
    del owner
    tensor[0, 1] = 7
    assert held[0, 1] == 7 and gone() is not None

    def leave(tensor):
        raise KeyError("the tensor goes while this is under way")

    with pytest.raises(KeyError):
        leave(tensor[1:])
    del tensor
    assert gone() is None
    contents = dlpack.Contents(torch.zeros(4, 6)[:, ::2].__dlpack__())
    assert contents.shape == (4, 3) and contents.strides == (6, 2)


@pytest.mark.torch
def test_plain_tensors_of_pytorch_need_no_capsule(monkeypatch):
    """What is asked of a tensor, on the host's: -1 is the number of its device."""
    torch = pytest.importorskip("torch")
    asked = []
    monkeypatch.setattr(
        torch._C, "_cuda_getCurrentRawStream", lambda n: asked.append(n) or 0, raising=False
    )
    x = torch.arange(6.0).reshape(2, 3)
    assert plain(x, -1, 1) == (x.data_ptr(), np.float32, (2, 3)) and asked == [-1]
    assert plain(x[:, 1], -1, 1) is None  # gaps
    assert plain(x[1:], -1, 1) == (x.data_ptr() + 12, np.float32, (1, 3))
    for other in (
        x.clone().requires_grad_(),
        torch._neg_view(x),
        x.to_sparse(),
        x.to(torch.complex64),
        torch.nn.Parameter(x),
        x.numpy(),
    ):
        assert plain(other, -1, 1) is None
    assert plain(x, 0, 1) is None  # another device
    assert plain(x, -1, 7) is None  # another stream
    assert plain(x.to(torch.bfloat16), -1, 1)[1] == lc.DType.bf16.value


class Aligned(Foreign):
    """With gaps to any 16 bytes, so that it is copied."""

    def __init__(self, driver, array):
        super().__init__(driver, array, offset=4)


@pytest.mark.parametrize(
    ("function", "doing"),
    [
        ("cuCtxSetCurrent", ""),
        ("cuGraphExecKernelNodeSetParams", "writing addresses of arrays into the graph of a plan"),
        ("cuMemcpyDtoDAsync", "copying on the device"),
        ("cuGraphLaunch", "launching the graph of a plan"),
        ("cuEventRecord", "marking a place in a stream"),
        ("cuMemAlloc", "reserving device memory"),
        ("cuMemcpyDtoH", "copying from the device"),
        ("cuEventSynchronize", "waiting for the device"),
    ],
)
def test_faults_of_the_driver_say_what_was_being_done(stand_in, function, doing):
    """And are forgotten, if the device is not lost."""
    fn = model()
    x = Aligned(stand_in, X)

    def run():
        made = fn.run({"x": x}, device=True)["y"], fn.run({"x": X[:3]}, device=True)["y"]
        return [each.numpy() for each in made]

    stand_in.faults[function] = INVALID_VALUE
    with pytest.raises(DeviceError, match=rf"^cuda:0 \(Stand-in\): {function}, {doing}") as met:
        run()
    assert "CUDA_ERROR_INVALID_VALUE" in str(met.value)
    assert function not in stand_in.faults
    one, two = run()
    np.testing.assert_array_equal(one, Y)
    np.testing.assert_array_equal(two, Y[:3])


@pytest.mark.parametrize("function", ["cuStreamWaitEvent", "cuPointerGetAttribute"])
def test_faults_where_arrays_are_taken(stand_in, function):
    fn = model()
    one, two = new_stream(), new_stream()
    y = fn.run({"x": X}, device=True, stream=one.number)["y"]
    z = Interface(stand_in, X, stream=two.number)
    stand_in.faults[function] = INVALID_VALUE
    with pytest.raises(DeviceError, match=function):
        fn.run({"x": y}, device=True)
        fn.run({"x": z}, device=True)
    np.testing.assert_array_equal(fn(y), 2 * Y)
    np.testing.assert_array_equal(fn(z), Y)


def test_results_of_a_lost_device_say_so(stand_in):
    held = [model()]
    held.append(held[0].run({"x": X}, device=True)["y"])
    fn, y = held
    stand_in.faults["cuEventSynchronize"] = LAUNCH_FAILED
    with pytest.raises(DeviceError, match="the device is lost to this process"):
        y.wait()
    calls = len(stand_in.calls)
    for use in (y.numpy, y.wait, functools.partial(fn, X), functools.partial(fn, y)):
        with pytest.raises(DeviceError, match="lost to this process: cuEventSynchronize, waiting"):
            use()
    held.clear()
    del y, fn, use
    gc.collect()
    assert len(stand_in.calls) == calls  # nothing is freed: the driver would refuse

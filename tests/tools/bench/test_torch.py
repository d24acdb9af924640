"""ONNX ops as PyTorch's functions: what they compute, and what is refused."""

from __future__ import annotations

import pytest

import ir
from layercc.tools.arrays import difference, make_inputs

torch = pytest.importorskip("torch")

from layercc.tools.bench.torch_peers import to_torch  # noqa: E402

pytestmark = pytest.mark.torch
VECTOR, IMAGE, TOKENS = "x: f32[N, 5]", "x: f32[N, 4, 7, 6]", "x: f32[N, 3, 8]"


def check(text: str, tolerance: float = 2e-6) -> None:
    graph = ir.parse_graph(text)
    inputs = make_inputs(graph, sizes={"N": 3}, seed=3)
    module = to_torch(graph, inputs)
    with torch.no_grad():
        made = module(*(torch.from_numpy(inputs[name]) for name in module.input_names))
    wanted = list(ir.interpret(graph, inputs).values())
    assert len(made) == len(wanted)
    for a, b in zip(made, wanted, strict=True):
        assert a.numpy().dtype == b.dtype
        assert difference(a.numpy(), b) <= tolerance, text


UNARY = [
    "Abs", "Neg", "Sign", "Exp", "Sin", "Cos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Erf",
    "Floor", "Ceil", "Round", "Relu", "Sigmoid", "Softplus", "Softsign", "Mish", "HardSwish",
    "LeakyRelu", "Elu", "Celu", "Selu", "HardSigmoid", "Gelu", "Swish", "IsNaN", "Identity",
    "Softmax", "LogSoftmax", "Transpose", "Flatten", "ReduceMean", "ReduceSum", "ReduceMax",
    "ReduceMin", "ReduceL2",
]  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_of_one_tensor(op: str) -> None:
    check(f"graph g({VECTOR}) -> (y) {{ y = {op}(x) }}")


BINARY = [
    "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Equal", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "PRelu",
]  # fmt: skip


@pytest.mark.parametrize("op", BINARY)
def test_of_two_tensors(op: str) -> None:
    check(f"graph g({VECTOR}, z: f32[5]) -> (y) {{ y = {op}(x, z) }}")


BODIES = {
    "integer division": "graph g(x: i64[4]) -> (y) { const k: i64[] = 3\n y = Div(x, k) }",
    "clip": f"graph g({VECTOR}) -> (y) {{ const k: f32[] = 0.5\n y = Clip(x, _, k) }}",
    "cast": f"graph g({VECTOR}) -> (y) {{ y = Cast(x) {{to=7}} }}",
    "concat": f"graph g({VECTOR}, z: f32[N, 2]) -> (y) {{ y = Concat(x, z) {{axis=-1}} }}",
    "split": f"graph g({VECTOR}) -> (a, b) {{ a, b = Split(x) {{axis=1, num_outputs=2}} }}",
    "slice": f"""graph g({IMAGE}) -> (y) {{ const b: i64[2] = [1, -4]\n const e: i64[2] = [9, -1]
        const a: i64[2] = [1, -1]\n const s: i64[2] = [2, 1]\n y = Slice(x, b, e, a, s) }}""",
    "gather": f"graph g({IMAGE}, i: i64[2, 3]) -> (y) {{ y = Gather(x, i) {{axis=2}} }}",
    "embedding": "graph g(w: f32[4, 5], i: i64[N, 2]) -> (y) { y = Gather(w, i) }",
    "select": f"graph g({TOKENS}) -> (y) {{ const i: i64[] = -1\n y = Gather(x, i) {{axis=1}} }}",
    "where": f"graph g({VECTOR}, c: bool[5], z: f32[]) -> (y) {{ y = Where(c, x, z) }}",
    "shape chain": f"""graph g({TOKENS}) -> (y) {{ s = Shape(x) {{end=1}}\n const k: i64[1] = [-1]
        t = Concat(s, k) {{axis=0}}\n y = Reshape(x, t) }}""",
    "unsqueeze, expand": f"""graph g({VECTOR}) -> (y) {{ const a: i64[1] = [1]
        const s: i64[3] = [1, 4, 5]\n u = Unsqueeze(x, a)\n y = Expand(u, s) }}""",
    "pad": f"""graph g({IMAGE}) -> (y) {{ const p: i64[4] = [1, 0, 2, 3]\n const f: f32[] = 2
        const a: i64[2] = [-1, 1]\n y = Pad(x, p, f, a) }}""",
    "pad, reflect": f"""graph g({IMAGE}) -> (y) {{ const p: i64[8] = [0, 0, 1, 2, 0, 0, 3, 0]
        y = Pad(x, p) {{mode="reflect"}} }}""",
    "matmul": f"graph g({TOKENS}, w: f32[8, 5]) -> (y) {{ y = MatMul(x, w) }}",
    "gemm": f"""graph g({VECTOR}, w: f32[7, 5], b: f32[7]) -> (y) {{
        y = Gemm(x, w, b) {{transB=1}} }}""",
    "gemm, scaled": """graph g(x: f32[5, N], w: f32[5, 7], b: f32[N, 1]) -> (y) {
        y = Gemm(x, w, b) {transA=1, alpha=0.5, beta=2.0} }""",
    "einsum": f"""graph g({TOKENS}, w: f32[8, 5]) -> (y) {{
        y = Einsum(x, w) {{equation="nth,hk->nkt"}} }}""",
    "conv": f"""graph g({IMAGE}) -> (y) {{ const w: f32[6, 2, 3, 2] = random(0)
        const b: f32[6] = random(1)
        y = Conv(x, w, b) {{group=2, strides=[2, 1], pads=[1, 1, 1, 1], dilations=[1, 2]}} }}""",
    "conv, uneven": f"""graph g({IMAGE}) -> (y) {{ const w: f32[6, 4, 3, 3] = random(0)
        y = Conv(x, w) {{auto_pad="SAME_UPPER", strides=[2, 2]}} }}""",
    "conv of one dim": """graph g(x: f32[N, 4, 9]) -> (y) { const w: f32[6, 4, 3] = random(0)
        y = Conv(x, w) {pads=[2, 2]} }""",
    "transposed conv": f"""graph g({IMAGE}) -> (y) {{ const w: f32[4, 2, 3, 3] = random(0)
        y = ConvTranspose(x, w) {{strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0]}} }}""",
    "max pool": f"""graph g({IMAGE}) -> (y) {{
        y = MaxPool(x) {{kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]}} }}""",
    "max pool, uneven": f"""graph g({IMAGE}) -> (y) {{
        y = MaxPool(x) {{kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"}} }}""",
    "average pool": f"""graph g({IMAGE}) -> (y) {{
        y = AveragePool(x) {{kernel_shape=[3, 3], pads=[1, 1, 1, 1]}} }}""",
    "global pool": f"""graph g({IMAGE}) -> (y, z) {{ y = GlobalAveragePool(x)
        z = GlobalMaxPool(x) }}""",
    "batch norm": f"""graph g({IMAGE}) -> (y) {{ const s: f32[4] = random(0)
        const b: f32[4] = random(1)\n const v: f32[4] = fill(0.5)
        y = BatchNormalization(x, s, b, b, v) }}""",
    "layer norm": f"""graph g({TOKENS}) -> (y, z) {{ const s: f32[8] = random(0)
        y = LayerNormalization(x, s, s)\n z = RMSNormalization(x, s) }}""",
    "group norm": f"""graph g({IMAGE}) -> (y, z) {{ const s: f32[4] = random(0)
        y = GroupNormalization(x, s, s) {{num_groups=2}}\n z = InstanceNormalization(x, s, s) }}""",
    "lrn": f"graph g({IMAGE}) -> (y) {{ y = LRN(x) {{size=3, alpha=0.1}} }}",
    "reduce": f"""graph g({IMAGE}) -> (y) {{ const a: i64[2] = [1, -1]
        y = ReduceMean(x, a) {{keepdims=0}} }}""",
    "attention": """graph g(q: f32[N, 4, 3, 8], k: f32[N, 2, 5, 8], v: f32[N, 2, 5, 6]) -> (y) {
        y = Attention(q, k, v) }""",
    "attention, packed": """graph g(q: f32[N, 3, 8], m: f32[3, 3]) -> (y) {
        y = Attention(q, q, q, m) {q_num_heads=2, kv_num_heads=2, scale=0.3} }""",
    "lstm": """graph g(x: f32[5, N, 4]) -> (y, c) { const w: f32[1, 12, 4] = random(0)
        const r: f32[1, 12, 3] = random(1)\n y, _, c = LSTM(x, w, r) {hidden_size=3} }""",
    "lstm, both ways": """graph g(x: f32[5, N, 4], h: f32[2, N, 3]) -> (y, h1) {
        const w: f32[2, 12, 4] = random(0)\n const r: f32[2, 12, 3] = random(1)
        const b: f32[2, 24] = random(2)
        y, h1 = LSTM(x, w, r, b, _, h, h) {hidden_size=3, direction="bidirectional",
        activations=["Sigmoid", "Tanh", "Tanh", "Sigmoid", "Tanh", "Tanh"]} }""",
    "causal attention": """graph g(q: f32[N, 2, 5, 8]) -> (y) {
        y = Attention(q, q, q) {is_causal=1} }""",
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_of_more(name: str) -> None:
    check(BODIES[name], 1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"graph g({VECTOR}) -> (y) {{ y = Hardmax(x) }}", "no PyTorch form of Hardmax is known"),
        (
            f"""graph g({IMAGE}) -> (y, i) {{ y, i = MaxPool(x) {{kernel_shape=[2, 2]}} }}""",
            "MaxPool 'y': MaxPool with indices or an overlap has no PyTorch form here",
        ),
        (
            f"""graph g({IMAGE}) -> (y) {{
            y = MaxPool(x) {{kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1}} }}""",
            "an overlap",
        ),
        (
            f"""graph g({VECTOR}) -> (y) {{ const b: i64[1] = [-1]\n const e: i64[1] = [-9]
            const a: i64[1] = [1]\n y = Slice(x, b, e, a, b) }}""",
            "Slice 'y': Slice with negative steps",
        ),
        (
            """graph g(x: f32[5, 2, 4]) -> (y) { const w: f32[1, 12, 4] = random(0)
            const r: f32[1, 12, 3] = random(1)
            y = LSTM(x, w, r) {hidden_size=3, direction="reverse"} }""",
            "LSTM with these attributes or inputs",
        ),
        (
            """graph g(x: f32[5, 2, 4], w: f32[1, 12, 4]) -> (y) {
            const r: f32[1, 12, 3] = random(1)\n y = LSTM(x, w, r) {hidden_size=3} }""",
            "LSTM 'y': its weights must be constants",
        ),
    ],
)
def test_what_has_no_form_is_refused(text: str, said: str) -> None:
    graph = ir.parse_graph(text)
    with pytest.raises(ir.UnsupportedError, match=said):
        to_torch(graph, make_inputs(graph))

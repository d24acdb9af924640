"""Models and profiles for tests of the page."""

from __future__ import annotations

from typing import Any

import ir
from ir.cost import node_costs
from ir.inference import infer
from layercc.passes import run_passes

_LAYERS = """
  const stem.w: f32[16, 3, 3, 3] = fill(0.1)
  const bn.gamma: f32[16] = fill(0.5)
  const bn.beta: f32[16] = fill(0.1)
  const bn.mean: f32[16] = fill(0.2)
  const bn.var: f32[16] = fill(0.9)
  const block.conv1.w: f32[16, 16, 3, 3] = fill(0.1)
  const block.conv2.w: f32[16, 16, 3, 3] = fill(0.1)
  const head.w: f32[{features}, 10] = fill(0.1)
  const head.b: f32[10] = fill(0.1)
  stem.y = Conv(image, stem.w) {{pads=[1, 1, 1, 1]}} @"/stem/conv/Conv"
  stem.n = BatchNormalization(stem.y, bn.gamma, bn.beta, bn.mean, bn.var)
    @"/stem/bn/BatchNormalization"
  stem.r = Relu(stem.n) @"/stem/act/Relu"
  b.c1 = Conv(stem.r, block.conv1.w) {{pads=[1, 1, 1, 1]}} @"/block/conv1/Conv"
  b.r1 = Relu(b.c1) @"/block/act/Relu"
  b.c2 = Conv(b.r1, block.conv2.w) {{pads=[1, 1, 1, 1]}} @"/block/conv2/Conv"
  b.sum = Add(b.c2, stem.r) @"/block/Add"
  pooled = MaxPool(b.sum) {{kernel_shape=[2, 2], strides=[2, 2]}} @"/pool/MaxPool"
  dead = Relu(pooled) @"/debug/Relu"
  flat = Flatten(pooled) {{axis=1}} @"/head/Flatten"
  product = MatMul(flat, head.w) @"/head/fc/MatMul"
  logits = Add(product, head.b) @"/head/fc/Add"
"""
_INTERFACE = "graph classifier(image: f32[N, 3, 32, 32]) -> (logits: f32[N, 10])"
_ONE_LINE = _LAYERS.replace('\n    @"', ' @"')

#: Names with paths, a batch normalisation that is folded away, a shortcut, a node nobody needs.
CLASSIFIER = f"{_INTERFACE} {{{_ONE_LINE.format(features=4096)}}}"
#: The same, made for smaller images.
BAD = f"{_INTERFACE} {{{_ONE_LINE.format(features=1024)}}}"

#: Names that are HTML, scripts, ends of scripts, separators of lines, very long.
HOSTILE = (
    r"""
graph "</script><script>document.title='owned'</script>"(
    "<img src=x onerror=document.title='owned'>": f32[2, 4]) -> ("\"><svg onload=1>": f32[2, 4]) {
  const "<!-- <script>": f32[4] = [1, 2, 3, 4]
  "a\u2028b" = Add("<img src=x onerror=document.title='owned'>", "<!-- <script>")
    @"<b>bold</b>/<i>x</i>/__proto__"
  "constructor" = Relu("a\u2028b") @"<b>bold</b>/<i>x</i>/constructor"
  "\"><svg onload=1>" = Sigmoid("constructor") @"javascript:alert(1)//LONG"
}""".replace("LONG", "x" * 300)
    .replace("\n    @", " @")
    .replace("(\n    ", "(")
)

#: A loop, the body of which reads what is around it.
LOOP = """
graph looping(x: f32[2, 4], trips: i64[]) -> (y: f32[2, 4]) {
  const w: f32[4, 4] = fill(1)
  const go: bool[] = true
  y = Loop(trips, go, x) body (i: i64[], c: bool[], carried: f32[2, 4]) -> (c2, next) {
    c2: bool[] = Identity(c)
    product: f32[2, 4] = MatMul(carried, w)
    next: f32[2, 4] = Relu(product)
  }
}"""


def with_caches(layers: int = 12) -> ir.Graph:
    """Many inputs and outputs, as models have that keep what they have seen."""
    kind = "f32[2, 4]"
    inputs = ", ".join(f"past.{i}: {kind}" for i in range(layers))
    outputs = ", ".join(f"present.{i}: {kind}" for i in range(layers))
    lines = [
        f"  present.{i} = Add(y.{i}, past.{i})\n  y.{i + 1} = Relu(present.{i})\n"
        for i in range(layers)
    ]
    interface = f"(y.0: {kind}, {inputs}) -> ({outputs}, y.{layers}: {kind})"
    return ir.parse_graph(f"graph caches{interface} {{\n{''.join(lines)}}}")


def without_paths(layers: int = 60) -> ir.Graph:
    """A model of the builder, the names of which have no paths."""
    from layercc.layers import Dense, Input, ReLU, Sequential

    made: list[Any] = [Input((16,))]
    for _ in range(layers):
        made += [Dense(16), ReLU()]
    return Sequential(made, name="sequential")


def sample_profile(graph: ir.Graph, threads: int = 2) -> dict[str, Any]:
    """What a profile of `graph` may look like, as plain data: a call for each node that does
    something after passes, which takes as long as a made-up machine would. Dims must be known."""
    optimized = run_passes(graph)
    costs = node_costs(optimized, infer(optimized))
    calls: list[dict[str, Any]] = []
    events, memory = [], []
    clock, offset = 2e-6, 0
    for node in optimized.nodes:
        flops, nbytes = int(costs[node.name].flops), int(costs[node.name].bytes)
        if not nbytes:
            continue
        least = max(flops / 1e11, nbytes / 2e10)
        seconds = least * (1.2 + 0.7 * (len(calls) % 3)) + 1e-6
        index = len(calls)
        for thread in range(threads):
            end = clock + seconds * (1 - 0.1 * thread)
            events.append({"call": index, "thread": thread, "start": clock, "end": end, "tasks": 4})
        size = int(optimized.types[node.outputs[0]].nbytes)
        memory.append(
            {"name": node.name, "bytes": size, "offset": offset, "first": index, "last": index + 1}
        )
        offset = 0 if index % 2 else size
        calls.append(
            {
                "node": node.name,
                "layer": node.name,
                "sources": [node.name],
                "op": node.own_op,
                "kind": "contraction" if flops > nbytes else "pointwise",
                "kernel": f"kernel_{node.own_op.lower()}",
                "algorithm": "direct" if flops > nbytes else "",
                "shape_class": "",
                "tasks": 8,
                "start": clock,
                "seconds": seconds,
                "p90": seconds * 1.1,
                "flops": flops,
                "bytes": nbytes,
                "limit_share": least / seconds,
            }
        )
        clock += seconds + 2e-7
    for block in memory:
        block["last"] = min(block["last"], len(calls) - 1)
    whole = sum(call["seconds"] for call in calls)
    for call in calls:
        call["share"] = call["seconds"] / whole
    return {
        "graph": graph.name,
        "device": "a made-up machine",
        "threads": threads,
        "inputs": {value.name: [int(dim) for dim in value.shape] for value in graph.inputs},
        "seconds": clock,
        "accounted": whole / clock,
        "runs": 100,
        "limits": {
            "flops": {"f32": 1e11, "f64": 5e10},
            "bytes_per_second": {"L1": 4e11, "L2": 1.5e11, "memory": 2e10},
        },
        "arena_bytes": max((block["offset"] + block["bytes"] for block in memory), default=0),
        "constant_bytes": sum(array.nbytes for array in optimized.constants.values()),
        "calls": calls,
        "layers": [],
        "kinds": [],
        "memory": memory,
        "events": events,
    }

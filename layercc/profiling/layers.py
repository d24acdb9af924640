"""Names of layers: the modules that the author of a model wrote, from the names of its nodes."""

from __future__ import annotations

from collections.abc import Mapping


def layer_of(node: str, layers: Mapping[str, str]) -> str:
    """The dotted path of the layer that a node is part of.

    `layers` has the names of all nodes, and the layers of those for which the model says it, "" for
    the others. Of these, the name tells. Exporters put the path before the op, with slashes:
    `/encoder/layer.0/attention/MatMul` of PyTorch, which repeats the name of a list of modules
    (`/layer1/layer1.0/conv1/Conv` is of `layer1.0.conv1`), `model/conv/Conv2D` of TensorFlow. In
    layercc's builder, a layer's last node has its name, and the others have something behind it
    (`dense.mat_mul` is of `dense`). Any other node is a layer by itself.
    """
    if layers.get(node):
        return layers[node]
    if "/" in node.strip("/"):
        path: list[str] = []
        for part in node.strip("/").split("/")[:-1]:
            if path and part.startswith(f"{path[-1]}."):
                path.pop()
            path.append(part)
        return ".".join(path)
    prefix = node.rpartition(".")[0]
    while prefix:
        if prefix in layers:
            return prefix
        prefix = prefix.rpartition(".")[0]
    return node.strip("/")

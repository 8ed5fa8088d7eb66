"""A small network as plain tensors, so that a law can be made of it and it can be saved."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, relu


def layers(
    sizes: tuple[int, ...], generator: torch.Generator, name: str = "layer"
) -> dict[str, Tensor]:
    """The tensors of a network with ReLU between its layers, drawn as `torch.nn.Linear` does.

        W, b ~ U(-1, 1) / sqrt(inputs)

    Args:
        sizes: inputs, hidden layers, outputs.
        generator: what they are drawn from.
        name: how the tensors are called: `NAME.0.weight`, `NAME.0.bias`, and so on.
    """
    found = {}
    for index, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        for what, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            drawn = 2 * torch.rand(shape, generator=generator) - 1
            found[f"{name}.{index}.{what}"] = drawn / inputs**0.5
    return found


def apply(
    tensors: Mapping[str, Tensor], x: Float[Tensor, "rows inputs"], name: str = "layer"
) -> Float[Tensor, "rows outputs"]:
    """What the network says.

    Args:
        tensors: as `layers` names them; there may be others among them.
        x: its inputs.
        name: as in `layers`.
    """
    count = depth(tensors, name)
    for index in range(count):
        x = linear(x, tensors[f"{name}.{index}.weight"], tensors[f"{name}.{index}.bias"])
        x = x if index + 1 == count else relu(x)
    return x


def with_gradient(
    tensors: Mapping[str, Tensor], x: Float[Tensor, "rows inputs"], name: str = "layer"
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows inputs"]]:
    """What a network with one output says, and its gradient by the inputs, without autograd.

        h_i = relu(W_i h_{i-1} + b_i),    g_{i-1} = W_i' (g_i * [h_i > 0])

    It works where gradients are switched off, as they are while a model generates.

    Args:
        tensors: as `layers` names them.
        x: its inputs.
        name: as in `layers`.
    """
    count, h, open_ = depth(tensors, name), x, list[Tensor]()
    for index in range(count):
        h = linear(h, tensors[f"{name}.{index}.weight"], tensors[f"{name}.{index}.bias"])
        if index + 1 < count:
            h = relu(h)
            open_.append(h > 0)
    g = tensors[f"{name}.{count - 1}.weight"].expand(len(x), -1)
    for index in range(count - 2, -1, -1):
        g = torch.where(open_[index], g, 0.0) @ tensors[f"{name}.{index}.weight"]
    return h[:, 0], g


def depth(tensors: Mapping[str, Tensor], name: str = "layer") -> int:
    """How many layers there are.

    Args:
        tensors: as `layers` names them.
        name: as there.
    """
    return sum(1 for key in tensors if key.startswith(f"{name}.") and key.endswith(".weight"))

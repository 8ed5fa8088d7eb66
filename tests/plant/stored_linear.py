"""Linear layers whose weight is not a floating-point tensor, as quantisers make them."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class Int8Linear(nn.Module):
    """`y = x (s q)' + b` with q in int8, one scale a row; its `weight` has no floating dtype."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        scale = plain.weight.detach().abs().amax(1, keepdim=True) / 127
        self.weight = nn.Parameter((plain.weight / scale).round().to(torch.int8), False)
        self.register_buffer("scale", scale)
        self.bias = plain.bias

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        return self.weight.to(dtype) * self.scale.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.dequantised(x.dtype), self.bias)


class Packed4BitLinear(nn.Module):
    """Two weights a byte in a flat buffer, and no `weight` at all."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        scale = plain.weight.detach().abs().amax(1, keepdim=True) / 7
        whole = (plain.weight.detach() / scale).round().to(torch.int8) + 8
        self.shape = tuple(whole.shape)
        low, high = whole.reshape(-1, 2).to(torch.uint8).unbind(1)
        self.register_buffer("packed", low | (high << 4))
        self.register_buffer("scale", scale)
        self.bias = plain.bias

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        pairs = torch.stack([self.packed & 15, self.packed >> 4], dim=1)
        return (pairs.to(dtype) - 8).reshape(self.shape) * self.scale.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.dequantised(x.dtype), self.bias)


def stored(model: Any, kind: type[Int8Linear] | type[Packed4BitLinear]) -> Any:
    """A copy of the model whose linear layers are stored so."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, kind(child))
    return model


def dequantised(model: Any) -> Any:
    """A copy with plain linear layers of the weights that are really multiplied by."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Int8Linear | Packed4BitLinear):
                weight = child.dequantised(torch.float32)
                plain = nn.Linear(*weight.shape[::-1], bias=child.bias is not None)
                plain.weight = nn.Parameter(weight)
                plain.bias = child.bias
                setattr(parent, name, plain)
    return model

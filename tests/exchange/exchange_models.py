"""A tiny model under plain forward hooks: what other tools do, written out without any of ours."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

Models = Callable[[str], PreTrainedModel]
BLOCKS, WIDTH = 3, 32
IDS = torch.arange(6, 22).view(2, 8)


def random_vectors(*blocks: int, seed: int = 0) -> dict[int, Tensor]:
    """A vector of no particular length for each of the blocks."""
    seeded = torch.Generator().manual_seed(seed)
    return {block: torch.randn(WIDTH, generator=seeded) for block in blocks}


@contextmanager
def added(layers: Any, vectors: Mapping[int, Tensor], to: str) -> Iterator[None]:
    """`to="output"` or `"input"` of the layers of these numbers, at every token."""

    def output(vector: Tensor) -> Any:
        def hook(module: Any, args: Any, found: Any) -> Any:
            return (found[0] + vector, *found[1:]) if isinstance(found, tuple) else found + vector

        return hook

    def entering(vector: Tensor) -> Any:
        return lambda module, args: (args[0] + vector, *args[1:])

    handles = [
        layers[k].register_forward_hook(output(v))
        if to == "output"
        else layers[k].register_forward_pre_hook(entering(v))
        for k, v in vectors.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def logits_with(model: Any, vectors: Mapping[int, Tensor], to: str = "output") -> Tensor:
    """Logits of a llama with vectors added to its layers."""
    with added(model.model.layers, vectors, to):
        return model(IDS).logits


@torch.no_grad()
def logits_under(model: Any, steering: Any, target: float = 1.0) -> Tensor:
    """Logits of the same model under a steering."""
    with steering.attach(model, target):
        return model(IDS).logits

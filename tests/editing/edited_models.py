"""Pairs for tiny models, and what the maps of a block take in and put out, read by plain hooks."""

from typing import Any

import torch
from tiny_models import tiny_model

import steersman as sm
from steersman.plant import HookSet, encode, hidden_in, hidden_out, locate

PAIRS = sm.ContrastivePairs(
    desired=["happy warm cat", "good red cat sat", "big warm", "the good dog ran on"],
    undesired=["sad cold cat", "bad blue cat sat", "small cold", "the bad dog ran on"],
)
HEADS, WIDTH = 4, 32


def double(model_type: str) -> Any:
    return tiny_model(model_type).double()


def read(model: Any, tokenizer: Any, texts: Any, path: str) -> dict[str, torch.Tensor]:
    """Of every block, at the last token of each text on its own: means over the texts.

    Input and output of the map at `path`, and the residual stream at the block's input.
    """
    blocks = locate(model).modules
    found: dict[str, list[list[torch.Tensor]]] = {"in": [], "out": [], "x": []}
    for text in texts:
        row: dict[str, list[torch.Tensor]] = {"in": [], "out": [], "x": []}
        with HookSet() as hooks, torch.no_grad():
            for block in blocks:
                module = block.get_submodule(path)
                hooks.before(block, lambda a, k, r=row: r["x"].append(hidden_in(a, k)[0, -1]))
                hooks.before(module, lambda a, k, r=row: r["in"].append(a[0][0, -1]))
                hooks.after(module, lambda a, k, o, r=row: r["out"].append(hidden_out(o)[0, -1]))
            model(input_ids=encode(tokenizer, [text]).input_ids)
        for name, values in row.items():
            found[name].append(values)
    return {
        name: torch.stack([torch.stack(values) for values in rows]).mean(0)
        for name, rows in found.items()
    }


def map_of(model: Any, block: int, path: str) -> torch.Tensor:
    """`W`, `(n, in)`, whatever the layout of the module."""
    module = locate(model).modules[block].get_submodule(path)
    weight = module.weight.detach()
    return weight if isinstance(module, torch.nn.Linear) else weight.T

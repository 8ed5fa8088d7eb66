"""What every method costs a generated token: each fitted, and attached as it is by default.

As in `overhead`, two models that share their weights take turns token by token. A part is one
method at one size, so an interrupted run goes on with the next method. The plant is a random one
near the identity, an autoencoder has random weights, trained methods are trained for one epoch:
only shapes count here.
"""

import copy
import tempfile
import warnings
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from overhead import in_turn
from parts import Cell, Parts
from random_llama import random_llama
from timing import columns, ratios, spread
from torch import Tensor

import steersman as sm
from steersman.autoencoders import SparseAutoencoder, write_sae
from steersman.control import LTVSystem
from steersman.errors import SteersmanError
from steersman.methods import METHODS, Method
from steersman.windtunnel import behaviour, load

ENCODER = "the product with all features of an autoencoder, of which topk takes the k largest"
WHY = {
    "angular": "the unsteered run of each token, whose angle the turn is measured from",
    "clamp": "none: relative to the unsteered token it is a plan",
    "cylinder": "an affine map of the state, and its angle to an axis",
    "great-circle": "the angle of each state, and its sines",
    "guiding-giants": "a network of 1024 units over the states of a few blocks",
    "langfir-ablation": ENCODER,
    "lf-steering": ENCODER,
    "manifold": "the place on a spline, between its knots",
    "odesteer": "ten gradients of a classifier at one block",
    "one-sided-clamp": "the unsteered run of each token, which it is measured from",
    "pre-control": "thirty steps of Adam, each the gradient of a network at one block",
    "riser": "a network of 64 units at one block",
    "sae-clamp": ENCODER,
    "selective": "an angle and its sines at every block that tells the sides apart",
    "step-odesteer": "one gradient of a classifier at one block",
    "tracking": "the unsteered run of each token, whose states it goes on from",
}
"""What in a method's own mathematics takes time, where it is more than a few products a block."""

SETTINGS: dict[str, dict[str, Any]] = {
    "langfir": {"consistent": 0.5, "random": 0.95},
    "langfir-ablation": {"consistent": 0.5, "random": 0.95},
    "grains": {"steps": 1},
}
"""What lets a method find features among random ones, or saves time where it is fitted."""

WIDER, ACTIVE = 8, 32
"""How many features the autoencoder has for each dimension, and how many of them at a token."""


def parts(config: dict[str, Any]) -> Parts:
    """Every method at every size; all of them, where none is named."""
    return {
        f"{name}, n = {n}, batch {batch}": partial(_cells, config, name, n, batch)
        for n in config["widths"]
        for batch in config["batches"]
        for name in config.get("methods", METHODS)
    }


def summary(config: dict[str, Any], cells: list[Cell]) -> list[Cell]:
    """Of every size the methods in the order of what they cost."""
    keys = ("n", "batch", "method", "overhead_percent", "microseconds_more", "why", "failed")
    rows = [{key: cell.get(key) for key in keys} for cell in cells]
    found: list[Cell] = sorted(
        rows,
        key=lambda row: (row["n"], row["batch"], (row["overhead_percent"] or {}).get("median", 0)),
    )
    return found


def _cells(config: dict[str, Any], name: str, n: int, batch: int) -> list[Cell]:
    cell: Cell = {"method": name, "n": n, "batch": batch, "why": WHY.get(name)}
    model, other = _models(n, config["blocks"], config["vocabulary"])
    try:
        steering = fitted(other, name, config["pairs"])
    except SteersmanError as error:
        print(f"{name}: {error}", flush=True)
        return [{**cell, "failed": str(error)}]
    ids = _ids(config["vocabulary"], batch, config["prompt"])
    attached = steering.attach(other, 1.0, tokens="last", trace=False)
    before, after = in_turn(model, other, attached, ids, config["new_tokens"])
    more = [100 * (r - 1) for r in ratios(after, before)["processor"]]
    gap = [1e6 * (a.processor - b.processor) for a, b in zip(after, before, strict=True)]
    cell["overhead_percent"], cell["microseconds_more"] = spread(more), spread(gap)
    cell["unsteered_seconds"] = columns(before)["processor"]
    cell["seconds"] = columns(after)["processor"]
    middle = cell["overhead_percent"]["median"]
    print(
        f"{name:22} {middle:7.2f} % more time, {cell['microseconds_more']['median']:7.0f} us",
        flush=True,
    )
    return [cell]


def fitted(model: Any, name: str, pairs: int) -> sm.Steering:
    """The method by its defaults, fitted on a few pairs.

    Args:
        model: a model whose vocabulary holds the embedded model's.
        name: of the method.
        pairs: how many.
    """
    _, tokenizer = load()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        method = _set(METHODS[name], model, Path(folder))
        return sm.fit(
            *(model, tokenizer, behaviour("toxicity").pairs(seed=0, count=pairs)),
            method=method,
            jacobian_prompts=plant(model) if method.plant != "none" else None,
            progress=False,
        )


def _set(method: type[Method], model: Any, folder: Path) -> Method:
    """By its defaults, but trained for one epoch, and by an autoencoder of random weights."""
    given: dict[str, Any] = dict(SETTINGS.get(method.name, {}))
    if "epochs" in {field.name for field in fields(method)}:  # type: ignore[arg-type]
        given["epochs"] = 1
    if method.needs_autoencoder:
        given["autoencoder"] = str(write_sae(autoencoder(model), folder / "autoencoder"))
    return method(**given)


def autoencoder(model: Any) -> SparseAutoencoder:
    """A random TopK one of what leaves the block in the middle."""
    n, state = model.config.hidden_size, model.config.num_hidden_layers // 2
    features, generator = WIDER * n, torch.Generator().manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(features, n, generator=generator), dim=1)
    bias = {"b_enc": torch.zeros(features)}
    weights = (W_dec.T.clone(), W_dec, torch.zeros(n))
    return SparseAutoencoder("topk", *weights, bias, k=ACTIVE, state=state)


def plant(model: Any) -> LTVSystem:
    """A random plant of the model's size, each block near the identity."""
    blocks, n = model.config.num_hidden_layers, model.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    return LTVSystem(torch.eye(n) + 0.3 * torch.randn(blocks, n, n, generator=generator) / n**0.5)


@cache
def _models(n: int, blocks: int, vocabulary: int) -> tuple[Any, Any]:
    """Two that share their weights."""
    model = random_llama(n, blocks, vocabulary)
    return model, copy.deepcopy(model, {id(weights): weights for weights in model.parameters()})


def _ids(vocabulary: int, batch: int, prompt: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(vocabulary, (batch, prompt), generator=generator)

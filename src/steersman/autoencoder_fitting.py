"""A sparse autoencoder of one block's states, where none can be had for a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.autoencoders import Quality, SparseAutoencoder, quality, write_sae
from steersman.errors import InputError
from steersman.plant import AllTokens, Example, input_device, locate, pad_id, tokenize
from steersman.training import Bench, History, Parameters, Training, Written, train

HELD_OUT = 10
"""One of so many texts is kept to measure on."""
AUXILIARY = 1 / 32
"""What reviving features counts beside the reconstruction, as published."""


@dataclass(frozen=True, eq=False)
class FittedAutoencoder:
    """An autoencoder with what became of it.

    Args:
        sae: the autoencoder.
        quality: on texts that were held out.
        history: the losses of the training.
    """

    sae: SparseAutoencoder
    quality: Quality
    history: History

    def save(self, folder: str | Path) -> Path:
        """Write it as SAELens does; methods take the folder as their `autoencoder`.

        Args:
            folder: where to.

        Raises:
            InputError: it cannot be written there.
        """
        return write_sae(self.sae, folder)


def fit_autoencoder(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[Example],
    *,
    block: int,
    width: int,
    k: int,
    epochs: int = 10,
    batch_size: int = 512,
    rate: float = 1e-3,
    seed: int = 0,
    texts_at_once: int = 16,
    progress: bool = True,
) -> FittedAutoencoder:
    """Train a TopK autoencoder on what leaves one block, at every token that stands for text.

        x^ = b_dec + W_dec' topk( W_enc' (x - b_dec) + b_enc ),    rows of W_dec of length 1
        loss = sum |x - x^|^2 / sum |x - mean x|^2  +  revival / 32

    Features that are never among the `k` largest get no gradient and stay dead; the revival lets
    the largest of those that a batch leaves out explain what the others missed of it. The decoder
    starts as random rows, the encoder as its transpose, the bias as the mean state. States are
    scaled to a mean square of 1 for the training, and the scale is folded into the weights.

    Args:
        model: the loaded model; it is not changed.
        tokenizer: its tokenizer.
        texts: what the states are read from; every tenth is held out. Use a few million tokens for
            a large model, as their states take: all are kept in memory.
        block: whose output, 0-based.
        width: how many features there are.
        k: how many there are at a time.
        epochs: how often each state is seen.
        batch_size: states a step.
        rate: the learning rate; it rises over the first steps and falls to zero along a cosine.
        seed: of the start and the order.
        texts_at_once: texts at a time while states are read.
        progress: say how long it will take, and show how far it is.

    Returns:
        The autoencoder in float32, on the CPU, with what it explains of the held-out texts.

    Raises:
        InputError: too few texts, no such block, or an impossible width or k.
        NumericalError: a loss that is not finite.

    Source:
        Scaling and Evaluating Sparse Autoencoders (arXiv 2406.04093). There features count as dead
        after millions of tokens without them; here those that a batch leaves out are revived.
    """
    if not 1 <= k <= width:
        raise InputError(f"k is {k} and width {width}; expected 1 <= k <= width.")
    seen, held = _states(model, tokenizer, texts, block, texts_at_once)
    scale = float(seen.square().mean().sqrt())
    x = seen / scale
    home = input_device(locate(model))
    start = {name: tensor.to(home) for name, tensor in _start(x, width, seed).items()}
    settings = Training(epochs, batch_size, rate, warmup=100, clip=1.0, held_out=0.0, seed=seed)
    loss = _Loss(x, k)
    found = train(
        start, loss, len(x), settings, project=_unit, name="autoencoder", progress=progress
    )
    sae = _folded(found.parameters, scale, k, block)
    return FittedAutoencoder(sae, quality(sae, held), found.history)


def _states(
    model: nn.Module, tokenizer: Any, texts: Sequence[Example], block: int, batch_size: int
) -> tuple[Float[Tensor, "tokens n"], Float[Tensor, "held n"]]:
    """What leaves the block, of the texts to learn from and of those held out."""
    blocks = locate(model)
    if not 0 <= block < len(blocks):
        raise InputError(f"block is {block}; the model has blocks 0 .. {len(blocks) - 1}.")
    tokens = tokenize(tokenizer, texts, max_length=blocks.context)
    examples = [Written(one.ids, 1, AllTokens().select(one)) for one in tokens]
    bench = Bench(model, pad_id(tokenizer), tuple(examples), (), False, batch_size=batch_size)
    sides = examples[::HELD_OUT], [one for i, one in enumerate(examples) if i % HELD_OUT]
    held, seen = (
        torch.cat(bench.tokens(some, block)) if some else torch.empty(0, blocks.n) for some in sides
    )
    if len(held) < 2 or not len(seen):
        raise InputError(
            f"{len(texts)} texts are too few: every tenth is held out, and the others are learnt "
            "from."
        )
    return seen, held


def _start(x: Float[Tensor, "tokens n"], width: int, seed: int) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    W = nn.functional.normalize(torch.randn(width, x.shape[1], generator=drawn), dim=1)
    return {
        "W_enc": W.mT.contiguous(),
        "W_dec": W,
        "b_enc": torch.zeros(width),
        "b_dec": x.mean(0),
    }


def _unit(parameters: Parameters, share: float) -> Parameters:
    return parameters | {"W_dec": nn.functional.normalize(parameters["W_dec"], dim=1)}


@dataclass(frozen=True, eq=False)
class _Loss:
    """The loss of some states, by their numbers."""

    x: Float[Tensor, "tokens n"]
    k: int

    def __call__(self, p: Parameters, rows: Tensor, drawn: torch.Generator) -> Tensor:
        x = self.x[rows].to(p["W_enc"])
        z = (x - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
        a = _largest(z, self.k)
        e = x - a @ p["W_dec"] - p["b_dec"]
        whole = (x - x.mean(0)).square().sum().clamp(min=torch.finfo(x.dtype).tiny)
        return e.square().sum() / whole + AUXILIARY * _revival(p, z, a, e.detach())


def _largest(z: Float[Tensor, "rows features"], k: int) -> Float[Tensor, "rows features"]:
    """The `k` largest of each row, those above zero; zeros elsewhere."""
    kept = z.topk(min(k, z.shape[1]), dim=1)
    return torch.zeros_like(z).scatter(1, kept.indices, kept.values.relu())


def _revival(
    p: Parameters,
    z: Float[Tensor, "rows features"],
    a: Float[Tensor, "rows features"],
    e: Float[Tensor, "rows n"],
) -> Float[Tensor, ""]:
    """`sum |e - e^|^2 / sum |e|^2`, `e^` made of features that no state of the batch has."""
    dead = ~(a > 0).any(0)
    if not bool(dead.any()):
        return e.new_zeros(())
    some = _largest(z[:, dead], max(1, z.shape[1] // 16))
    left = e - some @ p["W_dec"][dead]
    return left.square().sum() / e.square().sum().clamp(min=torch.finfo(e.dtype).tiny)


def _folded(p: Parameters, scale: float, k: int, block: int) -> SparseAutoencoder:
    """The autoencoder of the states as they are: `a` and `b_dec` are as much larger."""
    p = {name: tensor.detach().cpu() for name, tensor in p.items()}
    return SparseAutoencoder(
        "topk",
        *(p["W_enc"], p["W_dec"], scale * p["b_dec"], {"b_enc": scale * p["b_enc"]}),
        k=k,
        state=block + 1,
        said={"hook_name": f"blocks.{block}.hook_resid_post"},
    )

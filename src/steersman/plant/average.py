"""The plant as the mean over prompts, known by its products alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from steersman.plant.blocks import locate
from steersman.plant.chat import Example
from steersman.plant.identify import tokenize_prompts
from steersman.plant.linearize import Linearization, linearize

COLUMNS = 8
"""Columns that one product takes at a time: a feature's design asks for one to T of them."""


@dataclass(frozen=True, eq=False)
class Averaged:
    """Products with the mean Jacobian of every block, which itself is never formed.

        A_t' W = (1 / P) sum_p A_t^p' W

    Args:
        runs: the blocks around the last token of each prompt.
        progress: show a progress bar for every product.
    """

    runs: tuple[Linearization, ...]
    progress: bool = False

    @property
    def blocks(self) -> int:
        """The number of blocks, T."""
        return len(self.runs[0].blocks)

    @property
    def n(self) -> int:
        """Width of the residual stream."""
        return self.runs[0].blocks.n

    def vjp(self, block: int, w: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t' w`, on the CPU."""
        return self._mean([run.vjp(block, w).cpu() for run in self._each(f"block {block}")])

    def jvp(self, block: int, v: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t v`, on the CPU."""
        return self._mean([run.jvp(block, v).cpu() for run in self._each(f"block {block}")])

    def _each(self, what: str) -> "tqdm[Linearization]":
        return tqdm(self.runs, desc=what, unit="prompt", leave=False, disable=not self.progress)

    def _mean(self, products: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(products)).mean(dim=0)


def average(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Example],
    *,
    chunk: int = COLUMNS,
    max_length: int | None = None,
    progress: bool = False,
) -> Averaged:
    """Linearise the blocks at the last token of every prompt.

    The keys and values of all prompts are held at once, and no matrix of the model's width is made.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        tokenizer: its tokenizer; only read.
        prompts: P texts or conversations.
        chunk: columns that a product takes at a time.
        max_length: the longest prompt allowed, in tokens; the model's context when None.
        progress: show progress bars, now and for every product.

    Raises:
        InputError: no prompts, or one that cannot be used.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or cannot be called again.
    """
    tokens = tokenize_prompts(tokenizer, prompts, locate(model), max_length)
    runs = [
        linearize(model, torch.tensor([one.ids]), chunk=chunk)
        for one in tqdm(tokens, desc="linearise", unit="prompt", disable=not progress)
    ]
    return Averaged(tuple(runs), progress)

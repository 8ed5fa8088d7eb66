"""The plant as the mean over prompts, known by its products alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from steersman.plant.blocks import locate
from steersman.plant.chat import Example
from steersman.plant.identify import agreed, tokenize_prompts, working_dtype
from steersman.plant.linearize import Linearization, linearize
from steersman.plant.processes import Processes, ProcessGroup

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

    def _each(self, what: str) -> Iterable[Linearization]:
        if not self.progress:  # a bar that nobody sees takes its time all the same
            return self.runs
        shown: Iterable[Linearization] = tqdm(self.runs, desc=what, unit="prompt", leave=False)
        return shown

    def _mean(self, products: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(products)).mean(dim=0)


@dataclass(frozen=True, eq=False)
class SharedAverage:
    """Products with the mean Jacobian of every block, whose prompts several processes hold.

        A_t' W = sum_r (P_r / P) A_rt' W        A_rt the mean over the P_r prompts of process r

    Every process asks for the same products in the same order and gets the same bits: the columns
    that count are those of the first one.

    Args:
        processes: those that share it.
        own: the prompts of this one; None where there are fewer prompts than processes.
        prompts: how many there are in all, P.
        blocks: the number of blocks, T.
        n: width of the residual stream.
        dtype: of the products.
    """

    processes: Processes
    own: Averaged | None
    prompts: int
    blocks: int
    n: int
    dtype: torch.dtype

    def vjp(self, block: int, w: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t' w`, on the CPU.

        Raises:
            MismatchError: the processes do not ask for the same product.
            ProcessError: another process failed, died or was silent.
        """
        return self._sum(f"product A'w of block {block}", w, lambda own, w: own.vjp(block, w))

    def jvp(self, block: int, v: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t v`, on the CPU.

        Raises:
            MismatchError: the processes do not ask for the same product.
            ProcessError: another process failed, died or was silent.
        """
        return self._sum(f"product A v of block {block}", v, lambda own, v: own.jvp(block, v))

    def _sum(
        self, name: str, columns: Tensor, product: Callable[[Averaged, Tensor], Tensor]
    ) -> Tensor:
        with self.processes.together():
            self.processes.require_same("product", f"{name} {tuple(columns.shape)} {columns.dtype}")
            asked = columns.cpu().clone(memory_format=torch.contiguous_format)
            self.processes.copy_from_first(asked)
            part = torch.zeros(columns.shape, dtype=self.dtype)
            if self.own is not None:
                part = product(self.own, asked) * (len(self.own.runs) / self.prompts)
            self.processes.step()
        return self.processes.sum(part)


def average(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Example],
    *,
    chunk: int = COLUMNS,
    max_length: int | None = None,
    progress: bool = False,
    group: ProcessGroup | None = None,
) -> Averaged | SharedAverage:
    """Linearise the blocks at the last token of every prompt.

    The keys and values of all prompts are held at once, and no matrix of the model's width is made.
    Processes of an initialised `torch.distributed` group that all make the same call hold a share
    of the prompts each; they then ask for all products together.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        tokenizer: its tokenizer; only read.
        prompts: P texts or conversations.
        chunk: columns that a product takes at a time.
        max_length: the longest prompt allowed, in tokens; the model's context when None.
        progress: show progress bars in the first process, now and for every product.
        group: the processes that share the prompts, as `identify` takes it.

    Raises:
        InputError: no prompts, or one that cannot be used.
        MismatchError: the processes were not given the same model and prompts.
        ProcessError: another process failed, died, or was silent for the group's timeout.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or cannot be called again.
    """
    processes = Processes.of(model, group).connected()
    shown = progress and processes.first
    with processes.together():
        blocks = locate(model)
        tokens = tokenize_prompts(tokenizer, prompts, blocks, max_length)
        if processes.count > 1:
            agreed(processes, model, tokens)
        mine = tokens[processes.rank :: processes.count]
        runs = [
            linearize(model, torch.tensor([one.ids]), chunk=chunk)
            for one in tqdm(mine, desc="linearise", unit="prompt", disable=not shown)
        ]
        processes.step()
    own = Averaged(tuple(runs), shown) if runs else None
    if own and processes.count == 1:
        return own
    dtype = working_dtype(model)
    return SharedAverage(processes, own, len(tokens), len(blocks), blocks.n, dtype)

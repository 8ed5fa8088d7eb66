"""Captures under way: examples in batches, and forward passes that pool chosen tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from steersman.errors import ArchitectureError, InputError, NumericalError
from steersman.plant.blocks import Blocks, locate
from steersman.plant.chat import Example
from steersman.plant.forward import forward_arguments, input_device, require_evaluation
from steersman.plant.hooks import HookSet, hidden_in, hidden_out
from steersman.plant.positions import Positions
from steersman.plant.sites import Sites, at_tokens
from steersman.plant.tokens import Encoded, Tokens, pad, pad_id, tokenize


class CaptureJob:
    """The examples of one capture, tokenised, with what was selected in each."""

    def __init__(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[Example],
        rule: Positions,
        prompts: Sequence[str] | None,
        max_length: int | None,
    ) -> None:
        """Tokenise, and choose the tokens."""
        self.blocks = locate(model)
        self.pad_id = pad_id(tokenizer)
        limit = max_length if max_length is not None else self.blocks.context
        self.tokens = tokenize(tokenizer, texts, max_length=limit, prompts=prompts)
        self.chosen = _select(self.tokens, rule)

    def batches(self, size: int, progress: bool) -> Iterator[tuple[list[int], Encoded]]:
        """Which examples are in each batch, and the batch."""
        if not self.tokens or size < 1:
            raise InputError(f"{len(self.tokens)} examples in batches of {size}: give at least one")
        # Examples of like length together, longest first: least padding, and memory fails early.
        order = sorted(range(len(self.tokens)), key=lambda i: -len(self.tokens[i]))
        device = input_device(self.blocks)
        with tqdm(total=len(order), desc="capture", unit="ex", disable=not progress) as bar:
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                # Padding on the right cannot reach a causal model's real tokens at all.
                rows = [self.tokens[i] for i in batch]
                yield batch, pad(rows, self.pad_id, device=device, side="right")
                bar.update(len(batch))


@dataclass(frozen=True, eq=False)
class Pool:
    """Gathers chosen tokens and averages them in groups, so that padding is never touched."""

    rows: Tensor
    columns: Tensor
    groups: Tensor
    counts: Tensor

    @classmethod
    def mean(cls, encoded: Encoded, chosen: Sequence[Sequence[int]]) -> "Pool":
        """One mean a row."""
        rows, columns = _places(encoded, chosen)
        return cls(rows, columns, rows, torch.tensor([len(some) for some in chosen]))

    @classmethod
    def each(cls, encoded: Encoded, chosen: Sequence[Sequence[int]]) -> "Pool":
        """Every chosen token by itself."""
        rows, columns = _places(encoded, chosen)
        return cls(rows, columns, torch.arange(len(rows)), torch.ones(len(rows), dtype=torch.int64))

    def __call__(self, x: Tensor) -> Tensor:
        """The groups' means, `(groups, width)`, of what is `(rows, length, width)`."""
        picked = x[self.rows.to(x.device), self.columns.to(x.device)]
        picked = picked.to(torch.promote_types(x.dtype, torch.float32))
        total = picked.new_zeros(len(self.counts), x.shape[-1])
        total.index_add_(0, self.groups.to(x.device), picked)
        return total / self.counts.to(x.device)[:, None]


def _places(encoded: Encoded, chosen: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    starts = encoded.starts.tolist()
    rows = torch.tensor([row for row, some in enumerate(chosen) for _ in some])
    columns = torch.tensor([starts[row] + i for row, some in enumerate(chosen) for i in some])
    return rows, columns


def pooled_states(
    model: nn.Module, blocks: Blocks, encoded: Encoded, pool: Pool, sites: Sites | None = None
) -> tuple[Float[Tensor, "groups states n"], Float[Tensor, "groups blocks width"] | None]:
    """Run one batch and pool the states x_0 .. x_T, and what the blocks hold at a site.

    Args:
        model: a transformers model in evaluation mode; only read.
        blocks: its blocks.
        encoded: the batch, padded on any side.
        pool: which tokens are gathered.
        sites: which place inside the blocks is read as well; None reads none.

    Returns:
        Both on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: the model is in training mode.
        ArchitectureError: a block or its site did not run.
    """
    require_evaluation(model)
    states: dict[int, Tensor] = {}
    parts: dict[int, Tensor] = {}

    def before(t: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states[t] = pool(hidden_in(args, kwargs))

    def after(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        states[len(blocks)] = pool(hidden_out(output))

    def take(t: int, z: Tensor) -> None:
        parts[t] = pool(at_tokens(z, *encoded.input_ids.shape))

    with HookSet() as hooks, torch.no_grad():
        for t, module in enumerate(blocks.modules):
            hooks.before(module, partial(before, t))
        hooks.after(blocks.modules[-1], after)
        if sites is not None:
            sites.look(hooks, take)
        model(**forward_arguments(model, encoded))
    found = _in_order(states, len(blocks) + 1, f"states of {blocks.path}")
    if sites is None:
        return found, None
    return found, _in_order(parts, len(blocks), f"{sites.site} of the blocks")


def _in_order(seen: dict[int, Tensor], count: int, what: str) -> Tensor:
    missing = [t for t in range(count) if t not in seen]
    if missing:
        raise ArchitectureError(f"{what}: {missing} were not seen in a forward")
    return torch.stack([seen[t].cpu() for t in range(count)], dim=1)


def _select(tokens: Sequence[Tokens], rule: Positions) -> list[tuple[int, ...]]:
    chosen = [rule.select(one) for one in tokens]
    empty = [i for i, some in enumerate(chosen) if not some]
    if empty:
        raise InputError(
            f"the position rule {rule.name!r} selects no token in {len(empty)} of {len(tokens)} "
            f"examples; the first is example {empty[0]}: {tokens[empty[0]].text[:80]!r}"
        )
    return chosen


def require_finite(
    states: Float[Tensor, "groups states n"],
    numbers: Sequence[int],
    what: str = "example",
    site: Sites | None = None,
) -> None:
    """Refuse states that are not finite.

    Args:
        states: what was read; of a site a row for each block.
        numbers: what each group is the number of.
        what: that is.
        site: where it was read; None is the residual stream.

    Raises:
        NumericalError: names the first one and its block.
    """
    finite = states.isfinite().all(-1)
    if finite.all():
        return
    row, t = (int(i) for i in (~finite).nonzero()[0])
    last = states.shape[1] - 1
    place = f"state {t}, the input of block {t}"
    if site is not None:
        place = f"the {site.site} of block {t}"
    elif t == last:
        place = f"state {t}, the output of block {t - 1}"
    raise NumericalError(
        f"{what} {numbers[row]}: {place}, is not finite: check the weights, or load "
        "the model in bfloat16 or float32 if it is in float16"
    )

"""Record the residual stream: x_0 .. x_T at chosen tokens, whatever the padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from steersman.errors import ArchitectureError, InputError, NumericalError
from steersman.plant.blocks import Blocks, locate
from steersman.plant.chat import Example
from steersman.plant.forward import forward_arguments, input_device, require_evaluation
from steersman.plant.hooks import HookSet, hidden_in, hidden_out
from steersman.plant.positions import LastToken, Positions
from steersman.plant.sites import Sites, at_tokens
from steersman.plant.tokens import Encoded, Tokens, pad, pad_id, tokenize


@dataclass(frozen=True, eq=False)
class TokenStates:
    """States of single tokens, in the order of the examples and of the tokens in them.

    Args:
        states: x_0 .. x_T of each token.
        example: which example each token is in.
        position: which token of its example it is, counted without padding.
    """

    states: Float[Tensor, "tokens states n"]
    example: Int[Tensor, " tokens"]
    position: Int[Tensor, " tokens"]


def capture_states(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    positions: Positions | None = None,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> Float[Tensor, "examples states n"]:
    """Read the states x_0 .. x_T of every example, averaged over the tokens a rule selects.

    x_t is the residual stream at the input of block t; x_T is the output of the last block, before
    the final norm. How the examples are batched and padded does not matter. A steering attached to
    the model is in force.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        texts: N texts or conversations.
        positions: where to read; the last token when None.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        max_length: the longest example allowed, in tokens; the model's context when None.
        progress: show a progress bar.

    Returns:
        States of shape (N, T + 1, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a state is not finite; the message names the example and the block.
        ArchitectureError: the blocks are not found, or one of them did not run.
    """
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, max_length)
    return _means(model, job, None, batch_size, progress)[0]


def capture_with_sites(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    positions: Positions | None,
    sites: Sites,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> tuple[Float[Tensor, "examples states n"], Float[Tensor, "examples blocks width"]]:
    """As `capture_states`, and in the same pass what each block holds at a site.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        texts: N texts or conversations.
        positions: where to read; the last token when None.
        sites: which place inside the blocks is read as well.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        max_length: the longest example allowed, in tokens; the model's context when None.
        progress: show a progress bar.

    Returns:
        The states, and `(N, T, width)` at the site, both on the CPU.

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a number is not finite; the message names the example and the block.
        ArchitectureError: the blocks are not found, or one of them or its site did not run.
    """
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, max_length)
    states, parts = _means(model, job, sites, batch_size, progress)
    assert parts is not None
    return states, parts


def _means(
    model: nn.Module, job: "CaptureJob", sites: Sites | None, batch_size: int, progress: bool
) -> tuple[Tensor, Tensor | None]:
    """The mean of every example, of the states and at a site."""
    captured: dict[int, Tensor] = {}
    parts: dict[int, Tensor] = {}
    for batch, encoded in job.batches(batch_size, progress):
        pool = Pool.mean(encoded, [job.chosen[i] for i in batch])
        states, found = _forward(model, job.blocks, encoded, pool, sites)
        _require_finite(states, batch)
        captured.update(zip(batch, states, strict=True))
        if found is not None:
            _require_finite(found, batch, site=sites)
            parts.update(zip(batch, found, strict=True))
    order = range(len(job.tokens))
    whole = torch.stack([captured[i] for i in order])
    return whole, torch.stack([parts[i] for i in order]) if parts else None


def capture_tokens(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    positions: Positions | None = None,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    max_length: int | None = None,
    progress: bool = False,
) -> TokenStates:
    """Read the states x_0 .. x_T of every single token a rule selects: `capture_states` unaveraged.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        texts: texts or conversations.
        positions: where to read; the last token when None.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        max_length: the longest example allowed, in tokens; the model's context when None.
        progress: show a progress bar.

    Returns:
        The states and the place of each, on the CPU; memory grows with the tokens selected.

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a state is not finite; the message names the example and the block.
        ArchitectureError: the blocks are not found, or one of them did not run.
    """
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, max_length)
    captured: dict[int, Tensor] = {}
    for batch, encoded in job.batches(batch_size, progress):
        chosen = [job.chosen[i] for i in batch]
        states, _ = _forward(model, job.blocks, encoded, Pool.each(encoded, chosen))
        _require_finite(states, [i for i in batch for _ in job.chosen[i]])
        parts = torch.split(states, [len(some) for some in chosen])
        captured.update(zip(batch, parts, strict=True))
    order = range(len(job.tokens))
    return TokenStates(
        states=torch.cat([captured[i] for i in order]),
        example=torch.tensor([i for i in order for _ in job.chosen[i]]),
        position=torch.tensor([p for i in order for p in job.chosen[i]]),
    )


def capture_batch(
    model: nn.Module, blocks: Blocks, encoded: Encoded, chosen: Sequence[Sequence[int]]
) -> Float[Tensor, "rows states n"]:
    """Read the states of one batch: for each row the mean over its chosen tokens.

    Args:
        model: a transformers model in evaluation mode; only read.
        blocks: its blocks.
        encoded: the batch, padded on any side.
        chosen: for each row the indices of tokens, counted without padding; at least one.

    Returns:
        States of shape (rows, T + 1, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: the model is in training mode.
        ArchitectureError: a block did not run.
    """
    return _forward(model, blocks, encoded, Pool.mean(encoded, chosen))[0]


def capture_sequence(
    model: nn.Module, input_ids: Int[Tensor, "1 length"], chosen: Sequence[int]
) -> Float[Tensor, "tokens states n"]:
    """Read the states of single tokens of one sequence. A steering attached to it is in force.

    Args:
        model: a transformers model in evaluation mode; only read.
        input_ids: one sequence without padding.
        chosen: indices of tokens; at least one.

    Returns:
        States of shape (tokens, T + 1, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: the model is in training mode.
        NumericalError: a state is not finite; the message names the token and the block.
        ArchitectureError: the blocks are not found, or one of them did not run.
    """
    blocks = locate(model)
    ids = input_ids.to(input_device(blocks))
    encoded = Encoded(ids, torch.ones_like(ids))
    states, _ = _forward(model, blocks, encoded, Pool.each(encoded, [chosen]))
    _require_finite(states, list(chosen), "token")
    return states


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


def _forward(
    model: nn.Module, blocks: Blocks, encoded: Encoded, pool: Pool, sites: Sites | None = None
) -> tuple[Tensor, Tensor | None]:
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


def _require_finite(
    states: Tensor, numbers: Sequence[int], what: str = "example", site: Sites | None = None
) -> None:
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

"""ThinkEdit: the heads that write most against a direction do not write along it any more.

v_t    = unit(mean desired - mean undesired)     of the residual stream behind attention t
c_th   = -v_t' W_th abar_th                      abar: mean output of head h, undesired examples
W_th   <- (I - w v_t v_t') W_th                  for the heads with the largest c
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.compiling import Base, Change, WeightDelta
from steersman.data import AlignedPairs, ContrastivePairs
from steersman.editing.reading import head_width, matrix, outer, plain_writers, read_both, unit
from steersman.errors import ArchitectureError, InputError
from steersman.plant import Positions
from steersman.plant.writer_means import WriterMeans
from steersman.plant.writers import Writer, writers
from steersman.reading import Examples


@dataclass(frozen=True)
class ThinkEdit:
    """How many heads are edited, and how much.

    Args:
        share: of all heads, which are edited: those that write most against the direction on the
            undesired examples; above 0, at most 1.
        weight: `w`, 1 to take all of it out, 2 to turn it round.

    Raises:
        InputError: a number out of its range.

    Source:
        ThinkEdit (EMNLP 2025) and its code: desired are long thoughts, undesired ones short. It
        edits 20, 40, 80 and 160 heads of models with 1.5, 8, 14 and 32 billion parameters, about
        4 % of the heads by its code and about 2 % by its abstract; the default is 4 %. Whether the
        bias that an attention projection may have is edited it does not say: here it is not, as
        it belongs to no head.
    """

    share: float = 0.04
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}; expected above 0 and at most 1.")

    def edit(
        self,
        model: nn.Module,
        tokenizer: Any,
        pairs: ContrastivePairs | AlignedPairs,
        positions: str | Positions | None = None,
        *,
        batch_size: int = 16,
        progress: bool = True,
    ) -> WeightDelta:
        """The edits that make the model less like the undesired examples.

        Args:
            model: a transformers model in evaluation mode; only read.
            tokenizer: its tokenizer.
            pairs: the examples.
            positions: where they are read; the last token, or the continuations of aligned pairs,
                where None. The paper reads all tokens of the thought: "response".
            batch_size: examples at a time.
            progress: show how far it is.

        Returns:
            The change. It is a method of its own and no steering is equal to it: `exact` is false.

        Raises:
            ArchitectureError: the attention's projections are not found, or are normed.
        """
        found = writers(model)
        some = plain_writers(found, "attention")
        means = read_both(
            model,
            tokenizer,
            some,
            Examples.of(pairs, positions),
            batch_size=batch_size,
            progress=progress,
        )
        maps = [matrix(model, writer) for writer in some]
        directions, contributions = [], []
        for t, (writer, W) in enumerate(zip(some, maps, strict=True)):
            desired, undesired = (
                _behind(one, writer, t) for one in (means.desired, means.undesired)
            )
            directions.append(unit(desired - undesired))
            inputs = means.undesired.inputs[writer.name]
            head_width(W, found.heads, writer.name)
            contributions.append(written(W, inputs, -directions[-1], found.heads))
        chosen = strongest(torch.stack(contributions), self.share)
        changes: dict[str, Change] = {}
        for t, (writer, W) in enumerate(zip(some, maps, strict=True)):
            if bool(chosen[t].any()):
                kept = chosen[t].repeat_interleave(W.shape[1] // found.heads).to(W)
                factors = -self.weight * (directions[t] @ W) * kept
                changes[writer.name] = outer(writer, directions[t], factors)
        reason = f"{int(chosen.sum())} of {chosen.numel()} heads edited"
        return WeightDelta(changes, Base.of(model), False, reason, "thinkedit")


def written(
    W: Float[Tensor, "n inputs"],
    inputs: Float[Tensor, " inputs"],
    along: Float[Tensor, " n"],
    heads: int,
) -> Float[Tensor, " heads"]:
    """How much each head writes along a direction on average.

    Args:
        W: the output projection.
        inputs: the mean output of all heads, side by side.
        along: the direction.
        heads: how many there are.
    """
    return ((along @ W) * inputs).reshape(heads, -1).sum(dim=1)


def strongest(
    contributions: Float[Tensor, "blocks heads"], share: float
) -> Float[Tensor, "blocks heads"]:
    """Ones for the heads with the largest contributions, a share of all, at least one."""
    count = max(1, round(share * contributions.numel()))
    chosen = torch.zeros(contributions.numel(), dtype=contributions.dtype)
    chosen[contributions.flatten().topk(count).indices] = 1.0
    return chosen.reshape(contributions.shape)


def _behind(means: WriterMeans, writer: Writer, block: int) -> Float[Tensor, " n"]:
    """The mean residual stream behind a block's attention.

    Raises:
        ArchitectureError: what the attention puts out is not added as it is.
    """
    if writer.reach.gain is None:
        raise ArchitectureError(
            f"what {writer.name} puts out is normed before it is added, so the stream behind it is "
            "not known from it: this method is for models that add it as it is."
        )
    return means.states[block] + writer.reach.gain * means.outputs[writer.name]

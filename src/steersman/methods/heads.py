"""Attention heads, which lie side by side in what their output projection takes in."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from steersman.diagnostics import Diagnostic
from steersman.errors import InputError
from steersman.methods.evidence import AtSite


def by_head(
    at: AtSite, method: str
) -> tuple[Float[Tensor, "desired sites size"], Float[Tensor, "undesired sites size"]]:
    """What every head of every block puts out, both sides; block by block, head after head.

    Args:
        at: what the blocks hold at the site of their heads.
        method: who asks.

    Raises:
        InputError: it is no site of heads.
    """
    if not at.heads:
        raise InputError(f"{method} acts on attention heads; where it was read there are none.")
    desired, undesired = (
        side.reshape(len(side), side.shape[1] * at.heads, -1) for side in (at.desired, at.undesired)
    )
    return desired, undesired


def side_by_side(each: Float[Tensor, "sites size"], blocks: int) -> Float[Tensor, "blocks width"]:
    """The same numbers as the blocks hold them.

    Args:
        each: of every head, as `by_head` orders them.
        blocks: of how many blocks.
    """
    return each.reshape(blocks, -1)


def marked(chosen: Sequence[int], each: Float[Tensor, "sites size"]) -> Float[Tensor, "sites 1"]:
    """One at the chosen heads, zero at the others.

    Args:
        chosen: heads counted through all blocks.
        each: as many rows as there are heads.

    Raises:
        InputError: one that does not exist.
    """
    wrong = sorted(set(chosen) - set(range(len(each))))
    if wrong:
        raise InputError(f"heads {wrong} do not exist; the model has 0 .. {len(each) - 1}.")
    acts = each.new_zeros(len(each), 1)
    acts[list(chosen)] = 1
    return acts


def heads_table(
    chosen: Sequence[int], scores: Float[Tensor, " sites"], heads: int, what: str
) -> Diagnostic:
    """Which heads were chosen, for the record.

    Args:
        chosen: heads counted through all blocks.
        scores: by which they were chosen.
        heads: how many each block has.
        what: the scores are.
    """
    rows = tuple((one // heads, one % heads, round(float(scores[one]), 4)) for one in chosen)
    told = f"{len(rows)} of {len(scores)} attention heads"
    return Diagnostic("Heads", told, ("block", "head", what), rows)

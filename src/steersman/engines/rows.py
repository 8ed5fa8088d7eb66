"""Which rows of a batch belong to which prompts."""

import torch
from torch import Tensor

from steersman.engines.window import Window
from steersman.errors import InputError


def copies_of(batch: int, prompts: int | None) -> int:
    """How many rows each prompt has; as many as there are where prompts are not told apart.

    Raises:
        InputError: the rows are no multiple of the prompts.
    """
    if prompts is None:
        return batch
    if batch % prompts:
        raise InputError(
            f"the steering names {prompts} prompts; a batch of {batch} rows is no multiple of it"
        )
    return batch // prompts


def rows_of(rows: tuple[int, ...] | None, copies: int, window: Window) -> Tensor | None:
    """The rows of some prompts, each with its copies; None for all of them."""
    if rows is None:
        return None
    every = [row * copies + copy for row in rows for copy in range(copies)]
    return torch.tensor(every, dtype=torch.long, device=window.valid.device)

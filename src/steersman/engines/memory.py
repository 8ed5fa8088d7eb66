"""What is remembered of every row from one pass to the next, in step with the caller's cache."""

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


class RowMemory:
    """A tensor that has an entry for every row and column of the sequence so far.

    A column is a place in the padded sequence. Rows go where generation takes those of its cache.
    """

    def __init__(self) -> None:
        """Remember nothing."""
        self.kept: Shaped[Tensor, "rows columns *entry"] | None = None

    def forget(self) -> None:
        """A new sequence begins."""
        self.kept = None

    def read(self, first: int, count: int) -> Shaped[Tensor, "rows count *entry"] | None:
        """So many columns from `first` on; those not known yet are as the last known one."""
        if self.kept is None:
            return None
        last = self.kept.shape[1] - 1
        columns = torch.arange(first, first + count, device=self.kept.device).clamp(max=last)
        return self.kept[:, columns]

    def write(self, first: int, entries: Shaped[Tensor, "rows new *entry"]) -> None:
        """Set the columns from `first` on; those behind are forgotten.

        Args:
            first: the first column that is written; there is none beyond the known ones.
            entries: one for each row and new column.
        """
        before = None if self.kept is None else self.kept[:, :first]
        self.kept = entries if before is None else torch.cat([before.to(entries), entries], dim=1)

    def reorder_cache(self, beam_idx: Int[Tensor, " rows"]) -> None:
        """Row `i` becomes what row `beam_idx[i]` was."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Int[Tensor, " chosen"]) -> None:
        """Only these rows go on."""
        if self.kept is not None:
            self.kept = self.kept.index_select(0, indices.to(self.kept.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row goes on as so many."""
        if self.kept is not None:
            self.kept = self.kept.repeat_interleave(repeats, dim=0)

    def crop(self, max_length: int) -> None:
        """Keep so many columns, or all but so many where the number is negative."""
        if self.kept is not None:
            self.kept = self.kept[:, :max_length]

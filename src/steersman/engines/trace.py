"""What a steered run did: feature, setpoint, error and effort by block and token."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steersman.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of a feature in one sequence of tokens, `(rows, blocks, tokens)`, NaN at padding.

    Features and setpoints are projections on the unit direction of each block; `natural` gives
    them in natural units.

    Args:
        feature: `v_t' x_t` at the input of each block.
        setpoint: where the law wanted it; NaN for a plan, which has no reference at run time.
        effort: `|u_t|`, the length of what was added at the output of each block, for all features
            of the steering together.
        steered: which tokens the gate let through, `(rows, tokens)`.
        ids: token ids where known, `(rows, tokens)`.
        norm: one natural unit of each block, `(blocks,)`.
        origin: the feature at target 0, `(blocks,)`.
        name: what the feature is called.
        final: the feature after the last block, with everything added to it, `(rows, tokens)`; None
            where it was not watched.
        nominal: the feature of the unsteered run of the same tokens at `x_0 .. x_T`, `(rows,
            states, tokens)`, of which the last row is NaN where `final` is None; None where there
            was no unsteered run, as for a plan.
        fired: which rows' prompts met the steering's condition, `(rows,)`; None where it has none.
    """

    feature: Float[Tensor, "rows blocks tokens"]
    setpoint: Float[Tensor, "rows blocks tokens"]
    effort: Float[Tensor, "rows blocks tokens"]
    steered: Bool[Tensor, "rows tokens"]
    ids: Int[Tensor, "rows tokens"] | None
    norm: Float[Tensor, " blocks"]
    origin: Float[Tensor, " blocks"]
    name: str = "feature"
    final: Float[Tensor, "rows tokens"] | None = None
    nominal: Float[Tensor, "rows states tokens"] | None = None
    fired: Bool[Tensor, " rows"] | None = None

    @property
    def error(self) -> Float[Tensor, "rows blocks tokens"]:
        """Setpoint minus feature."""
        return self.setpoint - self.feature

    def natural(
        self, values: Float[Tensor, "rows blocks tokens"]
    ) -> Float[Tensor, "rows blocks tokens"]:
        """Projections in natural units: 0 where undesired examples sit, 1 where desired ones do.

        NaN at a block where the examples do not differ at all, which has no unit.
        """
        unit = self.norm.where(self.norm > 0, torch.nan)
        return (values - self.origin[:, None]) / unit[:, None]

    def plot(self, row: int = 0) -> "Figure":
        """Feature against setpoint by block, and error and effort by block and token.

        Args:
            row: which row of the batch.

        Raises:
            MissingExtraError: matplotlib is not installed.
            InputError: there is no such row.
        """
        from steersman.plots import trace_figure

        if not 0 <= row < len(self.feature):
            raise InputError(f"row {row} does not exist; the trace has {len(self.feature)} rows.")
        setpoint = self.natural(self.setpoint)[row]
        feature = self.natural(self.feature)[row]
        return trace_figure(feature, setpoint, self.effort[row], self.steered[row])

    def to_html(self, path: str | Path, row: int = 0) -> Path:
        """Write the figure of `plot` as one self-contained page.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from steersman.plots import figure_page

        return figure_page(self.plot(row), Path(path), "A steered run")

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
    """The record of one sequence of tokens, `(rows, blocks, tokens)`, NaN at padding.

    Features and setpoints are projections on the unit direction of each block; `natural` gives
    them in natural units.

    Args:
        feature: `v_t' x_t` at the input of each block.
        setpoint: where the law wanted it; NaN for a plan, which has no reference at run time.
        effort: `|u_t|`, the length of what was added at the output of each block.
        steered: which tokens the gate let through, `(rows, tokens)`.
        ids: token ids where known, `(rows, tokens)`.
        norm: one natural unit of each block, `(blocks,)`.
        origin: the feature at target 0, `(blocks,)`.
    """

    feature: Float[Tensor, "rows blocks tokens"]
    setpoint: Float[Tensor, "rows blocks tokens"]
    effort: Float[Tensor, "rows blocks tokens"]
    steered: Bool[Tensor, "rows tokens"]
    ids: Int[Tensor, "rows tokens"] | None
    norm: Float[Tensor, " blocks"]
    origin: Float[Tensor, " blocks"]

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


class Recorder:
    """Collects a trace while the model runs: tensors stay on their device until it is read.

    Args:
        norm: one natural unit of each block.
        origin: the feature at target 0.
    """

    def __init__(self, norm: Tensor, origin: Tensor) -> None:
        """Start empty."""
        self._norm, self._origin = norm, origin
        blocks = len(norm)
        self._feature: list[list[Tensor]] = [[] for _ in range(blocks)]
        self._setpoint: list[list[Tensor | None]] = [[] for _ in range(blocks)]
        self._effort: list[list[Tensor]] = [[] for _ in range(blocks)]
        self._steered: list[Tensor] = []
        self._valid: list[Tensor] = []
        self._ids: list[Tensor | None] = []

    def tokens(self, steered: Tensor, valid: Tensor, ids: Tensor | None) -> None:
        """The tokens of a pass, `(rows, new)`."""
        self._steered.append(steered)
        self._valid.append(valid)
        self._ids.append(ids)

    def block(
        self,
        block: int,
        feature: Tensor,
        setpoint: Tensor | None,
        effort: Tensor,
        skip: int = 0,
    ) -> None:
        """What one block showed for the tokens of a pass, each `(rows, length)`.

        A plan has no setpoint. The effort is what the law would do at every token; the gate is
        applied on reading.

        Args:
            block: which.
            feature: `v_t' x_t`.
            setpoint: where it was wanted.
            effort: `|u_t|`.
            skip: columns at the front that an earlier pass has recorded.
        """
        if skip:
            feature, effort = feature[:, skip:], effort[:, skip:]
            setpoint = None if setpoint is None else setpoint[:, skip:]
        self._feature[block].append(feature)
        self._setpoint[block].append(setpoint)
        self._effort[block].append(effort)

    def trace(self) -> Trace:
        """The record so far.

        Raises:
            InputError: nothing has run yet.
        """
        if not self._steered or not self._feature[0]:
            raise InputError("nothing was recorded: run the model inside the `with` block first.")
        whole = len(self._feature[-1])
        valid = torch.cat(self._valid[:whole], dim=1).cpu()
        ids = [part for part in self._ids[:whole] if part is not None]
        steered = torch.cat(self._steered[:whole], dim=1).cpu()
        effort = _stack(self._effort, valid, whole)
        return Trace(
            feature=_stack(self._feature, valid, whole),
            setpoint=_stack(_filled(self._setpoint, self._feature), valid, whole),
            effort=effort.where(steered[:, None] | ~valid[:, None], 0.0),
            steered=steered,
            ids=torch.cat(ids, dim=1).cpu() if len(ids) == whole else None,
            norm=self._norm.cpu(),
            origin=self._origin.cpu(),
        )


def _filled(setpoints: list[list[Tensor | None]], like: list[list[Tensor]]) -> list[list[Tensor]]:
    """NaN wherever there was no setpoint."""
    return [
        [f.new_full(f.shape, torch.nan) if s is None else s for s, f in zip(*pair, strict=True)]
        for pair in zip(setpoints, like, strict=True)
    ]


def _stack(parts: list[list[Tensor]], valid: Tensor, passes: int) -> Tensor:
    joined = [torch.cat([p.detach().float().cpu() for p in b[:passes]], dim=1) for b in parts]
    stacked = torch.stack(joined, dim=1)
    return stacked.masked_fill(~valid[:, None, :], float("nan"))

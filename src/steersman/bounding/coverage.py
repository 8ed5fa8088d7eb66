"""How often a bound holds on prompts that it was not made from, and how tight it is there."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.bounding.band import Band, band_named
from steersman.estimates import mean_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CoverageRow(NamedTuple):
    """What a report says about one band.

    Attributes:
        name: of the band.
        pairs: the share of (prompt, state) pairs at which it held.
        pairs_se: its standard error over prompts.
        runs: the share of prompts at which it held at every state.
        tightness: the median of bound / error over the pairs.
    """

    name: str
    pairs: float
    pairs_se: float
    runs: float
    tightness: float


@dataclass(frozen=True, eq=False)
class Coverage:
    """The errors of held-out prompts against the bands.

    Args:
        bands: the bands.
        errors: `|v_t' d_t|` in natural units, the largest over a prompt's tokens, `(prompts,
            states)`.
        counted: the states at which the prediction can err by more than rounding.
        state_radius: the bound of `|d_t|_{P_t}`; None where the plant has no matrices.
        state_errors: `|d_t|_{P_t}`, `(prompts, states)`; None likewise.
    """

    bands: tuple[Band, ...]
    errors: Float[Tensor, "prompts states"]
    counted: Bool[Tensor, " states"]
    state_radius: Float[Tensor, " states"] | None = None
    state_errors: Float[Tensor, "prompts states"] | None = None

    def rows(self) -> list[CoverageRow]:
        """One row a band, and one for the whole state in the norms of the loop."""
        rows = [self._row(band.name, self.errors, band.radius) for band in self.bands]
        if self.state_errors is not None and self.state_radius is not None:
            rows.append(self._row("whole state", self.state_errors, self.state_radius))
        return rows

    def by_state(self, name: str) -> tuple[Float[Tensor, " states"], Float[Tensor, " states"]]:
        """Coverage and median tightness of one band at each state; NaN where it is not counted.

        Raises:
            UnknownNameError: there is no such band.
        """
        radius = band_named(self.bands, name).radius
        held = (self.errors <= radius).double().mean(dim=0)
        ratio = (radius / self.errors).median(dim=0).values
        return held.where(self.counted, torch.nan), ratio.where(self.counted, torch.nan)

    def table(self) -> str:
        """A few lines for a person."""
        lines = ["bound            pairs held        runs held   bound / error"]
        for row in self.rows():
            pairs = f"{100 * row.pairs:.1f} +- {100 * row.pairs_se:.1f} %"
            lines.append(
                f"{row.name:15}  {pairs:16}  {100 * row.runs:7.1f} %   {row.tightness:.3g}"
            )
        states = int(self.counted.sum())
        return "\n".join([*lines, f"{len(self.errors)} prompts, {states} states each"])

    def plot(self) -> "Figure":
        """Every band's radius and the held-out errors, by state.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from steersman.plots import bound_figure

        radii = {band.name: band.radius[self.counted] for band in self.bands}
        states = self.counted.nonzero().flatten().tolist()
        return bound_figure(states, radii, self.errors[:, self.counted])

    def _row(
        self, name: str, errors: Float[Tensor, "prompts states"], radius: Float[Tensor, " states"]
    ) -> CoverageRow:
        errors, radius = errors[:, self.counted], radius[self.counted]
        held = (errors <= radius).double()
        pairs = mean_over(held.mean(dim=1))
        return CoverageRow(
            name=name,
            pairs=pairs.value,
            pairs_se=pairs.se,
            runs=float(held.amin(dim=1).mean()),
            tightness=float((radius / errors).median()),
        )

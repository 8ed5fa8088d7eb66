"""What a measurement of local linearity found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.control import chance_similarity
from steersman.errors import ArtifactError
from steersman.local_linearity.means import Mean, over_pairs, over_prompts
from steersman.local_linearity.remainders import Remainders
from steersman.local_linearity.saving import read_json, rebuilt, write_json
from steersman.local_linearity.spectra import Spectra
from steersman.local_linearity.words import summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PARTS: dict[str, type] = {"remainders": Remainders, "jacobian": Spectra, "increment": Spectra}

SHOWN = 0.1
"""The share of |x| that summaries speak of."""


@dataclass(frozen=True, eq=False)
class LinearityReport:
    """How nearly linear a model's blocks are, and how alike from prompt to prompt.

        remainder    |f_t(x + d) - f_t(x) - A_t d| / |f_t(x + d) - f_t(x)|
        spectra      singular values of A_t and of A_t - I
        similarity   of the leading left singular subspaces of two prompts' A_t, and by chance

    Args:
        model: what it is called.
        domains: the domain of every prompt.
        last: the text of every prompt's last token, at which all is measured.
        remainders: of steps from every prompt's state.
        jacobian: spectra of `A_t`.
        increment: spectra of `A_t - I`: what the block itself adds.
        seconds: how long it took.
    """

    model: str
    domains: tuple[str, ...]
    last: tuple[str, ...]
    remainders: Remainders
    jacobian: Spectra
    increment: Spectra
    seconds: float

    @property
    def blocks(self) -> int:
        """The number of blocks, T."""
        return len(self.jacobian.chance)

    @property
    def n(self) -> int:
        """Width of the residual stream."""
        return self.jacobian.values.shape[1]

    @property
    def start(self) -> int:
        """The first block that means are over: not the one that reads the embedding."""
        return 1 if self.blocks > 1 else 0

    @property
    def flat_chance(self) -> float:
        """Chance for subspaces with flat spectra, in closed form."""
        return chance_similarity(self.n, self.jacobian.rank)

    def shown_scale(self) -> int:
        """Which scale is nearest to a tenth of |x|."""
        return int((self.remainders.scales.log() - torch.tensor(SHOWN).log()).abs().argmin())

    def later(self, values: Float[Tensor, "kinds prompts blocks"]) -> Mean:
        """The mean over the blocks after the first, then over prompts, of each kind of step.

        The first block reads the embedding of one token, which has a scale of its own: it is told
        apart.

        Args:
            values: any remainder at one scale.
        """
        return over_prompts(values[:, :, self.start :].nanmean(dim=2), axis=1)

    def groups(self) -> dict[str, Bool[Tensor, "prompts prompts"]]:
        """Which pairs of prompts share a domain, and which share their last token.

        The last token by itself makes Jacobians alike, so that prompts of a domain that all end in
        one token say nothing about the domain.

        Returns:
            By name those of the four groups that have a pair.
        """
        domain, token = _shared(self.domains), _shared(self.last)
        several = len(set(self.domains)) > 1
        names = {
            "same domain, same last token" if several else "same last token": domain & token,
            "same domain, other last token" if several else "other last token": domain & ~token,
            "other domain, same last token": ~domain & token,
            "other domain, other last token": ~domain & ~token,
        }
        different = ~torch.eye(len(self.domains), dtype=torch.bool)
        return {name: pairs for name, pairs in names.items() if bool((pairs & different).any())}

    def similarity(self, spectra: Spectra) -> dict[str, Mean]:
        """The similarity of each group of pairs at every block, with jackknife standard errors.

        Args:
            spectra: `jacobian` or `increment`.
        """
        groups = self.groups().items()
        return {name: over_pairs(spectra.similarity, pairs) for name, pairs in groups}

    def summary(self) -> str:
        """The findings in a few lines for a person."""
        return summary(self)

    def plot(self) -> dict[str, "Figure"]:
        """Remainders by block and step, by plant, spectra, and similarity, each as a figure.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from steersman.local_linearity.page import figures

        return {name: figure for name, (_, figure) in figures(self).items()}

    def to_html(self, path: str | Path) -> Path:
        """Write one self-contained page: the findings in words, figures and a table.

        Args:
            path: where to; folders that do not exist are made.

        Raises:
            MissingExtraError: matplotlib is not installed.
            InputError: it cannot be written there; what was there before is untouched.
        """
        from steersman.local_linearity.page import write

        return write(self, path)

    def to_json(self, path: str | Path) -> Path:
        """Write all numbers as JSON; what is not known is null.

        Args:
            path: where to; folders that do not exist are made.

        Raises:
            InputError: it cannot be written there; what was there before is untouched.
        """
        return write_json(self, path)

    @classmethod
    def from_json(cls, path: str | Path) -> "LinearityReport":
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: no such file, or it holds something else.
        """
        found = read_json(path)
        try:
            for name, kind in _PARTS.items():
                parts = {key: rebuilt(value) for key, value in found[name].items()}
                found[name] = kind(**parts)
            return cls(**{name: rebuilt(value) for name, value in found.items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{path} is not what was once written: {error}.") from error


def _shared(labels: tuple[str, ...]) -> Tensor:
    return torch.tensor([[one == other for other in labels] for one in labels])

"""LF-Steering: the features that differ, moved where they are active."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from steersman.control import ActivatedBias
from steersman.diagnostics import Diagnostic
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.amount import Amount
from steersman.methods.base import Settled
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.sparse import SparseMethod, kept, parts


@dataclass(frozen=True)
class LFSteering(SparseMethod, Amount):
    """`y <- y + target alpha sum_{i in S} Delta_i 1[f_i(y) > 0] W_dec[i]`.

        Delta_i = mean f_i | desired - mean f_i | undesired,     S = the m largest |Delta_i|

    Features that are not active at a token are not touched there: what is steered is how strongly a
    state shows what it shows already. A token at which none of `S` is active stays as it is, bit
    for bit, and so does what the autoencoder does not explain.

    Args:
        autoencoder: as in `SparseMethod`, and so is `block`.
        block: see there.
        m: how many features.
        alpha: how far target 1 moves them; 1 is by as much as the two sides differ.

    Source:
        LF-Steering (arXiv 2501.11036), as its abstract and summaries have it: that the bias is the
        difference of the means, and both numbers, are our reading. There desired examples are
        paraphrases answered consistently, undesired ones those that are not.
    """

    name: ClassVar[str] = "lf-steering"
    about: ClassVar[About] = About(
        paper="LF-Steering, arXiv 2501.11036",
        direction="decoder rows of features that differ",
        setpoint="offset of each active feature",
        controller="masked by activity",
        verified="the formula written out; moves the wind tunnel",
        site="block output",
    )

    m: int = 32
    alpha: float = 1.0

    def settled(self, evidence: Evidence) -> Settled:
        """The same, with a table of the features that are moved.

        Raises:
            InputError: as in `solve`.
        """
        sae, block = self.opened(evidence)
        desired, undesired = self.sides(evidence, sae, block)
        apart = desired - undesired
        chosen = self._chosen(apart.abs())
        rows = tuple((i, float(desired[i]), float(undesired[i])) for i in chosen)
        table = Diagnostic(
            name="Features that differ",
            headline=f"{len(chosen)} features are moved behind block {block}, where active",
            columns=("feature", "desired", "undesired"),
            rows=rows,
        )
        own = kept(sae, chosen, self.alpha * apart[list(chosen)], block)
        made = Controller.of_own(evidence.direction.contrast[:-1], own)
        return Settled(self, (table,), made)

    def solve(self, evidence: Evidence) -> Controller:
        """The encoder of the chosen features, their rows and their bias.

        Raises:
            InputError: no autoencoder that fits the model, too many features asked for, or examples
                that do not differ on any.
            ArtifactError: its files cannot be read.
        """
        return self.settled(evidence).solved(evidence)

    def law(self, controller: Controller) -> ActivatedBias:
        """The bias."""
        return ActivatedBias(*parts(controller))

    def _chosen(self, size: Float[Tensor, " features"]) -> tuple[int, ...]:
        if not 1 <= self.m <= len(size):
            raise InputError(f"m is {self.m}; there are {len(size)} features.")
        order = size.sort(descending=True, stable=True).indices[: self.m]
        found = tuple(i for i in order.tolist() if float(size[i]) > 0)
        if not found:
            raise InputError("no feature is more active on one side of the examples.")
        return found

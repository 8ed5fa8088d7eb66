"""Inference-time intervention: the attention heads that know, pushed by standard deviations."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import Method, PlantKind, Settled
from steersman.methods.choosing import probe_accuracy, strongest_blocks
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.heads import by_head, heads_table, marked, side_by_side
from steersman.plant import Site

PUBLISHED = 48 / 1024
"""The published share of the heads of a model with 32 blocks of 32."""


@dataclass(frozen=True)
class ITI(Method):
    """`a_h <- a_h + target alpha sigma_h theta_h` for the heads whose probes know best.

        theta_h = unit(mean a_h desired - mean a_h undesired)      what head h puts out
        sigma_h = standard deviation of theta_h' a_h

    The push is on what a head puts out, before the output projection mixes the heads. Heads are
    ranked by how well a logistic regression tells the sides apart on examples left out, those of
    all blocks together. One unit of target is the published strength `alpha`, which is meant for
    the published share of heads.

    The published `sigma` is over a set of its own, without labels; here it is over the examples of
    both sides. The published code leaves out one fold of two and a fifth of the other; here it is
    one part of five, and the mean over the two sides.

    Args:
        share: of all heads that act, at least one.
        alpha: how many standard deviations one unit of target is.
        chosen: the heads that act, counted through all blocks; empty is found out.

    Source:
        Inference-Time Intervention (arXiv 2306.03341), with its defaults.
    """

    name: ClassVar[str] = "iti"
    about: ClassVar[About] = About(
        paper="ITI, arXiv 2306.03341",
        direction="mean difference of each head",
        setpoint="offset in standard deviations",
        controller="none",
        verified="the formula written out; the projection's bias it amounts to",
        site="attention heads",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    in_units: ClassVar[bool] = False
    site: ClassVar[Site] = "heads"

    share: float = PUBLISHED
    alpha: float = 15.0
    chosen: tuple[int, ...] = ()

    def settled(self, evidence: Evidence) -> Settled:
        """With the heads that act, where they were left to the examples, and a table of them.

        Raises:
            InputError: a share that is none, or no states to learn from.
        """
        if self.chosen:
            return Settled(self)
        at = evidence.where_it_learns(self)
        accuracy = probe_accuracy(*by_head(at, self.name))
        settled = replace(self, chosen=self._best(accuracy))
        return Settled(settled, (heads_table(settled.chosen, accuracy, at.heads, "accuracy"),))

    def solve(self, evidence: Evidence) -> Controller:
        """The schedule, as wide as the heads of a block together.

        Raises:
            InputError: a share that is none, a head that does not exist, or no states.
        """
        at = evidence.where_it_learns(self)
        desired, undesired = (side.double() for side in by_head(at, self.name))
        chosen = self.chosen or self._best(probe_accuracy(desired, undesired))
        theta = normalize(desired.mean(0) - undesired.mean(0), dim=-1)
        shown = torch.einsum("ehd,hd->eh", torch.cat([desired, undesired]), theta)
        push = self.alpha * shown.std(0, correction=0)[:, None] * theta
        acts = marked(chosen, push)
        return Controller.schedule(side_by_side(acts * push, at.desired.shape[1]).float())

    def _best(self, accuracy: Float[Tensor, " sites"]) -> tuple[int, ...]:
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}; it is a share of the heads, up to 1.")
        return strongest_blocks(accuracy, max(1, round(self.share * len(accuracy))), "heads")

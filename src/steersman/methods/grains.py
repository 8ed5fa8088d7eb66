"""GrAInS: the tokens that a preference hangs on, taken out, and what that does to the states."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from steersman.control import NormKept, offset
from steersman.directions.subspace import principal_axes, upwards
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.amount import Amount
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence
from steersman.methods.trained import placed
from steersman.training import Bench, Written
from steersman.training.attribution import integrated_gradients

Component = Literal["pca", "mean"]
MISSED = 0.2
"""Above this share of the objective that the attributions do not add up to, they are doubted."""


@dataclass(frozen=True)
class GrAInS(Amount):
    """`y <- |y| (y + 10 target alpha v) / |y + 10 target alpha v|` at the output of one block.

        L = log p(w | q) - log p(l | q)                 of a pair of responses to one prompt
        s_i = integrated gradients of L on the embedding of token i, of prompt and response
        P, N = the k tokens of an example with the largest s_i > 0, and with the smallest s_i < 0
        d+ = x(example) - x(example, P blank),    d- = x(example) - x(example, N blank)
        v = unit( component of {d+} - component of {d-} )

    Both responses of every pair are examples. A token that is blank is replaced by the padding
    token and still attended to. The component is the first principal one, of what the differences
    vary by, with the sign of their mean; or the mean. States are those at which examples are read.

    Four things that published code does are not done here. There the length that is kept is a
    norm over the tokens of a batch and not over a state; without a contrast, attributions are
    multiplied by the embedding twice and only the prompt is made blank; and only the last token of
    a response is scored. Here the length is the state's own, attributions add up to the objective,
    prompt and response are both made blank, and every token of a response counts.

    Args:
        block: at whose output; -1 is the last one, as published (31 of 32).
        k: how many tokens are made blank, at most.
        pairs: from how many of the first pairs it learns.
        component: "pca" or "mean".
        alpha: the published strength. Ten times as much is added along `v`, whatever the length of
            the states is: calibrate.
        steps: of the integrated gradients, from a baseline of zero. A warning says where they do
            not add up. Norms that forget how long a state is, as RMSNorm does, put much of the
            change close to the baseline, where a few steps miss it: in the wind tunnel the
            published 20 miss 31 % of the objective, and 100 miss 20 %.

    Source:
        GrAInS (arXiv 2507.18043), https://github.com/duykhuongnguyen/GrAInS, with its defaults.
    """

    name: ClassVar[str] = "grains"
    about: ClassVar[About] = About(
        paper="GrAInS, arXiv 2507.18043",
        direction="difference without the tokens that count",
        setpoint="offset, at the same length",
        controller="none",
        verified="completeness, finite differences; every step written out",
        site="block output",
        trained=True,
    )
    trains: ClassVar[bool] = True

    block: int = -1
    k: int = 10
    pairs: int = 50
    component: Component = "pca"
    alpha: float = 4.0
    steps: int = 20

    def solve(self, evidence: Evidence) -> Controller:
        """The vector, at one block.

        Raises:
            InputError: no model to run, no pairs of responses, settings that cannot be, or tokens
                that make no difference.
        """
        self._require_known()
        blocks = evidence.direction.blocks
        if not -1 <= self.block < blocks:
            raise InputError(f"block is {self.block}; the model has blocks 0 .. {blocks - 1}.")
        block = self.block % blocks
        bench = evidence.require_bench(self.name)
        bench.require_pairs(self.name)
        found = self._differences(bench, block)
        axes = [self._component(some) for some in found]
        v = normalize(axes[0] - axes[1], dim=0)
        if not bool(v.any()):
            raise InputError("no token of the examples makes a difference to their preference.")
        return Controller.of_own(
            evidence.direction.contrast[:-1], {"v": placed(v.float(), block, blocks)}
        )

    def law(self, controller: Controller) -> NormKept[None]:
        """The addition that keeps the length."""
        v = controller.own["v"]
        return NormKept(offset(v, v.new_full((len(v),), 10 * self.alpha)))

    def _differences(self, bench: Bench, block: int) -> "Differences":
        examples = [*bench.desired[: self.pairs], *bench.undesired[: self.pairs]]
        found = integrated_gradients(bench, examples, self.steps)
        if not found.missing <= MISSED:
            warnings.warn(
                f"the attributions miss {100 * found.missing:.0f} % of the objective: the path is "
                f"too steep for {self.steps} steps. Raise steps.",
                stacklevel=5,
            )
        half = len(examples) // 2
        scores = [s if row < half else -s for row, s in enumerate(found.tokens)]
        whole = _states(bench, examples, block)
        return Differences(
            *(self._without(bench, examples, whole, scores, block, s) for s in SIGNS)
        )

    def _without(
        self,
        bench: Bench,
        examples: Sequence[Written],
        whole: Float[Tensor, "rows n"],
        scores: Sequence[Float[Tensor, " _"]],
        block: int,
        sign: int,
    ) -> Float[Tensor, "some n"]:
        """What the tokens that count one way do to the states of the examples that have any."""
        chosen = [most(sign * s, self.k) for s in scores]
        rows = [row for row, some in enumerate(chosen) if some]
        if not rows:
            return whole[:0]
        blank = [blanked(examples[row], chosen[row], bench.pad_id) for row in rows]
        return whole[rows] - _states(bench, blank, block)

    def _component(self, differences: Float[Tensor, "rows n"]) -> Float[Tensor, " n"]:
        if not len(differences):
            return differences.new_zeros(differences.shape[1])
        mean = differences.mean(0)
        if self.component == "mean":
            return mean
        axes = principal_axes(differences, 1)
        return upwards(axes.axes[:, 0], mean) if len(axes.sizes) else torch.zeros_like(mean)

    def _require_known(self) -> None:
        if min(self.k, self.pairs) < 1:
            raise InputError(f"k is {self.k} and pairs {self.pairs}; at least 1 is needed.")
        if self.component not in get_args(Component):
            raise InputError(f"component is {self.component!r}; choose pca or mean.")


class Differences(NamedTuple):
    """What the tokens do to the states, one row an example that has any.

    Attributes:
        positive: of those that speak for the preference.
        negative: of those that speak against it.
    """

    positive: Float[Tensor, "some n"]
    negative: Float[Tensor, "others n"]


SIGNS = (1, -1)


def most(scores: Float[Tensor, " tokens"], k: int) -> tuple[int, ...]:
    """The `k` tokens with the largest scores, of those above zero.

    Args:
        scores: of every token of one example.
        k: how many, at most.
    """
    order = scores.sort(descending=True, stable=True).indices[:k].tolist()
    return tuple(i for i in order if float(scores[i]) > 0)


def blanked(one: Written, chosen: Sequence[int], blank: int) -> Written:
    """The example with some tokens replaced; as long as it was, and read at the same places.

    Args:
        one: prompt and response.
        chosen: the tokens.
        blank: what they are replaced by.
    """
    out = frozenset(chosen)
    return replace(one, ids=tuple(blank if i in out else id_ for i, id_ in enumerate(one.ids)))


@torch.no_grad()
def _states(bench: Bench, examples: Sequence[Written], block: int) -> Float[Tensor, "rows n"]:
    """What leaves the block, the mean over the tokens at which each example is read."""
    return torch.stack([states.double().mean(0) for states in bench.tokens(examples, block)])

"""What the logits alone say of a steered text: how many ways it could go on, how far it is off.

They need no judge, so they can be looked at while a model writes. A branching factor that rises
says that the model no longer knows how to go on; one that falls to 1, that it repeats itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.errors import InputError, ShapeError
from steersman.evaluation.metrics.aggregates import Aggregate, aggregate
from steersman.sampling import Sampled, bare_logits

TOP = 1000
"""How many of the likeliest tokens a branching factor looks at."""


def entropy(logits: Float[Tensor, "*tokens vocabulary"]) -> Float[Tensor, "*tokens"]:
    """Entropy of the next token, in nats: H(p) = -sum_v p(v) log p(v).

    Args:
        logits: of one or more tokens.
    """
    each: Tensor = torch.special.entr(logits.float().softmax(-1))
    return each.sum(-1)


def branching_factor(
    logits: Float[Tensor, "*tokens vocabulary"], k: int = TOP
) -> Float[Tensor, "*tokens"]:
    """Among how many tokens the next one is chosen: exp(H(p~)).

        p~ = p restricted to its k likeliest tokens, and renormalised

    1 where one token is certain, k where all k are equally likely.

    Args:
        logits: of one or more tokens.
        k: how many tokens; a smaller vocabulary is taken whole.

    Raises:
        InputError: k is below 1.
    """
    return entropy(logits.topk(_at_most(k, logits.shape[-1]), dim=-1).values).exp()


def divergence(
    logits: Float[Tensor, "*tokens vocabulary"],
    other: Float[Tensor, "*tokens vocabulary"],
    k: int | None = None,
) -> Float[Tensor, "*tokens"]:
    """KL of two next-token distributions, in nats: sum_v p(v) log(p(v) / q(v)).

    With `k` the sum is over the k likeliest tokens of `p` and nothing is renormalised, so that it
    can be below 0.

    Args:
        logits: of p.
        other: of q.
        k: how many of the likeliest tokens of p; None is all.

    Raises:
        ShapeError: the shapes differ.
        InputError: k is below 1.
    """
    if logits.shape != other.shape:
        raise ShapeError(
            f"logits of shapes {tuple(logits.shape)} and {tuple(other.shape)} cannot be compared."
        )
    log_p, log_q = logits.float().log_softmax(-1), other.float().log_softmax(-1)
    if k is not None:
        log_p, places = log_p.topk(_at_most(k, log_p.shape[-1]), dim=-1)
        log_q = log_q.gather(-1, places)
    return torch.where(log_p.isneginf(), 0.0, log_p.exp() * (log_p - log_q)).sum(-1)


@dataclass(frozen=True, eq=False)
class Indicators:
    """Signals of one continuation, one number a token; `bare` is the bare model on the same tokens.

    Args:
        entropy: of the distribution that the token was drawn from, in nats.
        branching: its branching factor.
        bare_entropy: entropy of the bare model.
        bare_branching: branching factor of the bare model.
        divergence: KL of the distribution it was drawn from and the bare model's.
        before: KL of the bare model's distribution and the one steered toward; None without one.
        after: KL of the distribution it was drawn from and the one steered toward; None without.
    """

    entropy: Float[Tensor, " tokens"]
    branching: Float[Tensor, " tokens"]
    bare_entropy: Float[Tensor, " tokens"]
    bare_branching: Float[Tensor, " tokens"]
    divergence: Float[Tensor, " tokens"]
    before: Float[Tensor, " tokens"] | None = None
    after: Float[Tensor, " tokens"] | None = None

    @property
    def relative_branching(self) -> Float[Tensor, " tokens"]:
        """Branching factor over the bare model's at the same token: 1 where nothing is steered."""
        return self.branching / self.bare_branching

    def summary(self) -> dict[str, Aggregate]:
        """Mean, spread, quantiles and shape of every signal over the tokens."""
        signals = {
            "entropy": self.entropy,
            "branching": self.branching,
            "bare_entropy": self.bare_entropy,
            "bare_branching": self.bare_branching,
            "relative_branching": self.relative_branching,
            "divergence": self.divergence,
            "before": self.before,
            "after": self.after,
        }
        known = {name: signal for name, signal in signals.items() if signal is not None}
        return {name: aggregate(signal.cpu().numpy()) for name, signal in known.items()}


def normalised_branching(steered: Indicators, unsteered: Indicators) -> float:
    """Mean branching factor over that of the unsteered run from the same prompt.

        NBF = mean_t BF_t(steered run) / mean_t BF_t(unsteered run)

    The two runs are different texts; `relative_branching` compares on the same tokens.

    Args:
        steered: signals of the steered run.
        unsteered: signals of the run at strength 0.
    """
    return float(steered.branching.mean() / unsteered.branching.mean())


def indicators(
    model: nn.Module,
    sampled: Sequence[Sampled],
    *,
    k: int = TOP,
    toward: Float[Tensor, " vocabulary"] | None = None,
) -> Iterator[Indicators]:
    """The signals of every continuation, in order.

    Args:
        model: the model with nothing attached.
        sampled: what was drawn, steered or not.
        k: how many of the likeliest tokens a branching factor, and KL to `toward`, look at.
        toward: logits that steering pulls to, such as what the model's head makes of a direction.

    Raises:
        InputError: k is below 1.
        ShapeError: `toward` has not one logit for every token of the vocabulary.
    """
    for batch in sampled:
        bare = bare_logits(model, batch)
        for row, drawn in enumerate(batch.drawn):
            yield _signals(batch.logits[row, drawn], bare[row, drawn].float(), k, toward)


def _signals(
    steered: Float[Tensor, "tokens vocabulary"],
    bare: Float[Tensor, "tokens vocabulary"],
    k: int,
    toward: Float[Tensor, " size"] | None,
) -> Indicators:
    if toward is not None and len(toward) != steered.shape[-1]:
        raise ShapeError(
            f"toward has {len(toward)} logits; this model's vocabulary has {steered.shape[-1]}."
        )
    aim = None if toward is None else toward.to(bare).expand_as(bare)
    return Indicators(
        entropy=entropy(steered),
        branching=branching_factor(steered, k),
        bare_entropy=entropy(bare),
        bare_branching=branching_factor(bare, k),
        divergence=divergence(steered, bare),
        before=None if aim is None else divergence(bare, aim, k),
        after=None if aim is None else divergence(steered, aim, k),
    )


def _at_most(k: int, vocabulary: int) -> int:
    if k < 1:
        raise InputError(f"k is {k}; look at one token at least.")
    return min(k, vocabulary)

"""What is minimised: each published objective as a function of tensors, and nothing of a model.

Notation: `y` the tokens of a response, `log p(y) = sum_i log p(y_i | x, y_<i)`, desired `w`,
undesired `l`; `p_v` the steered model, `p_0` the bare one.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    logsigmoid,
    smooth_l1_loss,
)


def log_likelihoods(
    logits: Float[Tensor, "rows tokens vocabulary"],
    ids: Int[Tensor, "rows tokens"],
    mask: Bool[Tensor, "rows tokens"],
) -> Float[Tensor, " rows"]:
    """`sum_i log p(y_i)` of each row.

    Args:
        logits: those that each token is drawn from, in float32 or float64.
        ids: the tokens.
        mask: which of them count.
    """
    each = logits.log_softmax(-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    return torch.where(mask, each, 0.0).sum(-1)


def cross_entropy(
    likelihoods: Float[Tensor, " rows"], tokens: Int[Tensor, " rows"]
) -> Float[Tensor, ""]:
    """`- sum log p(y) / sum |y|`: the mean loss of a token, nats."""
    return -likelihoods.sum() / tokens.sum()


def bidirectional_dpo(
    margins: Float[Tensor, " rows"],
    bare: Float[Tensor, " rows"],
    beta: float,
    sign: int,
) -> Float[Tensor, ""]:
    """`- mean log sigmoid( beta d (m_v - m_0) )`, `m = log p(w) - log p(l)`.

    Args:
        margins: `m_v` of each pair, of the model steered by `d v`.
        bare: `m_0`.
        beta: how sharply margins are told apart.
        sign: `d`, 1 or -1: along the vector, or against it.

    Source:
        BiPO (arXiv 2406.00045).
    """
    return -logsigmoid(beta * sign * (margins - bare)).mean()


def simpo(
    desired: Float[Tensor, " rows"],
    undesired: Float[Tensor, " rows"],
    beta: float,
    margin: float = 0.0,
) -> Float[Tensor, ""]:
    """`- mean log sigmoid( beta (log p(w) / |w| - log p(l) / |l|) - margin )`: no reference model.

    Args:
        desired: `log p(w) / |w|`, a token's mean.
        undesired: `log p(l) / |l|`.
        beta: how sharply they are told apart.
        margin: how far apart they should be.

    Source:
        SimPO (arXiv 2405.14734), the preference loss of PrOSV (arXiv 2605.05983).
    """
    return -logsigmoid(beta * (desired - undesired) - margin).mean()


def jensen_shannon(
    logits: Float[Tensor, "*rows vocabulary"],
    other: Float[Tensor, "*rows vocabulary"],
    mask: Bool[Tensor, "*rows"],
) -> Float[Tensor, ""]:
    """`mean [ KL(p || m) + KL(q || m) ] / 2`, `m = (p + q) / 2`, over the tokens of the mask; nats.

    Args:
        logits: of `p`.
        other: of `q`.
        mask: which tokens count.

    Source:
        CDAS: matching of distributions under distributed interchange interventions.
    """
    p, q = logits.log_softmax(-1), other.log_softmax(-1)
    m = torch.logaddexp(p, q) - math.log(2)
    apart = (p.exp() * (p - m) + q.exp() * (q - m)).sum(-1) / 2
    return torch.where(mask, apart, 0.0).sum() / mask.sum()


def sorted_wasserstein(
    x: Float[Tensor, "rows *sizes"], y: Float[Tensor, "rows *sizes"]
) -> Float[Tensor, ""]:
    """`sum_j W_2^2(x_j, y_j)`: each coordinate's squared distance of two samples, sorted.

        W_2^2 = mean_i (x_(i) - y_(i))^2     x_(1) <= x_(2) <= ...

    Args:
        x: one sample.
        y: another one, of as many.

    Source:
        LinEAS (NeurIPS 2025), summed over coordinates and blocks.
    """
    apart = x.sort(dim=0).values - y.sort(dim=0).values
    return apart.square().mean(0).sum()


def soft_threshold(x: Float[Tensor, "*sizes"], by: float) -> Float[Tensor, "*sizes"]:
    """`sign(x) max(|x| - by, 0)`: the proximal map of `by |x|_1`."""
    left: Tensor = (x.abs() - by).clamp(min=0)
    return x.sign() * left


def group_threshold(x: Float[Tensor, "groups *each"], by: float) -> Float[Tensor, "groups *each"]:
    """`x_g max(1 - by / |x_g|, 0)`: the proximal map of `by sum_g |x_g|`; whole groups vanish."""
    length = x.flatten(1).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
    kept: Tensor = (1 - by / length).clamp(min=0)
    return x * kept.view(-1, *[1] * (x.ndim - 1))


def controller_loss(
    score: Float[Tensor, " rows"],
    weights: Float[Tensor, "rows blocks"],
    label: Float[Tensor, " rows"],
    regularisation: float,
    smallness: float,
) -> Float[Tensor, ""]:
    """`BCE(s, label) + a ( mean |w - 1/2| + b mean w )`, the second over rows with label 1.

    Args:
        score: `s`, a logit.
        weights: `w`, of each block, between 0 and 1.
        label: 1 where steering is wanted, 0 where it is not.
        regularisation: `a`.
        smallness: `b`.

    Source:
        Guiding Giants (WAS), as its code has it.
    """
    wanted = label > 0.5
    loss = binary_cross_entropy_with_logits(score, label)
    if not bool(wanted.any()):
        return loss
    w = weights[wanted]
    return loss + regularisation * ((w - 0.5).abs().mean() + smallness * w.mean())


def lambda_returns(
    values: Float[Tensor, "rows tokens"],
    reward: Float[Tensor, " rows"],
    tokens: Int[Tensor, " rows"],
    decay: float,
) -> Float[Tensor, "rows tokens"]:
    """`G_t = (1 - decay) V(x_{t+1}) + decay G_{t+1}`, `G_T = reward`; no gradient.

    Args:
        values: `V(x_t)`; behind a row's last token anything.
        reward: what its whole text is worth.
        tokens: how many each row has, at least one.
        decay: the lambda of TD(lambda).

    Source:
        Pre-Control (arXiv 2510.12121).
    """
    values = values.detach()
    found = reward.unsqueeze(1).expand_as(values).clone()
    for t in range(values.shape[1] - 2, -1, -1):
        before = (t < tokens - 1).to(values.device)
        mixed = (1 - decay) * values[:, t + 1] + decay * found[:, t + 1]
        found[:, t] = torch.where(before, mixed, found[:, t])
    return found


def value_loss(
    values: Float[Tensor, "rows tokens"],
    returns: Float[Tensor, "rows tokens"],
    tokens: Int[Tensor, " rows"],
) -> Float[Tensor, ""]:
    """`mean_t (V(x_t) - G_t)^2` over the tokens that there are."""
    places = torch.arange(values.shape[1], device=values.device)
    mask = places[None] < tokens.to(values.device)[:, None]
    return torch.where(mask, (values - returns).square(), 0.0).sum() / mask.sum()


def routing_loss(
    selection: Float[Tensor, "rows vectors"],
    strength: Float[Tensor, "rows vectors"],
    chosen: Float[Tensor, "rows vectors"],
    amount: Float[Tensor, "rows vectors"],
) -> Float[Tensor, ""]:
    """`BCE(p, chosen) + smooth L1(a, amount)`, the second over the vectors that were chosen.

    Args:
        selection: logits of `p`, which vectors.
        strength: `a`, how much of each.
        chosen: 1 for those that a search chose, 0 for the others.
        amount: how much of them it chose.
    """
    loss = binary_cross_entropy_with_logits(selection, chosen)
    apart = smooth_l1_loss(strength, amount, reduction="none")
    return loss + (apart * chosen).sum() / chosen.sum().clamp(min=1)

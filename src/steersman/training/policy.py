"""A policy that takes some of several vectors, each by some amount, and how it is reinforced."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


class Action(NamedTuple):
    """What was drawn for each row.

    Attributes:
        taken: 1 for every vector that is taken, 0 for the others.
        amount: how much of it, whether it is taken or not.
    """

    taken: Float[Tensor, "rows vectors"]
    amount: Float[Tensor, "rows vectors"]


def draw(
    selection: Float[Tensor, "rows vectors"],
    strength: Float[Tensor, "rows vectors"],
    noise: float,
    drawn: torch.Generator,
) -> Action:
    """`m ~ Bernoulli(sigma(selection))`, `b ~ N(strength, noise^2)`; without gradients.

    Args:
        selection: logits.
        strength: means.
        noise: standard deviation.
        drawn: what they are drawn from, on the CPU.
    """
    with torch.no_grad():
        uniform = torch.rand(selection.shape, generator=drawn).to(selection)
        normal = torch.randn(strength.shape, generator=drawn).to(strength)
        return Action((uniform < selection.sigmoid()).to(selection), strength + noise * normal)


def log_probability(
    selection: Float[Tensor, "rows vectors"],
    strength: Float[Tensor, "rows vectors"],
    action: Action,
    noise: float,
) -> Float[Tensor, " rows"]:
    """`log pi(m, b)` up to a constant; amounts count where a vector was taken, and nowhere else.

        sum_k  m_k log p_k + (1 - m_k) log(1 - p_k) - m_k (b_k - a_k)^2 / (2 noise^2)

    Args:
        selection: logits of `p`.
        strength: `a`.
        action: `m` and `b`.
        noise: standard deviation of `b`.
    """
    m, b = action
    taking = m * logsigmoid(selection) + (1 - m) * logsigmoid(-selection)
    return (taking - m * (b - strength).square() / (2 * noise**2)).sum(dim=1)


def reinforce(
    log_probability: Float[Tensor, " rows"], reward: Float[Tensor, " rows"]
) -> Float[Tensor, ""]:
    """A number that is minus the mean reward, with the gradient of REINFORCE.

        - mean R_i          its gradient:  - mean (R_i - R) grad log pi_i,   R the mean reward

    With the value that of the reward itself, what is held out tells whether it went better.

    Args:
        log_probability: of what was drawn.
        reward: of it, without gradients.
    """
    surrogate = -((reward - reward.mean()) * log_probability).mean()
    return surrogate - surrogate.detach() - reward.mean()

"""What steering costs: divergence, perplexity and effort, each with its standard error."""

from math import exp

from steersman.calibration.writing import Written
from steersman.estimates import Estimate, mean_over


def divergence(seen: Written) -> Estimate:
    """How far the distributions that the text was drawn from are from the bare model's.

        mean over prompts of  mean_i KL( p_steered(. | x_<i) || p(. | x_<i) )   nats per token

    Args:
        seen: what was written; the KL is taken along it.
    """
    return mean_over(seen.divergence)


def perplexity_ratio(seen: Written, plain: Written) -> Estimate:
    """How much less likely the text is to the bare model than what it writes itself.

        exp mean over prompts of  (loss of the steered text - loss of the unsteered text)

    Each prompt is compared with itself, and the mean is geometric: one text that the bare model
    finds very unlikely does not decide. Below 1 the text is more predictable than the model's own.

    Args:
        seen: what was written.
        plain: what the bare model wrote after the same prompts.
    """
    rise = mean_over(seen.loss - plain.loss)
    ratio = exp(rise.value)
    return Estimate(ratio, ratio * rise.se)


def relative_effort(seen: Written, plain: Written) -> Estimate:
    """How long the inputs are beside the states that they are added to.

        mean over prompts, steered tokens and blocks that act of  |u_t| / median |x_{t+1}|

    Tokens and blocks that are left alone do not count, so that it says how hard the steering pushes
    where it pushes. The lengths of states are those of the bare model: a ruler that does not change
    with the strength. They are medians, because the first tokens of a text often have states
    hundreds of times longer than all others. For a plan the effort is proportional to the strength.

    Args:
        seen: what was written.
        plain: what the bare model wrote after the same prompts.
    """
    acts = seen.inputs.nan_to_num().any(dim=0)
    if not acts.any():
        return Estimate(0.0, 0.0)
    return mean_over((seen.inputs / plain.lengths)[:, acts].mean(dim=1))

"""Where numbers of the ODESteer paper were read, and where its experiments and ours differ."""

from steersman.reproduction.published import Published

SOURCE = "ODESteer (arXiv 2602.17560)"
NAME = "ODESteer"
GAIN = "gain"
"""The measure of what the abstract claims: points above the best other method."""
EVERY = "models of the paper"
FOLDS = (
    "The paper fits on one half of the questions and asks the other, both ways round; here a fit "
    "is made once, on questions or prompts that are never scored."
)
GAIN_HERE = (
    "The best other method is the best of those that are in this table, by what it scored here, "
    "so it is chosen with some luck and the gain is on the low side. RepE, ITI, MiMiC and Linear-"
    "AcT are not among them."
)


def gained(points: float) -> tuple[Published, ...]:
    """The abstract's number.

    Args:
        points: above the best other method.
    """
    note = "the abstract says neither of which model it is, nor whether it counts points"
    return (Published(GAIN, NAME, EVERY, points, f"{SOURCE}, abstract", False, note=note),)

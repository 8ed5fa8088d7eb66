"""Where in a model a feature can be moved, and how much of it is left at the end."""

from steersman.control import Authority, Effort, Plant
from steersman.control import authority as authority_over
from steersman.directions import Direction
from steersman.steering import Steering


def authority(
    feature: Steering | Direction, plant: Plant, effort: Effort | None = None
) -> Authority:
    """Which block can move a feature after the last one, at what effort, in natural units.

        effort_t = 1 / (|c_T|^-1 |B_t' A_{t+1}' .. A_{T-1}' v_T|)       in lengths of |c_T|

    A block with effort 1 moves the final feature by a whole contrast with an input as long as that
    contrast. The plant is asked for one product `A_t' w` a block.

    Args:
        feature: a direction, or a steering of it.
        plant: the blocks, such as `sm.identify` or `steersman.plant.average` gives them.
        effort: actuators and weights; None acts along the contrast at each block's output and
            counts lengths in units of the last contrast.

    Raises:
        ShapeError: the plant is of another model.
        InputError: the feature is nowhere after the last block.
        NumericalError: NaN or infinity.
    """
    direction = feature.direction if isinstance(feature, Steering) else feature
    v, unit = direction.vectors.double(), direction.norm.double()
    if effort is None:
        along = tuple(row.unsqueeze(-1) for row in v[1:])
        effort = Effort(float(unit[-1].clamp(min=1e-300) ** -2), along)
    return authority_over(plant, v, unit, effort)

"""Where in a model a feature can be moved, and how much of it is left at the end."""

import torch

from steersman.control import Authority, Effort, Plant
from steersman.control import authority as authority_over
from steersman.directions import Direction
from steersman.steering import Steering


def authority(
    feature: Steering | Direction, plant: Plant, effort: Effort | None = None
) -> Authority:
    """Which block can move a feature after the last one, at what effort, in natural units.

        effort_t = (v_T'c_T / |c_T|) / |B_t' A_{t+1}' .. A_{T-1}' v_T|      in lengths of |c_T|

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
        contrast = direction.contrast.double()
        along = torch.nn.functional.normalize(contrast[1:], dim=-1).unsqueeze(-1)
        effort = Effort(float(contrast[-1].norm().clamp(min=1e-300) ** -2), tuple(along))
    return authority_over(plant, v, unit, effort)

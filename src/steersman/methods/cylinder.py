"""The counterfactual push in the frame of its axis: what lies beside it can be taken away."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from steersman.control import CylinderLaw, Law, Within
from steersman.methods.about import About
from steersman.methods.controller import Controller
from steersman.methods.counterfactual import Counterfactual


@dataclass(frozen=True)
class Cylinder(Counterfactual):
    """Push each state along its own shift, made as long for all, its normal part penalised.

        d = c(x_b)        the shift that the state itself predicts, as in "counterfactual"
        a = unit(E d),    theta = angle(d, a),    n = unit(d - (a'd) a)
        u_b = target L (cos(theta) a + (1 - penalty) sin(theta) n),    L = |E d|,  where a'd > 0

    Published is the geometry, with `d` the difference that a sample itself shows between two
    prompts; while a text is written there is one prompt, so the shift is predicted from the state.
    A state whose predicted shift points away from the axis is beyond what is desired, as the map
    has it, and is left alone: made as long as all others, the push would take it back.

    One unit of target is a push as long as the mean shift; the published sweep goes to 3. Penalty 1
    leaves the part along the axis alone, which is shorter the further the state's own shift points
    elsewhere. The shift is that of the state the push is added to; the published code adds the
    vectors of a block's output at its input.

    Args:
        block: as in `Counterfactual`, and so are the next two.
        rank: see there.
        ridge: see there.
        penalty: how much of the normal part is taken away, from 0 to 1.

    Source:
        Cylindrical Representation Hypothesis (arXiv 2605.01844), https://github.com/mbzuai-nlp/CRH.
    """

    name: ClassVar[str] = "cylinder"
    about: ClassVar[About] = About(
        paper="Cylindrical Representation Hypothesis, arXiv 2605.01844",
        direction="reduced-rank regression",
        setpoint="offset of one length, along the state's own shift",
        controller="function of the state, where it points along the axis",
        verified="axis and normal part written out in numpy",
    )

    penalty: float = 0.0

    def law(self, controller: Controller) -> Law[None]:  # type: ignore[override]
        """The push as a function of the state, where it points along the axis."""
        mean = controller.plan[..., 0]
        axis, length = torch.nn.functional.normalize(mean, dim=1), mean.norm(dim=1)
        o = controller.shifts[..., 0]
        law = CylinderLaw(controller.H, controller.G, o, axis, length, self.penalty)
        along = torch.einsum("tnk,tn->tk", controller.G, axis)
        w = torch.einsum("tnk,tk->tn", controller.H, along)
        return Within.above(law, w, -(o * along).sum(dim=1))

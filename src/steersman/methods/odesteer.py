"""ODESteer: follow the gradient of a classifier of the states, in small steps."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control import (
    Absolute,
    FlowLaw,
    LinearBarrier,
    QuadraticBarrier,
    Reference,
    Sketch,
    SketchBarrier,
    Solver,
    Target,
    UnitBarrier,
    Units,
)
from steersman.diagnostics import Diagnostic
from steersman.errors import InputError
from steersman.methods.about import About
from steersman.methods.base import ExecutionName, Method, PlantKind, Settled
from steersman.methods.classifier import (
    Examples,
    Kernel,
    Linear,
    Quadratic,
    Sketched,
    Unseen,
    length_to_desired,
)
from steersman.methods.controller import Controller
from steersman.methods.evidence import Evidence, Sides

BarrierName = Literal["sketch", "quadratic", "linear"]
UnitName = Literal["desired", "norm", "state"]
MULTIPLIED_OUT = 1024
"""Up to this width a sketch of degree 2 runs as the `n x n` form that it is."""
LEFT_OUT = 500
"""On so many examples of a side classifiers are tried out, at most: it takes time as their cube."""
POOR = 0.6
"""Below this accuracy on examples left out there is little to follow."""


@dataclass(frozen=True)
class ODESteer(Method):
    """Steering as a flow towards what a classifier calls desired, at the output of one block.

        h(x) = log p+(x)/p-(x),  learnt from both sides' states of unit norm
        dx/ds = grad h / |grad h|,  s from 0 to T,  T = target * unit            u = x(T) - x(0)

    Target 1 is, by default, the length of path after which the undesired examples' mean `h` is the
    desired examples'. The paper's own `T` is the target where `unit` is "state".

    Args:
        barrier: what the classifier sees of a state: "sketch", the published count sketch of the
            polynomial kernel `(gamma a'c + coef0)^degree`; "quadratic", that kernel at degree 2
            exactly; "linear", the state itself.
        block: where it acts; -1 chooses the block whose classifier is most accurate on examples
            left out, and of those as accurate but for one standard error the one where the two
            sides are furthest apart.
        solver: "euler", "midpoint" or "rk4".
        steps: of the solver.
        unit: what target 1 is: "desired"; "norm", a path as long as the mean state is; or "state",
            a path of length 1 in the units of the state, as in the paper.
        components: of the sketch.
        degree: of its kernel.
        gamma: of the kernel.
        coef0: of the kernel.
        C: how much the examples count against the length of the weights.
        seed: of the sketch.
        widest: the largest state for which "quadratic" keeps its `n x n` numbers.

    Source:
        ODESteer (arXiv 2602.17560).
    """

    name: ClassVar[str] = "odesteer"
    about: ClassVar[About] = About(
        paper="ODESteer, arXiv 2602.17560",
        direction="gradient of a classifier",
        setpoint="length of the flow",
        controller="ODE",
        verified="torchdiffeq; scikit-learn; autograd",
        site="block output",
    )
    plant: ClassVar[PlantKind] = "none"
    tokens: ClassVar[Literal["last", "all"]] = "last"
    in_units: ClassVar[bool] = False
    execution: ClassVar[ExecutionName] = "feedback"

    barrier: BarrierName = "sketch"
    block: int = -1
    solver: Solver = "euler"
    steps: int = 10
    unit: UnitName = "desired"
    components: int = 8000
    degree: int = 2
    gamma: float = 0.1
    coef0: float = 1.0
    C: float = 1.0
    seed: int = 42
    widest: int = 256

    def settled(self, evidence: Evidence) -> Settled:
        """With the block, and how well the classifier of every block that may act does.

        Warns where it hardly does better than chance.

        Raises:
            InputError: no states to learn from, or settings that cannot be.
        """
        found = self.unseen(evidence)
        block = _best(found)
        if not found[block].accuracy >= POOR:
            warnings.warn(
                f"the classifier of block {block} is right on {100 * found[block].accuracy:.0f} % "
                "of examples left out: there is little to follow. Give more examples, or read "
                "them where the behaviour is decided.",
                stacklevel=2,
            )
        made = replace(self, block=block)
        learnt = made._learnt(evidence)
        return Settled(made, (_table(found, block, learnt),), learnt.controller(evidence))

    def unseen(self, evidence: Evidence) -> dict[int, Unseen]:
        """What the classifier of every block that may act says of examples left out.

        Raises:
            InputError: as in `settled`.
        """
        self._require_known()
        sides = evidence.require_sides(self.name)
        blocks = sides.desired.shape[1] - 1
        if not -1 <= self.block < blocks:
            raise InputError(f"block is {self.block}; the model has blocks 0 .. {blocks - 1}.")
        kernel = self._kernel(sides.desired.shape[2])
        some = Sides(*(side[:LEFT_OUT] for side in sides))
        places = range(blocks) if self.block == -1 else (self.block,)
        return {place: self._examples(some, place, kernel).unseen() for place in places}

    def solve(self, evidence: Evidence) -> Controller:
        """The barrier of the block, and how long a path target 1 is.

        Raises:
            InputError: as in `settled`.
            NumericalError: the undesired examples never get to look as the desired ones do.
        """
        if self.block == -1:
            return self.settled(evidence).solved(evidence)
        return self._learnt(evidence).controller(evidence)

    def law(self, controller: Controller) -> FlowLaw:
        """The flow, as it is stepped behind the block."""
        barrier = _quickest(_barrier(self.barrier, controller.own))
        return self._flow(barrier, len(controller.plan))

    def relative(self, strength: Target, controller: Controller) -> tuple[Reference, Units]:
        """How long a path; it starts from where the token is, and so is relative in itself."""
        unit = controller.own["unit"].expand(len(controller.plan))
        return Absolute(strength), Units(unit, torch.zeros_like(unit))

    def _learnt(self, evidence: Evidence) -> "_Learnt":
        sides = evidence.require_sides(self.name)
        self._require_known()
        if not 0 <= self.block < sides.desired.shape[1] - 1:
            raise InputError(
                f"block is {self.block}; the model has blocks 0 .. {sides.desired.shape[1] - 2}."
            )
        examples = self._examples(sides, self.block, self._kernel(sides.desired.shape[2]))
        barrier = examples.barrier()
        norm = float(torch.cat([examples.desired, examples.undesired]).double().norm(dim=1).mean())
        reach = 1.0 if self.unit == "state" else norm
        if self.unit == "desired":
            reach = self._reach(barrier, examples, norm)
        return _Learnt(barrier, reach, norm)

    def _reach(self, barrier: UnitBarrier, examples: Examples, norm: float) -> float:
        quick = _quickest(barrier)
        law = self._flow(quick, self.block + 1)

        def flow(x: Tensor, length: float) -> Tensor:
            return x + law.displacement(x, x.new_full((len(x), 1), length))

        return length_to_desired(flow, quick, examples.desired, examples.undesired, 0.1 * norm)

    def _flow(self, barrier: UnitBarrier, blocks: int) -> FlowLaw:
        return FlowLaw(barrier, self.block, blocks, self.solver, self.steps)

    def _examples(self, sides: Sides, block: int, kernel: Kernel) -> Examples:
        desired, undesired = (side[:, block + 1] for side in sides)
        return Examples(kernel, desired, undesired, self.C)

    def _kernel(self, n: int) -> Kernel:
        if self.barrier == "linear":
            return Linear()
        if self.barrier == "sketch":
            drawn = (self.degree, self.components, self.gamma, self.coef0, self.seed)
            return Sketched(Sketch.drawn(n, *drawn))
        if self.degree != 2:
            raise InputError(f"degree is {self.degree}; a quadratic barrier has 2.")
        if n > self.widest:
            raise InputError(
                f"a quadratic barrier of a state of width {n} keeps {n} x {n} numbers, "
                f"{4 * n * n / 2**20:.0f} MiB, and goes through them {self.steps} times a token: "
                f"use barrier='sketch', or allow it with widest={n}."
            )
        return Quadratic(self.gamma, self.coef0)

    def _require_known(self) -> None:
        choices = (
            ("barrier", self.barrier, BarrierName),
            ("unit", self.unit, UnitName),
            ("solver", self.solver, Solver),
        )
        for name, choice, kind in choices:
            if choice not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise InputError(f"{name} is {choice!r}; choose one of {known}.")


@dataclass(frozen=True)
class StepODESteer(ODESteer):
    """ODESteer in a single Euler step: the gradient where the state is, and no further look.

    Args:
        barrier: as in `ODESteer`, and so are the others.
        block: see there.
        solver: see there.
        steps: see there.
        unit: see there.
        components: see there.
        degree: see there.
        gamma: see there.
        coef0: see there.
        C: see there.
        seed: see there.
        widest: see there.

    Source:
        ODESteer (arXiv 2602.17560).
    """

    name: ClassVar[str] = "step-odesteer"
    about: ClassVar[About] = About(
        paper="StepODESteer, arXiv 2602.17560",
        direction="gradient of a classifier",
        setpoint="length of one step",
        controller="Euler step",
        verified="as odesteer",
        site="block output",
    )

    steps: int = 1


class _Learnt(NamedTuple):
    """A barrier, the length of path that is target 1, and the mean length of the states."""

    barrier: UnitBarrier
    unit: float
    norm: float

    def controller(self, evidence: Evidence) -> Controller:
        unit = torch.tensor(self.unit, dtype=torch.float64)
        own = {**_tensors(self.barrier), "unit": unit}
        like = evidence.direction.contrast[:-1]
        return Controller.of_own(like, {name: tensor.float() for name, tensor in own.items()})


def _best(found: Mapping[int, Unseen]) -> int:
    """The block with the largest d' of those as accurate as the best, but for a standard error."""
    best = max(found.values(), key=lambda one: one.accuracy)
    good = [block for block, one in found.items() if one.accuracy >= best.accuracy - best.se]
    return max(good, key=lambda block: found[block].d)


def _table(found: Mapping[int, Unseen], block: int, learnt: _Learnt) -> Diagnostic:
    """How well the classifiers of the blocks do on what they have not seen."""
    best = found[block]
    return Diagnostic(
        name="Classifier out of sample",
        headline=(
            f"the classifier of block {block} is right on {100 * best.accuracy:.0f} % of examples "
            f"left out (d' {best.d:.1f}), and target 1 is a path of "
            f"{learnt.unit / learnt.norm:.2f} times the length of the mean state"
        ),
        columns=("block", "accuracy", "standard error", "d'", "loss"),
        rows=tuple((b, one.accuracy, one.se, one.d, one.loss) for b, one in found.items()),
    )


def _quickest(barrier: UnitBarrier) -> UnitBarrier:
    """The same barrier in the form that runs fastest."""
    small = barrier.n <= MULTIPLIED_OUT
    if isinstance(barrier, SketchBarrier) and barrier.sketch.degree == 2 and small:
        return barrier.multiplied_out()
    return barrier


def _tensors(barrier: UnitBarrier) -> dict[str, Float[Tensor, "..."]]:
    """What a barrier is made of, by name, as numbers."""
    if isinstance(barrier, SketchBarrier):
        sketch = barrier.sketch
        more = {"places": sketch.places, "factors": sketch.factors}
        return {"w": barrier.w, "b": barrier.b, **{k: t.double() for k, t in more.items()}}
    return {name: getattr(barrier, name) for name in vars(barrier)}


def _barrier(name: BarrierName, own: Mapping[str, Float[Tensor, "..."]]) -> UnitBarrier:
    """The barrier that is made of these."""
    if name == "linear":
        return LinearBarrier(own["w"], own["b"])
    if name == "quadratic":
        return QuadraticBarrier(own["M"], own["w"], own["b"])
    sketch = Sketch(own["places"].long(), own["factors"], len(own["w"]))
    return SketchBarrier(sketch, own["w"], own["b"])

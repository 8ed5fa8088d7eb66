"""A feature LQR design: feedback, feed-forward and the cost-to-go, block by block."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from steersman.control.checks import require_finite, require_shape
from steersman.control.effort import Effort
from steersman.control.feature_cost import FeatureCost
from steersman.control.law import AffineLaw
from steersman.control.stage import Stage, asked_of
from steersman.control.trajectory import Trajectory
from steersman.errors import InputError


@dataclass(frozen=True, eq=False)
class FeatureDesign:
    """The optimal law for features, `w_t = K_t (b_{t+1} - H_t' delta_t)`, `u_t = B_t w_t`.

    The feedback belongs to the plant and the weights alone; the feed-forward `b` is linear in the
    demands `ebar`, so one design serves every target.

    Demands are `(states, k)`: how far each feature is to be moved from the nominal run at
    `x_0 .. x_T`, in its own units. The row of `x_0` is never used.

    Args:
        cost: the features and their weights.
        effort: the actuators and their weights.
        stages: the design of every block.
    """

    cost: FeatureCost
    effort: Effort
    stages: tuple[Stage, ...]

    @property
    def discarded(self) -> tuple[float, ...]:
        """The largest singular value left out of `W_{t+1}` at every block; 0 is nothing.

        Without demands the cost-to-go of this design understates what its law really costs, by no
        more than `sum_t discarded_t^2 |delta_{t+1}|^2` along the closed loop; the optimum lies
        between the two. With demands, `duality_gap` bounds what truncation costs.
        """
        return tuple(stage.discarded for stage in self.stages)

    def feedforward(
        self, demands: Float[Tensor, "states k *many"]
    ) -> tuple[Float[Tensor, "_ *many"], ...]:
        """`b_1 .. b_T`, one for each block: where the law wants what it observes to be.

        Args:
            demands: `ebar_0 .. ebar_T`, `(states, k)`, or several sets of them side by side.

        Raises:
            ShapeError: `demands` does not belong to this design.
            NumericalError: NaN or infinity.
        """
        asked = asked_of(self.stages, demands)
        return tuple(s.keep(b) for s, b in zip(self.stages, asked, strict=True))

    def feedback(
        self, demands: Float[Tensor, "states k"]
    ) -> Callable[[int, Float[Tensor, " n"]], Float[Tensor, " p"]]:
        """The law for these demands, `(block, delta_t) -> w_t = K_t (b_{t+1} - H_t' delta_t)`.

        Raises:
            ShapeError: `demands` does not belong to this design.
            NumericalError: NaN or infinity.
        """
        forward = self.feedforward(demands)

        def act(block: int, delta: Float[Tensor, " n"]) -> Float[Tensor, " p"]:
            stage = self.stages[block]
            return stage.D @ (stage.L.mT @ (forward[block] - stage.H.mT @ delta.to(stage.H)))

        return act

    def law(self) -> AffineLaw:
        """The same feedback as one law of uniform width; blocks with fewer columns get zeros."""
        active = tuple(t for t in range(len(self.stages)) if self.effort.acts(t))
        H = _padded(s.H.mT for s in self.stages).mT.contiguous()
        G = _padded(s.G.mT for s in self.stages).mT.contiguous()
        return AffineLaw(H, G, None if len(active) == len(self.stages) else active)

    def shifts(self, demands: Float[Tensor, "states k *many"]) -> Float[Tensor, "blocks m *many"]:
        """The reference of `law()` relative to its nominal observation: `b_{t+1}`, zeros behind.

        Args:
            demands: `ebar_0 .. ebar_T`, `(states, k)`, or several sets of them side by side.

        Raises:
            ShapeError: `demands` does not belong to this design.
            NumericalError: NaN or infinity.
        """
        return _padded(self.feedforward(demands))

    def references(
        self, demands: Float[Tensor, "states k"], nominal: Float[Tensor, "states n"]
    ) -> Float[Tensor, "blocks m"]:
        """The setpoints of `law()` in natural coordinates, `s_t = b_{t+1} + H_t' xbar_t`.

        Args:
            demands: `ebar_0 .. ebar_T`; for absolute setpoints `cost.demands(beta, nominal)`.
            nominal: the states `xbar_0 .. xbar_T` of the unsteered run.

        Raises:
            ShapeError: `demands` or `nominal` does not belong to this design.
            NumericalError: NaN or infinity.
        """
        states, n = len(self.stages) + 1, self.cost.n
        require_shape("nominal", nominal, ("states", states), ("n", n))
        require_finite("nominal", nominal)
        xbar = nominal.to(self.cost.V)
        observed = _padded(s.H.mT @ x for s, x in zip(self.stages, xbar[:-1], strict=True))
        return self.shifts(demands) + observed

    def cost_to_go(
        self, demands: Float[Tensor, "states k"], delta0: Float[Tensor, " n"] | None = None
    ) -> float:
        """The least cost from `delta_0`: `|L_0' (b_1 - H_0' delta_0)|^2` and what is constant.

        With a truncated design it is an estimate, and may lie on either side.

        Args:
            demands: `ebar_0 .. ebar_T`.
            delta0: the deviation at the first block's input; None is zero.

        Raises:
            ShapeError: `demands` or `delta0` does not belong to this design.
            NumericalError: NaN or infinity.
        """
        asked = asked_of(self.stages, demands)
        lost = (s.neglected(b).square().sum() for s, b in zip(self.stages, asked, strict=True))
        return float(self._first_error(asked, delta0).square().sum() + sum(lost))

    def schedule(
        self, demands: Float[Tensor, "states k"], delta0: Float[Tensor, " n"] | None = None
    ) -> Trajectory:
        """The inputs of the closed loop on the linear plant, without one more product with it.

        In normalised errors `e_t = L_t' (b_{t+1} - H_t' delta_t)` the closed loop is

            w_t = D_t e_t        [ Q_{t+1}^{1/2} (ebar_{t+1} - V_{t+1}' delta_{t+1}) ; e_{t+1} ]
                                     =  L_t e_t

        so that `|e_t|^2` is the cost-to-go. A truncated design no longer knows the whole of `e_t`.

        Args:
            demands: `ebar_0 .. ebar_T`.
            delta0: the deviation at the first block's input; None is zero.

        Raises:
            ShapeError: `demands` or `delta0` does not belong to this design.
            InputError: the design was truncated.
            NumericalError: NaN or infinity.
        """
        if any(self.discarded):
            raise InputError(
                f"Truncation left singular values up to {max(self.discarded):.3g} out of this "
                "design, so its closed loop has to be run on the plant: use roll_out with its "
                "feedback, or design it without a rank."
            )
        asked = asked_of(self.stages, demands)
        e, w, errors = self._first_error(asked, delta0), [], [self.cost.V.new_zeros(self.cost.k)]
        for stage, b in zip(self.stages, asked, strict=True):
            w.append(stage.D @ e)
            left = stage.spread(stage.L @ e) + stage.neglected(b)
            own = len(stage.demand_map)
            head, e = left[:own], left[own:]
            errors.append((stage.demand_map != 0).to(head).mT @ head)
        return Trajectory.of(self.effort, w, errors)

    def _first_error(
        self, asked: list[Tensor], delta0: Float[Tensor, " n"] | None
    ) -> Float[Tensor, " m"]:
        """`e_0 = L_0' (b_1 - H_0' delta_0)`."""
        first = self.stages[0]
        error = first.keep(asked[0])
        if delta0 is not None:
            require_shape("delta0", delta0, ("n", self.cost.n))
            require_finite("delta0", delta0)
            error = error - first.H.mT @ delta0.to(error)
        return first.L.mT @ error


def _padded(rows: Iterable[Tensor]) -> Tensor:
    """Tensors of `m` rows each, stacked, with zeros behind the shorter ones."""
    return pad_sequence(list(rows), batch_first=True)

"""What is asked of features: a weighted square error at every state."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.checks import require_finite, require_full_precision, require_shape
from steersman.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class FeatureCost:
    """The tracking cost of `k` features of the states `x_1 .. x_T`.

        sum_{t=1..T} |Q_t^{1/2} (V_t' x_t - beta_t)|^2        Q_t = diag(weights_t)

    `x_0` is what the first block is given; no input moves it, so it is not counted. A feature whose
    column is exactly zero asks for nothing at that state: its weight there is zero.

    Args:
        V: the features' directions at `x_0 .. x_T`, one column each, `(states, n, k)`, float32 or
            float64; `states = blocks + 1`.
        q: weight at the block inputs `x_0 .. x_{T-1}`, zero or above: one number, one a feature
            `(k,)`, or one a block and feature `(blocks, k)`.
        qf: weight after the last block, zero or above: one number, or one a feature `(k,)`.

    Raises:
        ShapeError: `V` is not `(states, n, k)`, has more features than `n`, or `q` or `qf` has
            another length.
        InputError: half precision, a weight below zero, no weight above zero, or features of one
            state that are linearly dependent.
        NumericalError: NaN or infinity.
    """

    V: Float[Tensor, "states n k"]
    q: float | Float[Tensor, "*blocks k"]
    qf: float | Float[Tensor, " k"]

    def __post_init__(self) -> None:
        """Check shapes, values and that the features of each state can be told apart."""
        shape = tuple(self.V.shape)
        if len(shape) != 3 or 0 in shape or shape[0] < 2:
            raise ShapeError(
                f"V has shape {shape}; expected (states, n, k) for the states x_0 .. x_T, T >= 1."
            )
        if self.k > self.n:
            raise ShapeError(f"V has {self.k} features of states of width {self.n}; give fewer.")
        require_full_precision("V", self.V)
        require_finite("V", self.V)
        if not bool((self.weights > 0).any()):
            raise InputError(
                "q and qf are zero at every state after x_0, or V is: nothing is asked for. "
                "Raise q or qf."
            )
        for state in range(1, self.blocks + 1):
            self._require_independent(state)

    @property
    def blocks(self) -> int:
        """The number of blocks: the horizon."""
        return self.V.shape[0] - 1

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.V.shape[1]

    @property
    def k(self) -> int:
        """How many features there are."""
        return self.V.shape[2]

    @cached_property
    def weights(self) -> Float[Tensor, "states k"]:
        """The diagonals of `Q_0 .. Q_T`: zero at `x_0` and where a feature has no direction."""
        running = _weight("q", self.q, self.V[:-1, 0])
        final = _weight("qf", self.qf, self.V[-1:, 0])
        weights = torch.cat([running, final]) * self.V.any(dim=1)
        weights[0] = 0
        return weights

    def demand_map(self, state: int) -> Float[Tensor, "weighted k"]:
        """`Q_t^{1/2}` without its zero rows: what it makes of the demands at one state."""
        return torch.diag(self.weights[state].sqrt())[self.weights[state] > 0]

    def factor(self, state: int) -> Float[Tensor, "n weighted"]:
        """`V_t Q_t^{1/2}` without its zero columns."""
        return self.V[state] @ self.demand_map(state).mT

    def demands(
        self, beta: Float[Tensor, "states k"], nominal: Float[Tensor, "states n"]
    ) -> Float[Tensor, "states k"]:
        """`beta_t - V_t' xbar_t`: how far each feature is to be moved from the nominal run.

        Args:
            beta: where the features should be at `x_0 .. x_T`, in their own units; the row of
                `x_0` is never used.
            nominal: the states `xbar_0 .. xbar_T` of the unsteered run.

        Raises:
            ShapeError: `beta` or `nominal` does not belong to these features.
        """
        states = self.blocks + 1
        require_shape("beta", beta, ("states", states), ("k", self.k))
        require_shape("nominal", nominal, ("states", states), ("n", self.n))
        return beta.to(self.V) - torch.einsum("tnk,tn->tk", self.V, nominal.to(self.V))

    def _require_independent(self, state: int) -> None:
        features = torch.nonzero(self.weights[state]).flatten()
        if len(features) < 2:
            return
        unit = torch.nn.functional.normalize(self.V[state][:, features], dim=0)
        _, sizes, rows = torch.linalg.svd(unit, full_matrices=False)
        tolerance = self.n * torch.finfo(unit.dtype).eps * float(sizes[0])
        if float(sizes[-1]) <= tolerance:
            involved = features[rows[-1].abs() > 0.01].tolist()
            raise InputError(
                f"Features {involved} are linearly dependent at state {state}: the smallest "
                f"singular value of their unit directions is {float(sizes[-1]):.1e}, at most "
                f"{tolerance:.1e}. Drop one, or give it the weight 0 there."
            )


def _weight(
    name: str, weight: float | Float[Tensor, "*blocks k"], like: Float[Tensor, "blocks k"]
) -> Float[Tensor, "blocks k"]:
    """A weight for every block and feature, in the precision and place of `like`."""
    found = weight if isinstance(weight, Tensor) else torch.tensor(weight, dtype=torch.float64)
    found = found.to(like)
    blocks, k = like.shape
    if tuple(found.shape) not in {(), (k,), (blocks, k)}:
        raise ShapeError(
            f"{name} has shape {tuple(found.shape)}; expected a number, (k={k},) or "
            f"(blocks={blocks}, k={k})."
        )
    require_finite(name, found)
    if bool((found < 0).any()):
        raise InputError(f"{name} holds {float(found.min())}; a weight must be zero or above.")
    return found.expand(blocks, k)

"""Norms in which a loop contracts: the backward Lyapunov recursion."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.control.system import LTVSystem
from steersman.errors import NumericalError, ShapeError


@dataclass(frozen=True, eq=False)
class Lyapunov:
    """The norms `|x|_{P_t}` of a loop `x_{t+1} = Phi_t x_t`, one at each of its states.

        P_T = I        P_t = Phi_t' P_{t+1} Phi_t + I        |x|_{P_t} = sqrt(x' P_t x)

    `|x_t|^2_{P_t}` is the energy `|x_t|^2 + .. + |x_T|^2` of the free run from `x_t`, so that every
    step contracts, `|Phi_t x|^2_{P_{t+1}} = |x|^2_{P_t} - |x|^2`, however large its gain. Only
    Cholesky factors are held, `P_t = C_t C_t'`, `|x|_{P_t} = |C_t' x|`, each the triangle of a QR
    of `[C_{t+1}' Phi_t; I]`: forming `P_t` would square the condition number of the loop.

    Args:
        factors: `C_0 .. C_T`, lower triangles with a diagonal above zero, float64.

    Source:
        Anderson and Moore, Optimal Filtering, chapter 4; Rugh, Linear System Theory, chapter 23.
    """

    factors: Float[Tensor, "states n n"]

    @classmethod
    def of(cls, loop: LTVSystem) -> "Lyapunov":
        """Solve the recursion, in float64 whatever the precision of `loop`.

        Args:
            loop: the plant, or a closed loop as `LTVSystem.closed_loop` makes it.

        Raises:
            NumericalError: it overflows, as where the gain of the whole loop is beyond 1e154.
        """
        eye = torch.eye(loop.n, dtype=torch.float64, device=loop.A.device)
        factors = [eye]
        for block in reversed(range(loop.blocks)):
            stacked = torch.cat([factors[-1].mT @ loop.A[block].double(), eye])
            if not bool(torch.isfinite(stacked).all()):
                raise NumericalError(
                    f"The Lyapunov recursion overflowed at block {block} "
                    f"(|Phi_{block}| = {float(loop.A[block].double().norm()):.3g}): this loop has "
                    "no bound. Check the plant, or lower the gains."
                )
            triangle = torch.linalg.qr(stacked, mode="r").R
            factors.append((torch.sign(torch.diagonal(triangle)).unsqueeze(1) * triangle).mT)
        return cls(torch.stack(factors[::-1]))

    @property
    def states(self) -> int:
        """How many states there are: one more than blocks."""
        return self.factors.shape[0]

    @property
    def n(self) -> int:
        """The width of the state."""
        return self.factors.shape[1]

    def norms(self, x: Float[Tensor, "*rows states n"]) -> Float[Tensor, "*rows states"]:
        """`|x_t|_{P_t}` of each state of any rows.

        Raises:
            ShapeError: `x` has other states.
        """
        self._require_states("x", x)
        weighed = torch.einsum("tnm,...tn->...tm", self.factors, x.to(self.factors))
        found: Tensor = torch.linalg.vector_norm(weighed, dim=-1)
        return found

    def dual_norms(self, v: Float[Tensor, "states n"]) -> Float[Tensor, " states"]:
        """`|v_t|_{P_t^-1}`, the least number with `|v_t' x| <= |v_t|_{P_t^-1} |x|_{P_t}` for all x.

        Raises:
            ShapeError: `v` has other states.
        """
        self._require_states("v", v)
        columns = v.to(self.factors).unsqueeze(-1)
        solved = torch.linalg.solve_triangular(self.factors, columns, upper=False)
        found: Tensor = torch.linalg.vector_norm(solved.squeeze(-1), dim=-1)
        return found

    def gains(self, loop: LTVSystem) -> Float[Tensor, "states states"]:
        """The induced norms of all transitions of the loop.

            gains[k, i] = |Phi(k, i)|_{P_i -> P_k} = sigma_max( C_k' Phi(k, i) C_i'^-1 )     i <= k

        One step gives `sqrt(1 - 1/lambda_max(P_i))`, always below one.

        Args:
            loop: what these norms were made of.

        Returns:
            The norms, `(to, from)`; ones on the diagonal, zeros above it.

        Raises:
            ShapeError: `loop` is of another size.
        """
        if (loop.blocks + 1, loop.n) != (self.states, self.n):
            raise ShapeError(
                f"the loop has {loop.blocks} blocks of width {loop.n}; these norms are for "
                f"{self.states - 1} of width {self.n}."
            )
        steps = [self._step(loop, block) for block in range(loop.blocks)]
        found = torch.eye(self.states, dtype=torch.float64, device=self.factors.device)
        for start in range(loop.blocks):
            transition = steps[start]
            found[start + 1, start] = torch.linalg.matrix_norm(transition, 2)
            for block in range(start + 1, loop.blocks):
                transition = steps[block] @ transition
                found[block + 1, start] = torch.linalg.matrix_norm(transition, 2)
        return found

    def _step(self, loop: LTVSystem, block: int) -> Float[Tensor, "n n"]:
        """`C_{t+1}' Phi_t C_t'^-1`."""
        moved = self.factors[block + 1].mT @ loop.A[block].double()
        solved: Tensor = torch.linalg.solve_triangular(self.factors[block], moved.mT, upper=False)
        return solved.mT

    def _require_states(self, name: str, x: Tensor) -> None:
        if x.ndim < 2 or tuple(x.shape[-2:]) != (self.states, self.n):
            raise ShapeError(
                f"{name} has shape {tuple(x.shape)}; expected (.., states={self.states}, "
                f"n={self.n})."
            )

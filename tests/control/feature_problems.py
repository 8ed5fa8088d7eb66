"""Random feature problems, and two independent solutions of them in numpy."""

from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor
from toy_plants import generator, randn, random_plant

from steersman.control import Effort, FeatureCost, LTVSystem


class Problem(NamedTuple):
    """A plant, what is asked of it and from where."""

    system: LTVSystem
    cost: FeatureCost
    effort: Effort
    demands: Tensor
    delta0: Tensor


def near(found, expected, rtol=1e-10):
    """Whether two arrays agree relative to the larger one's size."""
    found, expected = np.asarray(found), np.asarray(expected)
    scale = max(np.linalg.norm(found), np.linalg.norm(expected), 1e-30)
    return bool(np.linalg.norm(found - expected) <= rtol * scale)


def unit_columns(seed: int, states: int, n: int, k: int, common: float = 0.0) -> Tensor:
    """Random unit directions; each state shares the part `common` with the state before it."""
    V = [randn(seed, n, k)]
    for state in range(1, states):
        V.append(common * V[-1] + (1 - common**2) ** 0.5 * randn(seed + state, n, k))
    return torch.nn.functional.normalize(torch.stack(V), dim=1)


def weights(seed: int, *shape: int) -> Tensor:
    """Weights between 0.1 and 10, a fifth of them zero."""
    uniform = torch.rand(2, *shape, generator=generator(seed), dtype=torch.float64)
    return 10 ** (2 * uniform[0] - 1) * (uniform[1] > 0.2)


def problem(seed=0, blocks=5, n=6, k=1, gain=0.5, q=1.0, qf=3.0, r=1.0, B=None, common=0.0):
    """One problem with random demands and a random start."""
    V = unit_columns(seed + 1, blocks + 1, n, k, common)
    return Problem(
        random_plant(seed, blocks, n, gain),
        FeatureCost(V, q, qf),
        Effort(r, B),
        randn(seed + 50, blocks + 1, k),
        randn(seed + 51, n),
    )


def random_effort(seed: int, blocks: int, n: int):
    """Weights of every kind, some infinite, and no, few or many actuators; the last block acts."""
    kind = seed % 4
    scalar = 0.1 + weights(seed, blocks)
    scalar[:-1][weights(seed + 1, blocks - 1) == 0] = torch.inf
    if kind == 0:
        return 0.3, None
    if kind == 1:
        return scalar, None
    widths = [1 + (seed + t) % 3 for t in range(blocks)]
    B = tuple(randn(seed + 7 * t, n, p) for t, p in enumerate(widths))
    if kind == 2:
        return scalar, B
    vectors = [0.1 + weights(seed + t, p) for t, p in enumerate(widths)]
    vectors[0][0] = torch.inf if blocks > 1 else 1.0
    return tuple(vectors), B


class Recipe(NamedTuple):
    """What hypothesis draws; the checks of annotations use random numbers, which it must not."""

    seed: int
    blocks: int
    n: int
    k: int
    gain: float
    common: float

    def problem(self) -> Problem:
        """A problem with weights and actuators of some kind."""
        seed, blocks, n, k, gain, common = self
        r, B = random_effort(seed, blocks, n)
        q, qf = weights(seed, blocks, k), 0.1 + weights(seed + 1, k)
        return problem(seed, blocks, n, k, gain, q, qf, r, B, common)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Of every kind that fits six blocks of width six."""
    n = draw(st.integers(1, 6))
    return Recipe(
        seed=draw(st.integers(0, 10**6)),
        blocks=draw(st.integers(1, 6)),
        n=n,
        k=draw(st.integers(1, min(n, 4))),
        gain=draw(st.floats(0.0, 1.5)),
        common=draw(st.sampled_from([0.0, 0.9])),
    )


def usable_actuators(effort: Effort, block: int, n: int):
    """`B_t` and the weights of its actuators, without those that must not be touched."""
    B = np.eye(n) if effort.B is None else effort.B[block].numpy()
    r = np.float64(effort.r if isinstance(effort.r, float) else effort.r[block])
    r = np.broadcast_to(r, B.shape[1])
    return B[:, np.isfinite(r)], r[np.isfinite(r)]


def riccati(given: Problem):
    """Gains `u = f - K delta`, and the cost-to-go `(P, p, c)` of `x'Px - 2p'x + c`, dense."""
    A, V = given.system.A.numpy(), given.cost.V.numpy()
    Q, ebar, n = given.cost.weights.numpy(), given.demands.numpy(), given.system.n
    P, p, c = np.zeros((n, n)), np.zeros(n), 0.0
    gains, forward = [], []
    for t in reversed(range(len(A))):
        VQ = V[t + 1] * Q[t + 1]
        P, p, c = P + VQ @ V[t + 1].T, p + VQ @ ebar[t + 1], c + Q[t + 1] @ ebar[t + 1] ** 2
        B, r = usable_actuators(given.effort, t, n)
        M = B @ np.linalg.solve(np.diag(r) + B.T @ P @ B, B.T)
        gains.append(M @ P @ A[t])
        forward.append(M @ p)
        P, p, c = A[t].T @ (P - P @ M @ P) @ A[t], A[t].T @ (p - P @ M @ p), c - p @ M @ p
    return gains[::-1], forward[::-1], (P, p, c)


def least_squares(given: Problem):
    """The optimum over all inputs at once: inputs of every block in `R^n`, and the least cost."""
    A, V, n = given.system.A.numpy(), given.cost.V.numpy(), given.system.n
    root, ebar = np.sqrt(given.cost.weights.numpy()), given.demands.numpy()
    parts = [usable_actuators(given.effort, t, n) for t in range(len(A))]
    maps = [B / np.sqrt(r) for B, r in parts]  # of inputs whose square is their cost
    ends = np.cumsum([0, *(m.shape[1] for m in maps)])
    free, forced, rows, target = given.delta0.numpy(), np.zeros((n, ends[-1])), [], []
    for t in range(len(A)):
        free, forced = A[t] @ free, A[t] @ forced
        forced[:, ends[t] : ends[t + 1]] += maps[t]
        rows.append(root[t + 1][:, None] * (V[t + 1].T @ forced))
        target.append(root[t + 1] * (ebar[t + 1] - V[t + 1].T @ free))
    F = np.concatenate([*rows, np.eye(ends[-1])])
    y = np.concatenate([*target, np.zeros(ends[-1])])
    v = np.linalg.lstsq(F, y, rcond=None)[0]
    inputs = [m @ v[ends[t] : ends[t + 1]] for t, m in enumerate(maps)]
    return np.stack(inputs), float(np.sum((F @ v - y) ** 2))

"""A recursive feature machine: which direction of the states a kernel regression listens to."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.errors import InputError, ShapeError

BANDWIDTHS = (1.0, 10.0, 100.0)
RIDGE = 1e-3
ITERATIONS = 10


class Learnt(NamedTuple):
    """The best of all iterations.

    Attributes:
        direction: `u`, of length one, along which the labels rise; zero where none was found.
        correlation: `|corr(X u, y)|` on the examples held out.
        bandwidth: `L` it was found with.
        normalised: whether states were brought to length one first.
        iteration: after how many updates of `M`.
    """

    direction: Float[Tensor, " n"]
    correlation: float
    bandwidth: float
    normalised: bool
    iteration: int


def feature_machine(
    x: Float[Tensor, "rows n"],
    y: Float[Tensor, " rows"],
    held_x: Float[Tensor, "held n"],
    held_y: Float[Tensor, " held"],
    *,
    bandwidths: tuple[float, ...] = BANDWIDTHS,
    ridge: float = RIDGE,
    iterations: int = ITERATIONS,
) -> Learnt:
    """Kernel ridge regression and the average gradient outer product, in turn.

        k(x, z) = exp(-|x - z|_M / L),    |d|_M = sqrt(d'M d),    M = I to begin with
        a = (K + ridge I)^-1 y,           f(x) = sum_i a_i k(x, x_i)
        g_j = grad f(x_j) - their mean,   M <- sum_j g_j g_j',  divided by its largest entry

    `u` is the top eigenvector of `M`. Every bandwidth is tried with the states minus their mean,
    and with these brought to length one; of all that and all iterations the `u` is taken whose
    feature correlates best with the labels held out. Labels may be soft: any numbers.

    All of it happens in the span of the centred states, which no step leaves, so that nothing
    larger than `rows x rows` is made where there are fewer rows than coordinates.

    Args:
        x: states to learn from, float64.
        y: their labels.
        held_x: states to choose by.
        held_y: their labels.
        bandwidths: `L`, each above zero.
        ridge: above zero.
        iterations: updates of `M`, at least one.

    Raises:
        ShapeError: as many labels as states are needed, and states of one width.
        InputError: less than two different labels on a side, a number that cannot be.

    Source:
        Radhakrishnan, Beaglehole, Pandit and Belkin, recursive feature machines (Science 383,
        2024); as direction, with soft labels by attention, in arXiv 2602.00333.
    """
    _check(x, y, held_x, held_y)
    if not bandwidths or not all(one > 0 for one in bandwidths) or ridge <= 0 or iterations < 1:
        raise InputError("give bandwidths and a ridge above zero, and one iteration or more.")
    mean = x.mean(0)
    basis = _span(x - mean)
    seen, held = (x - mean) @ basis, (held_x - mean) @ basis
    best = Learnt(torch.zeros_like(mean), 0.0, bandwidths[0], False, 0)
    for bandwidth in bandwidths:
        for normalised in (True, False):
            rows, others = (_units(part) if normalised else part for part in (seen, held))
            M = torch.eye(basis.shape[1]).to(x)
            for iteration in range(1, iterations + 1):
                M = _updated(rows, y, M, basis, bandwidth, ridge)
                if not bool(M.any()):
                    break
                u = torch.linalg.eigh(M).eigenvectors[:, -1]
                fits = _correlation(others @ u, held_y)
                if abs(fits) > best.correlation:
                    sign = 1 if _correlation(rows @ u, y) >= 0 else -1
                    found = (sign * (basis @ u), abs(fits))
                    best = Learnt(*found, bandwidth, normalised, iteration)
    return best


def _updated(
    rows: Float[Tensor, "rows r"],
    y: Float[Tensor, " rows"],
    M: Float[Tensor, "r r"],
    basis: Float[Tensor, "n r"],
    bandwidth: float,
    ridge: float,
) -> Float[Tensor, "r r"]:
    """One fit of `f` and the matrix of its gradients."""
    applied = rows @ M
    squares = (applied * rows).sum(1)
    distance = (squares[:, None] + squares[None] - 2 * applied @ rows.mT).clamp_min(0).sqrt()
    distance.fill_diagonal_(0)
    kernel = (-distance / bandwidth).exp()
    a = torch.linalg.solve(kernel + ridge * torch.eye(len(y)).to(rows), y)
    # The kernel has a kink where two states are the same: no gradient comes from there.
    slopes = torch.where(distance > 0, kernel / distance, 0.0) * a
    gradients = (slopes @ applied - slopes.sum(1, keepdim=True) * applied) / bandwidth
    gradients = gradients - gradients.mean(0)
    found = gradients.mT @ gradients
    # The largest entry of such a matrix is on its diagonal, here as the states' own axes see it.
    largest = ((basis @ found) * basis).sum(1).max()
    if not float(largest) > 0:
        return torch.zeros_like(found)
    updated: Tensor = found / largest
    return updated


def _span(centred: Float[Tensor, "rows n"]) -> Float[Tensor, "n r"]:
    _, sizes, rows = torch.linalg.svd(centred, full_matrices=False)
    kept = sizes > sizes[0] * max(centred.shape) * torch.finfo(centred.dtype).eps
    basis: Tensor = rows[kept].mT
    return basis


def _units(rows: Float[Tensor, "rows r"]) -> Float[Tensor, "rows r"]:
    return torch.nn.functional.normalize(rows, dim=1)


def _correlation(feature: Float[Tensor, " rows"], y: Float[Tensor, " rows"]) -> float:
    """Pearson's; 0 where one of them is constant."""
    one, other = feature - feature.mean(), y - y.mean()
    size = float(one.norm() * other.norm())
    return float(one @ other) / size if size > 0 else 0.0


def _check(x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor) -> None:
    for rows, labels in ((x, y), (held_x, held_y)):
        if len(rows) != len(labels) or rows.shape[1] != x.shape[1]:
            raise ShapeError(
                f"states {tuple(rows.shape)} and labels {tuple(labels.shape)}; expected a label "
                f"for each state of width {x.shape[1]}."
            )
        if len(labels) < 2 or not bool((labels != labels[0]).any()):
            raise InputError("labels have to differ, both to learn from and to choose by.")

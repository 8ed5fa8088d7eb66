"""The recursive feature machine: against a plain transcription, and what it must find."""

import numpy as np
import pytest
import torch
from gaussians import stacked, two_sides
from scipy.spatial.distance import cdist

from steersman.directions import FeatureMachine, feature_machine, observer_named
from steersman.directions.kernel_machine import BANDWIDTHS, ITERATIONS, RIDGE
from steersman.directions.probe import fold_numbers
from steersman.errors import InputError, ShapeError

Array = np.ndarray


def gradient(x: Array, rows: Array, a: Array, M: Array, L: float) -> Array:
    """Of `f` at `x`, one example after another."""
    total = np.zeros(len(x))
    for row, weight in zip(rows, a, strict=True):
        difference = x - row
        distance = np.sqrt(max(difference @ M @ difference, 0))
        if distance > 1e-9:
            total -= weight * np.exp(-distance / L) * (M @ difference) / (distance * L)
    return total


def transcribed(x: Array, y: Array, held: Array, held_y: Array, iterations: int) -> list[float]:
    """The best `u`, and its correlation, in the states' own coordinates with full matrices."""
    best: tuple[float, Array] = (0.0, np.zeros(x.shape[1]))
    for L in BANDWIDTHS:
        for normalised in (True, False):
            rows, others = x - x.mean(0), held - x.mean(0)
            if normalised:
                rows, others = (
                    part / np.linalg.norm(part, axis=1, keepdims=True) for part in (rows, others)
                )
            M = np.eye(x.shape[1])
            for _ in range(iterations):
                root = np.linalg.cholesky(M + 1e-14 * np.eye(len(M)))
                K = np.exp(-cdist(rows @ root, rows @ root) / L)
                a = np.linalg.solve(K + RIDGE * np.eye(len(y)), y)
                G = np.stack([gradient(one, rows, a, M, L) for one in rows])
                G = G - G.mean(0)
                M = G.T @ G
                M = M / M.max()
                u = np.linalg.eigh(M)[1][:, -1]
                r = abs(np.corrcoef(others @ u, held_y)[0, 1])
                if r > best[0]:
                    best = (r, u * np.sign(np.corrcoef(rows @ u, y)[0, 1]))
    return [best[0], *best[1]]


def soft(count: int, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """States and labels between 0 and 1 that rise along one oblique direction, not linearly."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, n, generator=generator, dtype=torch.float64) + 1
    along = torch.arange(1.0, n + 1).double()
    return x, torch.sigmoid(3 * (x - 1) @ along / along.norm())


@pytest.mark.parametrize(("count", "n"), [(30, 5), (12, 20)])
def test_it_is_what_a_plain_transcription_finds(count: int, n: int) -> None:
    (x, y), (held, held_y) = soft(count, n, 0), soft(15, n, 1)
    found = feature_machine(x, y, held, held_y, iterations=3)
    expected = transcribed(*(part.numpy() for part in (x, y, held, held_y)), iterations=3)
    assert found.correlation == pytest.approx(expected[0], abs=1e-5)
    np.testing.assert_allclose(found.direction, expected[1:], atol=1e-4)


def test_it_finds_the_direction_that_soft_labels_rise_along() -> None:
    (x, y), (held, held_y) = soft(150, 6, 0), soft(60, 6, 1)
    along = torch.arange(1.0, 7.0).double()
    found = feature_machine(x, y, held, held_y)
    assert float(found.direction @ along / along.norm()) > 0.99
    assert float(found.direction.norm()) == pytest.approx(1.0)
    assert 1 <= found.iteration <= ITERATIONS and found.correlation > 0.9


def test_turning_all_states_turns_the_direction() -> None:
    (x, y), (held, held_y) = soft(40, 5, 0), soft(20, 5, 1)
    Q = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2)).double()).Q
    plain = feature_machine(x, y, held, held_y, iterations=1)
    turned = feature_machine(x @ Q, y, held @ Q, held_y, iterations=1)
    torch.testing.assert_close(turned.direction, plain.direction @ Q, rtol=1e-6, atol=1e-8)


def test_from_sides_it_learns_from_four_fifths_and_chooses_by_the_rest() -> None:
    given = two_sides()
    x, y = stacked(given)
    held = fold_numbers(40, 30) == 0
    label = (y + 1) / 2
    expected = feature_machine(x[~held], label[~held], x[held], label[held], iterations=2)
    found = FeatureMachine(2).read(*given)
    c = given[0].mean(0) - given[1].mean(0)
    sign = 1 if float(expected.direction @ c) > 0 else -1
    torch.testing.assert_close(found, sign * expected.direction)


def test_states_that_are_all_the_same_have_no_direction() -> None:
    same, y = torch.ones(6, 3).double(), torch.arange(6.0).double()
    found = feature_machine(same, y, same, y)
    assert not found.direction.any() and found.correlation == 0


def test_what_it_refuses() -> None:
    x, y = soft(6, 3, 0)
    with pytest.raises(InputError, match="labels have to differ"):
        feature_machine(x, torch.ones(6).double(), x, y)
    with pytest.raises(InputError, match="above zero"):
        feature_machine(x, y, x, y, bandwidths=())
    with pytest.raises(InputError, match="two of each side"):
        FeatureMachine().read(x[:1], x[1:])
    with pytest.raises(InputError, match="1 or more"):
        FeatureMachine(0)
    for rule in (FeatureMachine(), FeatureMachine(3)):
        assert observer_named(rule.name) == rule


def test_labels_that_do_not_belong_to_the_states_are_refused(unchecked: None) -> None:
    x, y = soft(6, 3, 0)
    with pytest.raises(ShapeError, match="a label for each"):
        feature_machine(x, y[:5], x, y)

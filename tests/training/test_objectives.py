"""Each objective against its formula written out number by number, and its gradient."""

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from steersman.training.objectives import (
    bidirectional_dpo,
    controller_loss,
    cross_entropy,
    group_threshold,
    jensen_shannon,
    lambda_returns,
    log_likelihoods,
    routing_loss,
    simpo,
    soft_threshold,
    sorted_wasserstein,
    value_loss,
)

MASK = torch.tensor([[True, True, False], [True, True, True]])
TOKENS = MASK.sum(-1)


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def log_sigmoid(x: float) -> float:
    return -math.log(1 + math.exp(-x))


def test_likelihoods_are_the_sums_of_the_chosen_log_probabilities() -> None:
    logits, ids = randn(0, 2, 3, 5), torch.tensor([[0, 3, 1], [4, 2, 2]])
    expected = []
    for row in range(2):
        total = 0.0
        for t in range(3):
            if MASK[row, t]:
                weights = [math.exp(x) for x in logits[row, t].tolist()]
                total += math.log(weights[int(ids[row, t])] / sum(weights))
        expected.append(total)
    found = log_likelihoods(logits, ids, MASK)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    assert float(cross_entropy(found, TOKENS)) == pytest.approx(-sum(expected) / 5)


@pytest.mark.parametrize("sign", [1, -1])
def test_bidirectional_preferences_turn_over_with_the_sign(sign: int) -> None:
    m, bare = randn(0, 4), randn(1, 4)
    pairs = zip(m.tolist(), bare.tolist(), strict=True)
    expected = -sum(log_sigmoid(0.3 * sign * (a - b)) for a, b in pairs) / 4
    assert float(bidirectional_dpo(m, bare, 0.3, sign)) == pytest.approx(expected)
    assert float(bidirectional_dpo(bare, bare, 0.3, sign)) == pytest.approx(math.log(2))


def test_simpo_compares_the_mean_of_a_token() -> None:
    w, loser = randn(0, 4), randn(1, 4)
    pairs = zip(w.tolist(), loser.tolist(), strict=True)
    expected = -sum(log_sigmoid(2.0 * (a - b) - 0.5) for a, b in pairs) / 4
    assert float(simpo(w, loser, 2.0, 0.5)) == pytest.approx(expected)


def test_the_divergence_is_half_of_both_to_their_mixture_and_at_most_log_two() -> None:
    p, q = randn(0, 2, 3, 6), randn(1, 2, 3, 6)
    total = 0.0
    for row in range(2):
        for t in range(3):
            if MASK[row, t]:
                a, b = p[row, t].softmax(-1), q[row, t].softmax(-1)
                middle = (a + b) / 2
                for one in (a, b):
                    total += float((one * (one / middle).log()).sum()) / 2
    assert float(jensen_shannon(p, q, MASK)) == pytest.approx(total / 5)
    assert float(jensen_shannon(p, p, MASK)) == pytest.approx(0.0, abs=1e-15)
    apart = torch.tensor([[[300.0, 0.0]]]).double(), torch.tensor([[[0.0, 300.0]]]).double()
    assert float(jensen_shannon(*apart, MASK[:1, :1])) == pytest.approx(math.log(2))


def test_sorting_is_the_cheapest_of_all_matchings_of_each_coordinate() -> None:
    x, y = randn(0, 5, 2, 3), randn(1, 5, 2, 3)
    expected = 0.0
    for block in range(2):
        for j in range(3):
            a, b = x[:, block, j].tolist(), y[:, block, j].tolist()
            expected += min(
                sum((a[i] - b[k]) ** 2 for i, k in enumerate(order)) / 5
                for order in permutations(range(5))
            )
    assert float(sorted_wasserstein(x, y)) == pytest.approx(expected)
    assert float(sorted_wasserstein(x, x[torch.randperm(5)])) == 0.0


def test_thresholds_solve_their_own_minimisations() -> None:
    x, by = randn(0, 3, 4), 0.6

    def distance(z: Tensor) -> Tensor:
        return (z - x).square().sum() / 2

    soft, group = soft_threshold(x, by), group_threshold(x, by)
    for trial in range(20):
        other = soft + 0.3 * randn(trial + 1, 3, 4)
        assert distance(soft) + by * soft.abs().sum() < distance(other) + by * other.abs().sum()
        other = group + 0.3 * randn(trial + 1, 3, 4)
        lengths = [by * one.norm(dim=1).sum() for one in (group, other)]
        assert distance(group) + lengths[0] < distance(other) + lengths[1]
    assert not group_threshold(x, 10.0).any() and not soft_threshold(x, 10.0).any()


def test_the_controllers_weights_count_only_where_steering_is_wanted() -> None:
    s, w, label = randn(0, 4), torch.sigmoid(randn(1, 4, 3)), torch.tensor([1.0, 0, 1, 0]).double()
    entropy = -sum(
        log_sigmoid(a) if y else log_sigmoid(-a)
        for a, y in zip(s.tolist(), label.tolist(), strict=True)
    )
    rest = [x for row in (0, 2) for x in w[row].tolist()]
    extra = sum(abs(x - 0.5) for x in rest) / 6 + 0.01 * sum(rest) / 6
    assert float(controller_loss(s, w, label, 0.1, 0.01)) == pytest.approx(
        entropy / 4 + 0.1 * extra
    )
    bare = controller_loss(s, w, torch.zeros(4).double(), 0.1, 0.01)
    assert float(bare) == pytest.approx(-sum(log_sigmoid(-a) for a in s.tolist()) / 4)


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.0])
def test_returns_are_mixed_backwards_from_the_reward(decay: float) -> None:
    values, reward = randn(0, 2, 3), torch.tensor([1.0, -2.0]).double()
    found = lambda_returns(values, reward, TOKENS, decay)
    for row, tokens in enumerate(TOKENS.tolist()):
        expected = float(reward[row])
        for t in range(tokens - 1, -1, -1):
            if t < tokens - 1:
                expected = (1 - decay) * float(values[row, t + 1]) + decay * expected
            assert float(found[row, t]) == pytest.approx(expected)
    error = [(values[r, t] - found[r, t]) ** 2 for r, n in enumerate(TOKENS) for t in range(n)]
    assert float(value_loss(values, found, TOKENS)) == pytest.approx(float(sum(error)) / 5)


def test_a_route_is_judged_by_its_choice_and_by_the_amount_where_it_was_chosen() -> None:
    p, a = randn(0, 2, 3), randn(1, 2, 3)
    chosen, amount = torch.tensor([[1.0, 0, 0], [0, 0, 0]]).double(), torch.zeros(2, 3).double()
    amount[0, 0] = 2.0
    entropy = -sum(
        log_sigmoid(x) if y else log_sigmoid(-x)
        for x, y in zip(p.flatten().tolist(), chosen.flatten().tolist(), strict=True)
    )
    off = abs(float(a[0, 0]) - 2.0)
    straight = off - 0.5 if off > 1 else off**2 / 2
    assert float(routing_loss(p, a, chosen, amount)) == pytest.approx(entropy / 6 + straight)


def _label(rows: int) -> Tensor:
    return (torch.arange(rows) % 2).double()


CHECKED = {
    "likelihoods": (
        lambda x: log_likelihoods(x, torch.tensor([[0, 3, 1], [4, 2, 2]]), MASK),
        (2, 3, 5),
    ),
    "cross entropy": (lambda x: cross_entropy(x, TOKENS), (2,)),
    "bidirectional": (lambda x: bidirectional_dpo(x, randn(1, 4), 0.3, -1), (4,)),
    "simpo": (lambda x: simpo(x, randn(1, 4), 2.0), (4,)),
    "divergence": (lambda x: jensen_shannon(x, randn(1, 2, 3, 6), MASK), (2, 3, 6)),
    "transport": (lambda x: sorted_wasserstein(x, randn(1, 5, 2, 3)), (5, 2, 3)),
    "controller": (
        lambda x: controller_loss(x[:, 0], torch.sigmoid(x[:, 1:]), _label(4), 0.1, 0.01),
        (4, 4),
    ),
    "values": (lambda x: value_loss(x, randn(1, 2, 3), TOKENS), (2, 3)),
    "routing": (
        lambda x: routing_loss(x[:, :3], x[:, 3:], torch.eye(3).double(), torch.eye(3).double()),
        (3, 6),
    ),
}


@pytest.mark.parametrize("name", list(CHECKED))
def test_the_gradient_is_that_of_the_differences(name: str) -> None:
    objective, shape = CHECKED[name]
    assert torch.autograd.gradcheck(objective, (randn(0, *shape).requires_grad_(),))

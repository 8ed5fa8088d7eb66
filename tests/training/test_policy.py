"""The policy of a router: its probabilities against torch's, its gradient against the exact one."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from steersman.training.policy import Action, draw, log_probability, reinforce

NOISE = 0.3


def randn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_the_probability_is_that_of_both_draws_up_to_a_constant() -> None:
    selection, strength, drawn = randn(0, 7, 3), randn(1, 7, 3), torch.Generator().manual_seed(2)
    action = draw(selection, strength, NOISE, drawn)
    assert set(action.taken.unique().tolist()) == {0.0, 1.0}
    taken = Bernoulli(logits=selection).log_prob(action.taken)
    amount = Normal(strength, NOISE).log_prob(action.amount)
    constant = Normal(torch.zeros(()).double(), NOISE).log_prob(torch.zeros(()).double())
    expected = (taken + action.taken * (amount - constant)).sum(dim=1)
    torch.testing.assert_close(log_probability(selection, strength, action, NOISE), expected)


def test_many_draws_have_the_probabilities_and_the_spread() -> None:
    selection, strength = torch.tensor([[0.7, -1.0]]), torch.tensor([[2.0, -3.0]])
    many = draw(selection.expand(40_000, -1), strength.expand(40_000, -1), NOISE, _seeded())
    torch.testing.assert_close(many.taken.mean(0), selection[0].sigmoid(), atol=0.01, rtol=0)
    torch.testing.assert_close(many.amount.mean(0), strength[0], atol=0.01, rtol=0)
    torch.testing.assert_close(many.amount.std(0), torch.tensor([NOISE] * 2), atol=0.01, rtol=0)


def test_the_value_is_the_reward_and_the_gradient_is_that_of_its_expectation() -> None:
    """Over all choices of two vectors, each with its probability, the gradient is exact."""
    selection = torch.tensor([0.4, -0.8], dtype=torch.float64, requires_grad=True)
    worth = {(0.0, 0.0): 0.0, (1.0, 0.0): 2.0, (0.0, 1.0): -1.0, (1.0, 1.0): 0.5}
    p = selection.sigmoid()
    chances = [
        torch.stack([p[k] if m else 1 - p[k] for k, m in enumerate(ms)]).prod() for ms in worth
    ]
    expected = sum(c * r for c, r in zip(chances, worth.values(), strict=True))
    (exact,) = torch.autograd.grad(-expected, selection, retain_graph=True)
    # Each choice as many times as its probability says, in ten thousandths.
    times = [round(10_000 * c.item()) for c in chances]
    each = [ms for ms, count in zip(worth, times, strict=True) for _ in range(count)]
    rows = torch.tensor(each, dtype=torch.float64)
    reward = torch.tensor([worth[tuple(one)] for one in rows.tolist()]).double()
    logits = selection.expand(len(rows), -1)
    action, still = Action(rows, torch.zeros_like(rows)), torch.zeros_like(rows)
    value = reinforce(log_probability(logits, still, action, NOISE), reward)
    assert float(value) == pytest.approx(-float(reward.mean()), abs=1e-12)
    (found,) = torch.autograd.grad(value, selection)
    torch.testing.assert_close(found, exact, atol=1e-3, rtol=0)


def test_steps_along_the_gradient_find_the_better_choice() -> None:
    selection = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    drawn, still = _seeded(), torch.zeros(64, 2, dtype=torch.float64)
    optimiser = torch.optim.Adam([selection], lr=0.1)
    for _ in range(100):
        logits = selection.expand(64, -1)
        action = draw(logits, still, NOISE, drawn)
        reward = action.taken @ torch.tensor([1.0, -1.0]).double()
        optimiser.zero_grad()
        reinforce(log_probability(logits, still, action, NOISE), reward).backward()
        optimiser.step()
    assert float(selection[0]) > 2 and float(selection[1]) < -2


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)

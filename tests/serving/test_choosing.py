"""Which token a row's own generator chooses."""

import torch
from twins import drawn

from steersman.serving.choosing import choose, generator_of
from steersman.serving.protocol import Sampling


def test_tokens_are_those_that_the_uniform_number_stands_for() -> None:
    logits = 3 * torch.randn(60, 40, generator=torch.Generator().manual_seed(0))
    kinds = ((0.0, 1.0), (1.0, 1.0), (0.3, 1.0), (1.0, 0.6), (1.7, 0.9), (0.01, 0.2))
    samplings = [Sampling(1, *kinds[row % 6], seed=row) for row in range(60)]
    found = choose(logits, samplings, [generator_of(one.seed) for one in samplings])
    for row, one in enumerate(samplings):
        number = float(torch.rand((), generator=generator_of(row), dtype=torch.float64))
        assert found[row] == drawn(logits[row], one.temperature, one.top_p, number)


def test_a_row_draws_the_same_whoever_is_beside_it() -> None:
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(1))
    samplings = [Sampling(1, 1.0, 0.8, seed=row) for row in range(5)]
    beside = choose(logits, samplings, [generator_of(row) for row in range(5)])
    for row in range(5):
        assert choose(logits[[row]], [samplings[row]], [generator_of(row)]) == [beside[row]]


def test_frequencies_are_the_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0]])
    generator, counts = generator_of(3), torch.zeros(4)
    sampling = Sampling(1, 1.0, 0.9)
    for _ in range(4000):
        counts[choose(logits, [sampling], [generator])[0]] += 1
    p = logits[0].softmax(-1) * torch.tensor([1.0, 1.0, 0.0, 1.0])
    p /= p.sum()
    error = (p * (1 - p) / 4000).sqrt()
    assert bool(((counts / 4000 - p).abs() <= 4 * error).all())


def test_rows_that_are_no_numbers_are_told_from_those_that_are() -> None:
    logits = torch.zeros(3, 4)
    logits[0, 1], logits[2] = torch.nan, -torch.inf
    found = choose(logits, [Sampling(1)] * 3, [generator_of(0) for _ in range(3)])
    assert found[0] is None and found[2] is None and found[1] in range(4)


def test_a_masked_token_is_never_chosen_and_masks_do_no_harm() -> None:
    logits = torch.tensor([[-torch.inf, 1.0, 1.0, -torch.inf]]).repeat(50, 1)
    found = choose(logits, [Sampling(1, 2.0, 0.99)] * 50, [generator_of(i) for i in range(50)])
    assert set(found) == {1, 2}

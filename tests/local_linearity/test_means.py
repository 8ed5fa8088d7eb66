"""Means and their standard errors against numpy and simulation."""

import numpy as np
import pytest
import torch

from steersman.local_linearity.means import over_pairs, over_prompts


def test_a_mean_over_prompts_leaves_out_what_is_not_known() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, torch.nan], [8.0, 4.0]], dtype=torch.float64)
    found = over_prompts(values, axis=0)
    assert found.mean.tolist() == [4.0, 3.0]
    assert found.se[0] == pytest.approx(np.std([1, 3, 8], ddof=1) / np.sqrt(3))
    assert found.se[1] == pytest.approx(1.0)


def test_one_value_has_no_standard_error_and_none_no_mean() -> None:
    found = over_prompts(torch.tensor([[1.0, torch.nan]]), axis=0)
    assert found.mean[0] == 1
    assert bool(found.se.isnan().all())
    assert bool(found.mean[1].isnan())


def test_a_mean_over_pairs_leaves_out_a_prompt_with_itself() -> None:
    values = torch.tensor([[9.0, 0.2, 0.4], [0.2, 9.0, 0.6], [0.4, 0.6, 9.0]])
    every = torch.ones(3, 3, dtype=torch.bool)
    assert over_pairs(values, every).mean == pytest.approx(0.4)


def test_a_mean_over_pairs_is_taken_for_every_block_at_once() -> None:
    values = torch.rand(5, 4, 4, generator=torch.Generator().manual_seed(0))
    values = values + values.transpose(1, 2)
    chosen = torch.ones(4, 4, dtype=torch.bool)
    found = over_pairs(values, chosen)
    for block in range(5):
        alone = over_pairs(values[block], chosen)
        assert found.mean[block] == pytest.approx(float(alone.mean))
        assert found.se[block] == pytest.approx(float(alone.se))


def test_the_jackknife_knows_that_pairs_share_prompts() -> None:
    # s_ij = a_i + a_j + noise: the mean has a variance of about 4 var(a) / P.
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(300):
        a = rng.normal(size=12)
        noise = rng.normal(size=(12, 12)) * 0.1
        values = torch.tensor(a[:, None] + a[None] + noise + noise.T)
        found = over_pairs(values, torch.ones(12, 12, dtype=torch.bool))
        means.append(float(found.mean))
        errors.append(float(found.se))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.15)
    assert np.std(means) == pytest.approx(2 / np.sqrt(12), rel=0.15)


def test_a_single_pair_has_no_standard_error() -> None:
    chosen = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    found = over_pairs(torch.eye(3) + 0.3, chosen)
    assert found.mean == pytest.approx(0.3)
    assert bool(found.se.isnan())

"""Explained variance and dead features, against numpy."""

import numpy as np
import pytest
import torch

from steersman.autoencoders import SparseAutoencoder, quality
from steersman.autoencoders import quality as measured
from steersman.errors import InputError


def given() -> tuple[SparseAutoencoder, torch.Tensor]:
    seeded = torch.Generator().manual_seed(0)
    W = torch.randn(5, 9, generator=seeded)
    bias = torch.tensor([0.0] * 7 + [-1e3] * 2)  # two features that can never be there
    sae = SparseAutoencoder("standard", W, 0.1 * W.mT.contiguous(), torch.ones(5), {"b_enc": bias})
    return sae, 1 + torch.randn(5000, 5, generator=seeded)


def test_it_is_what_the_residual_leaves_of_the_variance() -> None:
    sae, x = given()
    found = measured(sae, x)
    X, W, V = (t.double().numpy() for t in (x, sae.W_enc, sae.W_dec))
    a = np.maximum((X - 1) @ W + sae.others["b_enc"].numpy(), 0)
    left = X - a @ V - 1
    expected = 1 - left.var(0).sum() / X.var(0).sum() - (left.mean(0) ** 2).sum() / X.var(0).sum()
    assert found.explained == pytest.approx(expected, abs=1e-5)
    assert found.dead == pytest.approx(2 / 9) and found.states == 5000
    assert found.active == pytest.approx((a > 0).sum(1).mean())
    assert "22.2 % of them dead" in str(found)


def test_an_autoencoder_that_only_knows_the_mean_explains_nothing() -> None:
    _, x = given()
    nothing = SparseAutoencoder(
        *("standard", torch.zeros(5, 3), torch.zeros(3, 5), x.mean(0), {"b_enc": torch.zeros(3)})
    )
    found = quality(nothing, x)
    assert found.explained == pytest.approx(0, abs=1e-6) and found.dead == 1


def test_states_that_do_not_differ_are_refused() -> None:
    sae, x = given()
    with pytest.raises(InputError, match="give more"):
        quality(sae, x[:1])

"""Spectra and similarity against autograd, numpy and the formula written out."""

import copy

import numpy as np
import pytest
import torch
from small_domains import Answer
from tiny_models import tiny_model as fresh_model
from torch import Tensor
from transformers import PreTrainedModel

from steersman.errors import InputError, NumericalError
from steersman.local_linearity.prompts import Prepared
from steersman.local_linearity.spectra import Spectra, default_rank, measure_spectra
from steersman.plant import locate
from steersman.plant.hooks import hooked

RANK = 3


@pytest.fixture(scope="module")
def dense(smooth: PreTrainedModel, prepared: Prepared, answer: Answer) -> Tensor:
    """Every block's Jacobian at every prompt, by autograd through whole forwards."""
    parts = []
    for one in prepared.tokens:
        ids = torch.tensor([one.ids])
        zero = torch.zeros(locate(smooth).n, dtype=torch.float64)
        parts.append(
            torch.stack(
                [
                    torch.autograd.functional.jacobian(
                        lambda d, block=block, ids=ids: answer(smooth, ids, block, d), zero
                    )
                    for block in range(len(locate(smooth)))
                ]
            )
        )
    return torch.stack(parts)


@pytest.fixture(scope="module")
def found(smooth: PreTrainedModel, prepared: Prepared) -> tuple[Spectra, Spectra]:
    return measure_spectra(smooth, prepared.tokens, rank=RANK, draws=200)


def less_identity(matrices: Tensor) -> Tensor:
    return matrices - torch.eye(matrices.shape[-1], dtype=matrices.dtype)


def test_singular_values_are_those_of_the_autograd_jacobians(
    found: tuple[Spectra, Spectra], dense: Tensor
) -> None:
    for spectra, matrices in zip(found, (dense, less_identity(dense)), strict=True):
        values = torch.linalg.svdvals(matrices)
        torch.testing.assert_close(spectra.values, values.mean(dim=0))
        torch.testing.assert_close(spectra.values_sd, values.std(dim=0))
        torch.testing.assert_close(spectra.norm, torch.linalg.matrix_norm(matrices, ord=2))


def test_the_radius_is_the_largest_modulus_of_an_eigenvalue(
    found: tuple[Spectra, Spectra], dense: Tensor
) -> None:
    for spectra, matrices in zip(found, (dense, less_identity(dense)), strict=True):
        expected = np.abs(np.linalg.eigvals(matrices.numpy())).max(axis=-1)
        np.testing.assert_allclose(spectra.radius.numpy(), expected, rtol=1e-9)
        assert bool((spectra.radius <= spectra.norm + 1e-9).all())


def test_similarity_is_the_formula_of_the_paper(
    found: tuple[Spectra, Spectra], dense: Tensor
) -> None:
    def by_hand(first: np.ndarray, second: np.ndarray) -> float:
        (u, s, _), (v, t, _) = np.linalg.svd(first), np.linalg.svd(second)
        s, t = s[:RANK], t[:RANK]
        inner = np.diag(s) @ u[:, :RANK].T @ v[:, :RANK] @ np.diag(t)
        nuclear = np.linalg.svd(inner, compute_uv=False).sum()
        return float(nuclear / np.linalg.norm(s) / np.linalg.norm(t))

    for spectra, matrices in zip(found, (dense, less_identity(dense)), strict=True):
        for p, q in ((0, 0), (0, 1), (2, 4), (5, 3)):
            for block in range(matrices.shape[1]):
                expected = by_hand(matrices[p, block].numpy(), matrices[q, block].numpy())
                assert float(spectra.similarity[block, p, q]) == pytest.approx(expected)


def test_chance_is_that_of_random_matrices_with_the_same_singular_values(
    found: tuple[Spectra, Spectra], dense: Tensor
) -> None:
    generator = torch.Generator().manual_seed(5)
    n, block = dense.shape[-1], 1
    values = torch.linalg.svdvals(dense[:, block])[:, :RANK]
    drawn = []
    for index in range(400):
        p, q = index % 6, (index + 1 + index // 6 % 5) % 6
        bases = torch.randn(2, n, n, generator=generator, dtype=torch.float64)
        u, v = (torch.linalg.qr(basis)[0][:, :RANK] for basis in bases)
        inner = values[p, :, None] * (u.T @ v) * values[q]
        nuclear = torch.linalg.svdvals(inner).sum()
        drawn.append(float(nuclear / values[p].norm() / values[q].norm()))
    error = np.std(drawn) / 20 + float(found[0].chance_se[block])
    assert float(found[0].chance[block]) == pytest.approx(np.mean(drawn), abs=4 * error)


def test_chance_is_drawn_between_different_prompts_and_by_the_seed(
    smooth: PreTrainedModel, prepared: Prepared, found: tuple[Spectra, Spectra]
) -> None:
    again = measure_spectra(smooth, prepared.tokens[:2], rank=RANK, draws=20, seed=1)[0]
    same = measure_spectra(smooth, prepared.tokens[:2], rank=RANK, draws=20, seed=1)[0]
    other = measure_spectra(smooth, prepared.tokens[:2], rank=RANK, draws=20, seed=2)[0]
    assert torch.equal(again.chance, same.chance)
    assert not torch.equal(again.chance, other.chance)


def test_blocks_that_add_nothing_have_the_identity_for_their_jacobian(prepared: Prepared) -> None:
    model = copy.deepcopy(fresh_model("gpt2")).double()
    for block in locate(model).modules:
        for last in (block.attn.c_proj, block.mlp.c_proj):
            last.weight.data.zero_()
            last.bias.data.zero_()
    whole, added = measure_spectra(model, prepared.tokens[:2], draws=2)
    torch.testing.assert_close(whole.values, torch.ones_like(whole.values))
    torch.testing.assert_close(whole.radius, torch.ones_like(whole.radius))
    assert float(added.values.max()) < 1e-12
    assert bool(added.similarity.isnan().all())


def test_the_rank_is_a_twentieth_of_the_width(smooth: PreTrainedModel, prepared: Prepared) -> None:
    assert [default_rank(n) for n in (1, 19, 20, 192, 4096)] == [1, 1, 1, 9, 204]
    assert measure_spectra(smooth, prepared.tokens[:2], draws=2)[0].rank == 1


def test_two_prompts_are_needed(smooth: PreTrainedModel, prepared: Prepared) -> None:
    with pytest.raises(InputError, match="two at least"):
        measure_spectra(smooth, prepared.tokens[:1])


def test_a_jacobian_that_is_not_finite_names_its_prompt_and_leaves_no_hook(
    prepared: Prepared,
) -> None:
    model = copy.deepcopy(fresh_model("gpt2"))
    locate(model).modules[1].mlp.c_fc.weight.data[0, 0] = torch.inf
    with pytest.raises(NumericalError, match=r"prompt 0 \('the cat sat on the mat'\)"):
        measure_spectra(model, prepared.tokens)
    assert not any(hooked(module) for module in locate(model).modules)

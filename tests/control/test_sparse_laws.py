"""Features of an autoencoder set or moved, against closed forms in float64."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from steersman.autoencoders import NEEDED, Architecture, SparseAutoencoder
from steersman.control import ActivatedBias, FeatureClamp
from steersman.control.sparse import SparseLaw
from steersman.errors import InputError, ShapeError

N, FEATURES, BLOCK = 7, 15, 1
EACH = pytest.mark.parametrize("architecture", get_args(Architecture))


def randn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def made(architecture: Any = "standard") -> SparseAutoencoder:
    others = {name: 0.3 * randn(i, FEATURES).abs() for i, name in enumerate(NEEDED[architecture])}
    k = 5 if architecture == "topk" else None
    return SparseAutoencoder(
        architecture, randn(10, N, FEATURES), randn(11, FEATURES, N), randn(12, N), others, k=k
    )


def law_of(
    kind: type[SparseLaw], sae: SparseAutoencoder, chosen: list[int], values: Tensor
) -> SparseLaw:
    return kind(sae.encoder.only(chosen), sae.W_dec[chosen], values, BLOCK, 3)


def stepped(law: SparseLaw, x: Tensor, s: float) -> Tensor:
    return law.step(None, x, torch.full((len(x), 1), s, dtype=x.dtype), BLOCK)[1]


@EACH
@pytest.mark.parametrize("s", [1.0, -0.4])
def test_a_clamp_is_its_formula_feature_by_feature(architecture: str, s: float) -> None:
    sae, x, c = made(architecture), randn(1, 40, N), torch.tensor([2.0, -1.0]).double()
    expected = torch.zeros_like(x)
    for row, f in enumerate(sae.encode(x)):
        for value, i in zip(c, (3, 8), strict=True):
            expected[row] += s * (value - f[i]) * sae.W_dec[i]
    torch.testing.assert_close(stepped(law_of(FeatureClamp, sae, [3, 8], c), x, s), expected)


@EACH
@pytest.mark.parametrize("s", [1.0, -0.4])
def test_a_bias_moves_active_features_alone(architecture: str, s: float) -> None:
    sae, x, b = made(architecture), randn(1, 40, N), torch.tensor([2.0, -1.0]).double()
    expected, f = torch.zeros_like(x), sae.encode(x)
    for row in range(len(x)):
        for bias, i in zip(b, (3, 8), strict=True):
            if f[row, i] > 0:
                expected[row] += s * bias * sae.W_dec[i]
    u = stepped(law_of(ActivatedBias, sae, [3, 8], b), x, s)
    torch.testing.assert_close(u, expected)
    asleep = ~(f[:, [3, 8]] > 0).any(1)
    assert asleep.any() and not asleep.all()
    assert not u[asleep].any()


@EACH
@pytest.mark.parametrize("kind", [FeatureClamp, ActivatedBias])
def test_strength_zero_leaves_every_bit(kind: type[SparseLaw], architecture: str) -> None:
    x = randn(1, 40, N)
    law = law_of(kind, made(architecture), [3, 8], torch.ones(2).double())
    assert torch.equal(x + stepped(law, x, 0.0), x)
    assert not law.step(None, x, torch.ones(40, 1).double(), 0)[1].any()  # another block


def test_a_clamped_feature_reads_as_it_was_set_where_the_encoder_is_linear() -> None:
    """Orthonormal features, each read by its own row: setting one moves no other."""
    basis = torch.linalg.qr(randn(5, N, N)).Q
    nothing = {"b_enc": torch.zeros(N).double()}
    sae = SparseAutoencoder("standard", basis, basis.mT.contiguous(), randn(6, N), nothing)
    x, c = randn(1, 30, N), torch.tensor([2.5]).double()
    there = sae.encode(x)[:, 4] > 0
    y = x + stepped(law_of(FeatureClamp, sae, [4], c), x, 1.0)
    found, before = sae.encode(y), sae.encode(x)
    torch.testing.assert_close(found[there, 4], c.expand(int(there.sum())))
    others = [i for i in range(N) if i != 4]
    torch.testing.assert_close(found[:, others], before[:, others])
    # Beyond the ReLU the state had less of it than nothing, and c is what is added.
    torch.testing.assert_close(((y - x) @ basis[:, 4])[~there], c.expand(int((~there).sum())))


def test_in_general_it_reads_so_much_more_as_its_row_says_of_itself() -> None:
    """`f_i(x + u) = f_i(x) + (c - f_i(x)) W_enc_i' W_dec_i` while it is on."""
    sae, x, c = made(), randn(1, 60, N), torch.tensor([9.0]).double()
    gain = sae.W_enc[:, 3] @ sae.W_dec[3]
    f = sae.encode(x)[:, 3]
    expected = f + (c - f) * gain
    y = x + stepped(law_of(FeatureClamp, sae, [3], c), x, 1.0)
    on = (f > 0) & (expected > 0)
    assert int(on.sum()) > 10
    torch.testing.assert_close(sae.encode(y)[on, 3], expected[on])


@EACH
def test_what_is_not_reconstructed_stays(architecture: str) -> None:
    """Of `x = x^ + e` the law edits the features of `x^`, and `e` is in the new state whole."""
    sae, x, c = made(architecture), randn(1, 20, N), torch.tensor([0.7]).double()
    f = sae.encode(x)
    e = x - sae.decode(f)
    edited = f.clone()
    edited[:, 3] = c
    y = x + stepped(law_of(FeatureClamp, sae, [3], c), x, 1.0)
    torch.testing.assert_close(y, sae.decode(edited) + e)


def test_a_row_does_not_depend_on_the_others() -> None:
    x, law = randn(1, 12, N), law_of(FeatureClamp, made("topk"), [3], torch.ones(1).double())
    alone = torch.cat([stepped(law, one[None], 1.0) for one in x])
    torch.testing.assert_close(stepped(law, x, 1.0), alone)


@pytest.mark.usefixtures("unchecked")
def test_parts_that_do_not_fit_are_refused() -> None:
    sae, one = made(), torch.ones(1).double()
    with pytest.raises(ShapeError, match="values"):
        law_of(FeatureClamp, sae, [3, 4], one)
    with pytest.raises(InputError, match="block is 3"):
        FeatureClamp(sae.encoder.only([3]), sae.W_dec[[3]], one, 3, 3)
    with pytest.raises(InputError, match="D"):
        law_of(
            FeatureClamp,
            SparseAutoencoder(
                *("standard", sae.W_enc.half(), sae.W_dec.half(), sae.b_dec.half()),
                {"b_enc": torch.zeros(FEATURES).half()},
            ),
            [3],
            one,
        )

"""The principal component: against scikit-learn and plain numpy, its sign, degenerate input."""

import numpy as np
import pytest
import torch
from gaussians import pairs, two_sides, unit
from sklearn.decomposition import PCA, TruncatedSVD

from steersman.directions import PrincipalComponent, observer_named
from steersman.errors import InputError


@pytest.mark.parametrize("n", [6, 90])
def test_it_is_the_leading_right_singular_vector_of_the_paired_differences(n: int) -> None:
    d, u = pairs(n=n)
    found = TruncatedSVD(1, algorithm="arpack").fit((d - u).numpy()).components_[0]
    expected = found * np.sign(found @ (d - u).numpy().mean(0))
    np.testing.assert_allclose(PrincipalComponent().read(d, u), expected, atol=1e-9)


def test_taking_each_pairs_mean_off_its_states_gives_the_same_direction() -> None:
    d, u = pairs()
    middle = (d + u) / 2
    centred = torch.cat([d - middle, u - middle]).numpy()
    (component,) = PCA(1, svd_solver="full").fit(centred).components_
    found = PrincipalComponent().read(d, u)
    assert abs(component @ found.numpy()) == pytest.approx(1.0, abs=1e-12)


def test_pairs_in_random_order_with_their_mean_taken_off_come_close_as_published() -> None:
    d, u = pairs(400)
    flip = torch.randint(0, 2, (400, 1), generator=torch.Generator().manual_seed(1)) * 2 - 1
    (component,) = PCA(1, svd_solver="full").fit(((d - u) * flip).numpy()).components_
    assert abs(component @ PrincipalComponent().read(d, u).numpy()) > 0.999


def test_taking_the_mean_off_the_differences_would_lose_the_contrast() -> None:
    d, u = pairs()
    (component,) = PCA(1, svd_solver="full").fit((d - u).numpy()).components_
    assert abs(component @ unit((d - u).mean(0)).numpy()) < 0.3
    assert float(PrincipalComponent().read(d, u) @ unit((d - u).mean(0))) > 0.99


@pytest.mark.parametrize("sizes", [(40, 30), (30, 30)])
@pytest.mark.parametrize("n", [8, 120])
def test_of_states_it_is_the_component_of_all_of_them_around_their_mean(
    sizes: tuple[int, int], n: int
) -> None:
    d, u = two_sides(*sizes, n=n)
    (component,) = PCA(1, svd_solver="full").fit(torch.cat([d, u]).numpy()).components_
    expected = component * np.sign(component @ (d.mean(0) - u.mean(0)).numpy())
    np.testing.assert_allclose(PrincipalComponent("states").read(d, u), expected, atol=1e-8)


def test_sides_of_different_sizes_have_no_pairs() -> None:
    given = two_sides(40, 30)
    torch.testing.assert_close(
        PrincipalComponent().read(*given), PrincipalComponent("states").read(*given)
    )


def test_the_sign_is_that_of_the_labels_by_the_mean_and_by_the_majority_of_pairs() -> None:
    d, u = pairs()
    v, back = PrincipalComponent().read(d, u), PrincipalComponent().read(u, d)
    torch.testing.assert_close(v, -back)
    assert float(v @ (d - u).mean(0)) > 0
    assert float(((d - u) @ v > 0).double().mean()) > 0.5


def test_it_finds_the_axis_that_pairs_differ_along_where_states_vary_more_along_others() -> None:
    along = unit(torch.arange(1.0, 9.0).double())
    given = pairs(300, along=along)
    assert float(PrincipalComponent().read(*given) @ along) > 0.999
    assert abs(float(PrincipalComponent("states").read(*given) @ along)) < 0.9


def test_one_pair_is_its_own_component_and_no_difference_is_none() -> None:
    d, u = pairs(1)
    torch.testing.assert_close(PrincipalComponent().read(d, u), unit((d - u)[0]))
    assert not PrincipalComponent().read(d, d.clone()).any()
    same = torch.ones(3, 4).double()
    assert not PrincipalComponent("states").read(same, same[:2]).any()


def test_its_names_make_it_again(unchecked: None) -> None:
    for rule in (PrincipalComponent(), PrincipalComponent("states")):
        assert observer_named(rule.name) == rule
    with pytest.raises(InputError, match="choose differences or states"):
        PrincipalComponent("both")  # type: ignore[arg-type]

"""Setpoints in natural units."""

import pytest
import torch
from toy_plants import randn

from steersman.control import Absolute, Paper, Relative, Units
from steersman.errors import InputError, NumericalError, ShapeError

UNITS = Units(norm=torch.tensor([2.0, 4.0]).double(), origin=torch.tensor([-1.0, 3.0]).double())
NOMINAL = torch.tensor([[10.0], [20.0], [30.0]]).double()


def column(*values):
    return torch.tensor(values).double().unsqueeze(1)


def test_absolute_targets_run_from_undesired_to_desired_examples():
    desired, undesired = randn(0, 50, 6) + 3, randn(1, 50, 6)
    contrast = desired.mean(0) - undesired.mean(0)
    v = contrast / contrast.norm()
    units = Units(contrast.norm().reshape(1), (v @ undesired.mean(0)).reshape(1))
    assert torch.allclose(Absolute(0.0).at(0, units, 1), (v @ undesired.mean(0)).reshape(1, 1))
    assert torch.allclose(Absolute(1.0).at(0, units, 1), (v @ desired.mean(0)).reshape(1, 1))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [(Absolute(0.5), column(5, 5, 5)), (Paper(0.5), column(2, 2, 2))],
)
def test_one_target_serves_all_rows(reference, expected):
    assert torch.equal(reference.at(1, UNITS, 3), expected)
    assert not reference.needs_nominal


def test_each_row_may_have_a_target_of_its_own():
    targets = torch.tensor([0.0, 1.0, 2.0])
    assert torch.equal(Absolute(targets).at(0, UNITS, 3), column(-1, 1, 3))
    assert torch.equal(Paper(targets).at(0, UNITS, 3), column(0, 2, 4))
    assert torch.equal(Relative(targets).at(0, UNITS, 3, NOMINAL), column(10, 22, 34))


@pytest.mark.parametrize("kind", [Absolute, Paper, Relative])
def test_a_repeated_reference_gives_each_row_of_a_prompt_its_target(kind):
    cpu, nominal = torch.device("cpu"), torch.zeros(4, 1).double()
    repeated = kind(torch.tensor([0.0, 1.0])).repeated(2, cpu)
    rows = kind(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert torch.equal(repeated.at(0, UNITS, 4, nominal), rows.at(0, UNITS, 4, nominal))
    assert kind(0.5).repeated(2, cpu) == kind(0.5)


def test_a_relative_target_of_zero_is_the_unsteered_feature_itself():
    assert torch.equal(Relative(0.0).at(1, UNITS, 3, NOMINAL), NOMINAL)
    assert Relative(0.0).needs_nominal


def test_a_relative_reference_asks_for_the_nominal():
    with pytest.raises(InputError, match="needs the unsteered run's feature"):
        Relative(1.0).at(0, UNITS, 3)
    with pytest.raises(ShapeError, match="nominal has shape"):
        Relative(1.0).at(0, UNITS, 2, NOMINAL)


def test_several_observed_numbers_have_a_unit_each():
    units = Units(norm=randn(0, 2, 3), origin=randn(1, 2, 3))
    s = Absolute(torch.tensor([0.0, 2.0])).at(1, units, 2)
    assert torch.allclose(s[0], units.origin[1])
    assert torch.allclose(s[1], units.origin[1] + 2 * units.norm[1])
    assert Paper(1.0).at(0, units, 4).shape == (4, 3)


def test_plain_units_hand_the_target_on():
    assert torch.equal(Absolute(0.3).at(1, Units.plain(2).to("cpu"), 1), torch.tensor([[0.3]]))


def test_references_of_equal_numbers_are_equal():
    assert Absolute(1.0) == Absolute(1.0)
    assert Absolute(1.0) != Paper(1.0)


@pytest.mark.parametrize("kind", [Absolute, Paper, Relative])
def test_targets_that_are_no_numbers_are_refused(kind):
    with pytest.raises(InputError, match="must be finite"):
        kind(float("nan"))
    with pytest.raises(NumericalError, match="1 NaN or infinite"):
        kind(torch.tensor([1.0, float("inf")]))


def test_targets_for_another_number_of_rows_are_refused():
    with pytest.raises(ShapeError, match="target has 2 rows; expected 3"):
        Absolute(torch.zeros(2)).at(0, UNITS, 3)


@pytest.mark.usefixtures("unchecked")
def test_units_that_do_not_belong_together_are_refused():
    with pytest.raises(ShapeError, match="expected both to be"):
        Units(torch.ones(2), torch.ones(3))
    with pytest.raises(NumericalError, match="origin has 1 NaN"):
        Units(torch.ones(1), torch.tensor([float("nan")]))
    with pytest.raises(InputError, match="float16"):
        Units(torch.ones(2).half(), torch.ones(2).half())

"""Part of the way to a goal."""

import pytest
import torch
from toy_plants import randn

from steersman.control import Toward, Units
from steersman.errors import InputError, ShapeError

GOAL = randn(0, 3, 2)
UNITS = Units.shifts(GOAL.unsqueeze(-1))


def test_target_zero_is_the_nominal_and_one_the_goal():
    nominal = randn(1, 4, 2)
    assert torch.equal(Toward(0.0).at(1, UNITS, 4, nominal), nominal)
    assert torch.equal(Toward(1.0).at(1, UNITS, 4, nominal), GOAL[1].expand(4, -1))


@pytest.mark.parametrize("target", [-0.5, 0.25, 2.0])
def test_in_between_and_beyond_it_is_a_straight_line(target):
    nominal = randn(1, 4, 2)
    expected = nominal + target * (GOAL[2] - nominal)
    torch.testing.assert_close(Toward(target).at(2, UNITS, 4, nominal), expected)


def test_each_row_goes_its_own_way_and_so_do_copies_of_it():
    nominal, target = randn(1, 6, 2), torch.tensor([0.0, 0.5, 1.0]).double()
    found = Toward(target).repeated(2, torch.device("cpu")).at(0, UNITS, 6, nominal)
    each = target.repeat_interleave(2)[:, None]
    torch.testing.assert_close(found, nominal + each * (GOAL[0] - nominal))
    assert Toward(0.5).repeated(2, torch.device("cpu")) == Toward(0.5)


def test_one_target_for_all_rows_may_come_as_a_table() -> None:
    nominal, table = randn(1, 6, 2), torch.tensor([[0.3]]).double()
    found = Toward(table).repeated(2, torch.device("cpu")).at(0, UNITS, 6, nominal)
    torch.testing.assert_close(found, nominal + table * (GOAL[0] - nominal))


def test_what_was_missed_is_counted_from_the_way_that_was_asked_for() -> None:
    start, reached = randn(1, 4, 1), randn(2, 4, 1)
    for target in (0.5, torch.tensor([0.0, 0.5, 1.0, 2.0]).double()):
        wanted = start + torch.as_tensor(target).reshape(-1, 1) * (1 - start)
        torch.testing.assert_close(Toward(target).missed(reached, start), wanted - reached)
    with pytest.raises(InputError, match="beside the unsteered run"):
        Toward(0.5).missed(reached, None)


@pytest.mark.parametrize("shape", [(4, 2), (1, 3)])
def test_several_ways_to_one_goal_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ShapeError, match=f"target has {shape[1]} features; expected 1"):
        Toward(torch.zeros(shape))


def test_targets_for_other_rows_are_refused_wherever_they_are_used() -> None:
    toward, nominal, four = Toward(torch.tensor([0.0, 1.0, 0.5])), randn(1, 4, 2), randn(2, 4, 1)
    for use in (
        lambda: toward.at(0, UNITS, 4, nominal),
        lambda: toward.joined(nominal, nominal),
        lambda: toward.missed(four, four),
    ):
        with pytest.raises(ShapeError, match="target has 3 rows; expected 4"):
            use()


@pytest.mark.usefixtures("unchecked")
def test_what_was_missed_is_of_one_feature_and_of_the_same_rows() -> None:
    with pytest.raises(ShapeError, match=r"reached has shape \(4, 2\)"):
        Toward(0.5).missed(randn(1, 4, 2), randn(2, 4, 2))
    with pytest.raises(ShapeError, match=r"start has shape \(3, 1\)"):
        Toward(0.5).missed(randn(1, 4, 1), randn(2, 3, 1))
    with pytest.raises(ShapeError, match="nominal"):
        Toward(0.5).joined(randn(1, 4, 2), randn(2, 3, 2))


def test_without_a_nominal_it_is_refused():
    with pytest.raises(InputError, match="needs the unsteered run's feature"):
        Toward(0.5).at(0, UNITS, 4)


def test_a_target_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="target is nan"):
        Toward(float("nan"))

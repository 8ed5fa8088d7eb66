"""What the recursion asks of the plant, and how little it holds."""

import pytest
import torch
from feature_problems import near, problem, unit_columns
from torch.utils._python_dispatch import TorchDispatchMode
from toy_plants import randn

from steersman.control import Effort, FeatureCost, LTVSystem, feature_lqr
from steersman.errors import NumericalError, ShapeError


class Counted:
    """A plant's product that records how many columns it was asked for, block by block."""

    def __init__(self, pull):
        self.pull, self.columns = pull, {}

    def __call__(self, block, W):
        assert W.ndim == 2
        self.columns[block] = self.columns.get(block, 0) + W.shape[1]
        return self.pull(block, W)


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation gave."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


def test_a_cost_on_the_last_state_alone_keeps_its_rank_and_takes_one_backward_pass():
    some = problem(n=12, k=3, q=0.0)
    counted = Counted(some.system.vjp)
    design = feature_lqr(counted, some.cost, some.effort)
    assert [stage.W.shape[1] for stage in design.stages] == [3] * 5
    assert counted.columns == dict.fromkeys(range(5), 3)


def test_no_column_at_all_is_never_asked_of_the_plant():
    some = problem(q=1.0, qf=0.0)
    counted = Counted(some.system.vjp)
    design = feature_lqr(counted, some.cost, some.effort)
    assert counted.columns == {0: 4, 1: 3, 2: 2, 3: 1}
    assert not design.stages[-1].G.numel()


@pytest.mark.parametrize("k", [1, 2])
def test_the_plant_is_asked_for_one_triangle_of_columns(k):
    some = problem(blocks=7, n=20, k=k)
    counted = Counted(some.system.vjp)
    feature_lqr(counted, some.cost, some.effort)
    assert counted.columns == {t: k * (7 - t) for t in range(7)}
    assert sum(counted.columns.values()) == k * 7 * 8 // 2


def test_nothing_as_large_as_a_jacobian_is_ever_made():
    n, blocks = 20_000, 6
    scale, left, right = randn(0, blocks, n, 1), randn(1, blocks, n, 2), randn(2, blocks, n, 2)

    def pull(t, W):
        return W + 0.1 * scale[t] * W + left[t] @ (right[t].mT @ W) / n

    cost = FeatureCost(unit_columns(3, blocks + 1, n, 1), 0.1, 1.0)
    with LargestTensor() as seen:
        design = feature_lqr(pull, cost, Effort(1.0))
        schedule = design.schedule(randn(4, blocks + 1, 1))
    assert seen.largest <= (n + blocks) * blocks
    assert schedule.u.shape == (blocks, n)


def test_an_operator_plant_and_its_matrices_give_the_same_design():
    n = 30
    left, right = randn(1, 4, n, 2), randn(2, 4, n, 2)
    A = torch.eye(n).double() + right @ left.mT / n
    some = problem(blocks=4, n=n, k=2)
    operator = feature_lqr(lambda t, W: W + left[t] @ (right[t].mT @ W) / n, some.cost, some.effort)
    matrix = feature_lqr(LTVSystem(A).vjp, some.cost, some.effort)
    assert near(operator.schedule(some.demands).u, matrix.schedule(some.demands).u)


def test_a_product_in_another_precision_is_converted():
    some = problem()
    design = feature_lqr(lambda t, W: some.system.vjp(t, W).float(), some.cost, some.effort)
    assert {stage.H.dtype for stage in design.stages} == {torch.float64}


def test_a_product_of_the_wrong_shape_is_refused():
    some = problem()
    with pytest.raises(ShapeError, match=r"A_4' W as given by pull has shape \(1, 6\)"):
        feature_lqr(lambda t, W: W.mT, some.cost, some.effort)


def test_a_product_that_is_not_finite_is_refused():
    some = problem()
    with pytest.raises(NumericalError, match="A_4' W as given by pull has 6 NaN"):
        feature_lqr(lambda t, W: W * float("nan"), some.cost, some.effort)


def test_an_overflowing_recursion_names_the_block():
    some = problem()
    with pytest.raises(NumericalError, match="broke down at block 3.*Lower q/r"):
        feature_lqr(lambda t, W: torch.full_like(W, 1.5e308), some.cost, some.effort)

"""The affine law: what it observes, does and refuses."""

import pytest
import torch
from toy_plants import randn, random_law, random_plant

from steersman.control import AffineLaw
from steersman.errors import InputError, NumericalError, ShapeError


@pytest.mark.parametrize("k", [1, 3])
def test_a_step_is_the_law_written_out_for_each_row(k):
    law = random_law(1, random_plant(), k)
    x, s = randn(3, 4, 6), randn(4, 4, k)
    _, u = law.step(law.init(4), x, s, 2)
    for row in range(4):
        assert torch.allclose(u[row], law.G[2] @ (s[row] - law.H[2].T @ x[row]))


def test_a_row_does_not_depend_on_its_neighbours():
    law = random_law(1, random_plant(), 2)
    x, s = randn(3, 4, 6), randn(4, 4, 2)
    _, together = law.step(None, x, s, 0)
    x[1:], s[1:] = 1e6, -1e6
    _, disturbed = law.step(None, x, s, 0)
    assert torch.equal(together[0], disturbed[0])


def test_observing_nothing_adds_a_schedule_whatever_the_state():
    inputs = randn(0, 5, 6)
    law = AffineLaw.schedule(inputs)
    _, u = law.step(law.init(2), 1e3 * randn(1, 2, 6), torch.tensor([[1.0], [0.5]]).double(), 3)
    assert torch.equal(u, torch.stack([inputs[3], 0.5 * inputs[3]]))
    assert not law.H.any()


def test_the_inputs_of_a_schedule_are_known_beforehand_and_those_of_feedback_are_not():
    law = AffineLaw.schedule(randn(0, 5, 6, 2), active=(1, 3))
    references = randn(1, 5, 4, 2)
    inputs = law.known(references)
    for block in (1, 3):
        _, u = law.step(None, randn(2, 4, 6), references[block], block)
        assert torch.equal(inputs[block], u)
    assert random_law(1, random_plant(), 2).known(references) is None


def test_a_clamp_puts_the_feature_where_it_is_asked():
    v = torch.nn.functional.normalize(randn(0, 5, 6, 1), dim=1)
    law = AffineLaw(v, v)
    x = randn(1, 2, 6)
    _, u = law.step(None, x, torch.full((2, 1), 0.7).double(), 4)
    assert torch.allclose(law.observe(x + u, 4), torch.full((2, 1), 0.7).double())


def test_an_error_of_zero_gives_an_input_of_exactly_zero():
    law = random_law(1, random_plant())
    x = randn(3, 4, 6)
    _, u = law.step(None, x, law.observe(x, 1), 1)
    assert torch.equal(u, torch.zeros(4, 6).double())


def test_half_precision_states_are_observed_in_the_precision_of_the_law():
    law = AffineLaw(randn(0, 5, 6, 1).float(), randn(1, 5, 6, 1).float())
    x = randn(2, 3, 6).bfloat16()
    assert torch.equal(law.observe(x, 0), x.float() @ law.H[0])
    _, u = law.step(None, x, torch.zeros(3, 1), 0)
    assert u.dtype == torch.float32


def test_outside_its_blocks_a_law_does_nothing():
    system = random_plant()
    law = AffineLaw(random_law(1, system).H, random_law(1, system).G, active=(1, 3))
    x, s = randn(0, 2, 6), randn(1, 2, 1)
    moved = [bool(law.step(None, x, s, block)[1].any()) for block in range(5)]
    assert moved == [law.is_active(block) for block in range(5)]
    assert moved == [False, True, False, True, False]


def test_a_law_knows_its_sizes_and_keeps_them_on_another_device():
    law = random_law(1, random_plant(), 3)
    moved = AffineLaw(law.H, law.G, active=(0,)).to("cpu")
    assert (moved.blocks, moved.n, moved.k) == (5, 6, 3)
    assert moved.active == (0,)
    assert moved.dtype == torch.float64


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 2), (4, 6, 1), (5, 7, 1)])
def test_two_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"expected both to be \(blocks, n, k\)"):
        AffineLaw(randn(0, 5, 6, 1), randn(0, *shape))


def test_two_dtypes_or_half_precision_are_refused():
    H = randn(0, 5, 6, 1)
    with pytest.raises(InputError, match="give both one dtype"):
        AffineLaw(H, H.float())
    with pytest.raises(InputError, match="float16"):
        AffineLaw(H.half(), H.half())


def test_a_law_with_nan_is_refused():
    H = randn(0, 5, 6, 1)
    with pytest.raises(NumericalError, match="G has 30 NaN"):
        AffineLaw(H, H * float("nan"))


def test_an_active_block_that_does_not_exist_is_refused():
    H = randn(0, 5, 6, 1)
    with pytest.raises(InputError, match=r"\[-1, 5\]; there are 0 .. 4"):
        AffineLaw(H, H, active=(0, 5, -1))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("x", "reference"), [((3, 7), (3, 1)), ((3, 6), (3, 2)), ((3, 6), (2, 1))])
def test_rows_of_another_shape_are_refused(x, reference):
    law = random_law(1, random_plant())
    with pytest.raises(ShapeError, match="expected"):
        law.step(None, randn(0, *x), randn(0, *reference), 0)

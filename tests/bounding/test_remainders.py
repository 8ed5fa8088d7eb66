"""Paired runs, and what the linear plant leaves out of them."""

from typing import Any

import pytest
import torch
from torch import Tensor

import steersman as sm
from steersman.bounding import Attachment
from steersman.bounding.remainders import Reach, bounded, measure
from steersman.bounding.runs import PairedRun, paired_runs
from steersman.control import LTVSystem, error_bound
from steersman.errors import InputError
from steersman.plant import average, capture_sequence, jacobians, linearize, tokenize


def runs_of(case: Any, attachment: Attachment, count: int = 4, new: int = 1) -> list[PairedRun]:
    prompts = case.prompts[:count]
    return list(paired_runs(attachment, case.model, case.tokenizer, prompts, new_tokens=new))


def ids_of(case: Any, index: int) -> Tensor:
    return torch.tensor([tokenize(case.tokenizer, case.prompts[index : index + 1])[0].ids])


def own_plant(case: Any, index: int) -> LTVSystem:
    """The Jacobians at one prompt itself."""
    return LTVSystem(jacobians(case.model, ids_of(case, index)).double())


@pytest.mark.parametrize("execution", ["plan", "feedback"])
def test_a_pair_is_the_bare_run_and_the_one_that_is_attached(execution: Any, tiny: Any) -> None:
    one = Attachment(tiny.a, tiny.plant, 1.0, execution)
    for index, run in enumerate(runs_of(tiny, one, 2)):
        ids = ids_of(tiny, index)
        assert torch.equal(run.ids, ids[0])
        last = [ids.shape[1] - 1]
        assert torch.equal(run.nominal, capture_sequence(tiny.model, ids, last).double())
        with tiny.a.attach(tiny.model, 1.0, tokens="last", execution=execution):
            expected = capture_sequence(tiny.model, ids, last)
        torch.testing.assert_close(run.steered, expected.double())
        assert not torch.equal(run.steered[0, -1], run.nominal[0, -1])
        assert torch.equal(run.steered[0, 0], run.nominal[0, 0])


@pytest.mark.parametrize("tokens", ["last", "all"])
def test_new_tokens_are_those_that_the_steered_model_writes(tokens: Any, tiny: Any) -> None:
    one = Attachment(tiny.a, tiny.plant, 2.0, "feedback", tokens)
    (run,) = runs_of(tiny, one, 1, new=4)
    ids = ids_of(tiny, 0)
    with tiny.a.attach(tiny.model, 2.0, tokens=tokens, execution="feedback") as steered:
        made = tiny.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False
        )
    count = len(run.ids) - ids.shape[1]
    assert count == min(3, made.shape[1] - ids.shape[1])
    assert torch.equal(run.ids, made[0, : len(run.ids)])
    first = ids.shape[1] - 1
    v = tiny.a.direction.vectors.double()
    for name, states in (("steered", run.steered), ("nominal", run.nominal)):
        found = torch.einsum("rsn,sn->sr", states, v)
        trace = steered.trace
        shown = trace.nominal[0, :-1] if name == "nominal" else trace.feature[0]
        expected = shown[:, first : first + count + 1].double()
        torch.testing.assert_close(found[:-1], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(run.upto(0), ids)
    assert torch.equal(run.upto(count)[0], run.ids)


def test_prompts_that_cannot_be_run_are_refused(tiny: Any) -> None:
    one = Attachment(tiny.a, tiny.plant)
    with pytest.raises(InputError, match="there is no prompt"):
        list(paired_runs(one, tiny.model, tiny.tokenizer, []))
    with pytest.raises(InputError, match="new_tokens is 0"):
        runs_of(tiny, one, 1, new=0)
    with pytest.raises(InputError, match="the limit is 63"):
        word = tiny.prompts[0].split()[0]
        list(paired_runs(one, tiny.model, tiny.tokenizer, [f"{word} " * 64], new_tokens=2))


@pytest.mark.parametrize("execution", ["plan", "feedback"])
@pytest.mark.parametrize("which", ["a", "f"])
def test_what_the_blocks_did_adds_up_to_the_error_of_every_feature(
    which: str, execution: Any, tiny: Any
) -> None:
    one = Attachment(getattr(tiny, which), tiny.plant, 1.0, execution)
    reach, runs = Reach(one), runs_of(tiny, one)
    for run, found in zip(runs, measure(reach, runs), strict=True):
        moved = torch.einsum("rsn,sn->rs", run.deviation - one.predicted, one.vectors)
        expected = (moved / one.unit).nan_to_num(nan=0.0)
        torch.testing.assert_close(found.error, expected, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(found.work.sum(1), found.error, rtol=1e-6, atol=1e-8)
        assert float(found.error[:, reach.counted].abs().max()) > 1e-3


def test_runs_by_products_are_those_by_matrices(tiny: Any) -> None:
    prompts = tiny.prompts[-3:]
    products = average(tiny.model, tiny.tokenizer, prompts)
    matrices = sm.identify(tiny.model, tiny.tokenizer, prompts, progress=False)
    found = []
    for plant in (products, matrices):
        one = Attachment(tiny.f, plant, 1.0, "feedback")
        reach = Reach(one)
        (measured,) = measure(reach, runs_of(tiny, one, 1), tiny.model)
        assert (reach.norms is None) == (measured.ratios is None) == (plant is products)
        found.append((measured.error, measured.work, reach.scale))
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-9)


def test_at_the_runs_own_jacobians_there_is_no_mismatch(tiny: Any) -> None:
    one = Attachment(tiny.a, own_plant(tiny, 0), 1.0)
    (found,) = measure(Reach(one), runs_of(tiny, one, 1), tiny.model)
    assert found.ratios is not None
    assert float(found.ratios.mismatch.max()) < 1e-6
    assert float(found.ratios.disturbance.max()) < 1e-5
    assert float(found.ratios.sector.max()) > 1e-4


def test_the_curvature_is_that_of_a_remainder_of_second_order(tiny: Any) -> None:
    """Half the target: half the deviation, and the same curvature up to the third order."""
    found = []
    for target in (0.02, 0.01):
        one = Attachment(tiny.a, tiny.plant, target)
        (measured,) = measure(Reach(one), runs_of(tiny, one, 1), tiny.model)
        assert measured.ratios is not None
        found.append(measured.ratios)
    reached = found[0].curvature > 0
    assert int(reached.sum()) >= 1
    close = {"rtol": 0.05, "atol": 0.0}
    torch.testing.assert_close(found[0].curvature[reached], found[1].curvature[reached], **close)
    torch.testing.assert_close(found[0].mismatch[reached], found[1].mismatch[reached], **close)


def test_the_curvature_is_the_second_derivative_by_finite_differences(tiny: Any) -> None:
    one = Attachment(tiny.a, own_plant(tiny, 0), 0.01)
    reach = Reach(one)
    (run,) = runs_of(tiny, one, 1)
    (found,) = measure(reach, [run], tiny.model)
    assert found.ratios is not None
    block = int(found.ratios.curvature[0].nonzero()[-1])
    here = linearize(tiny.model, ids_of(tiny, 0), chunk=2)
    x, delta = here.states[block], run.deviation[0, block]
    along = delta / delta.norm()
    step = 0.03  # a norm inside is computed in float32
    columns = torch.stack([x + step * along, x, x - step * along], 1)
    y = here.outputs(block, columns)
    second = (y[:, 0] - 2 * y[:, 1] + y[:, 2]) / step**2
    C = reach.norms.factors
    expected = (C[block + 1].T @ second).norm() / (C[block].T @ along).norm() ** 2
    assert float(found.ratios.curvature[0, block]) == pytest.approx(float(expected), rel=0.05)


@pytest.mark.parametrize(
    ("which", "execution", "new"), [("a", "plan", 1), ("a", "feedback", 3), ("f", "feedback", 1)]
)
def test_the_runs_that_a_bound_was_made_from_are_within_it(
    which: str, execution: Any, new: int, tiny: Any
) -> None:
    """Whatever the model: without any safety, the worst of what was seen bounds all of it."""
    one = Attachment(getattr(tiny, which), tiny.plant, 1.0, execution)
    reach = Reach(one)
    found = measure(reach, runs_of(tiny, one, 3, new), tiny.model)
    remainder = bounded([m.ratios for m in found if m.ratios is not None], 1.0)
    assert reach.norms is not None and one.matrices is not None
    predicted = reach.norms.norms(one.predicted)
    rho = error_bound(reach.norms.gains(one.matrices), remainder, predicted)
    for measured in found:
        assert bool((measured.state_error <= rho * (1 + 1e-9) + 1e-9).all())
    assert bool(torch.isfinite(rho).all())
    assert bool(((remainder.disturbance[1:] > 1e-3).any()) == (new > 1))


def test_a_state_that_nothing_has_reached_is_not_counted(tiny: Any) -> None:
    reach = Reach(Attachment(tiny.a, tiny.plant))
    # x_0 has no contrast, so the first push is at the output of block 1, and x_2 is still exact.
    assert reach.counted.tolist() == [False, False, False, True]
    assert Reach(Attachment(tiny.f, tiny.plant)).counted.tolist() == [False, False, True, True]

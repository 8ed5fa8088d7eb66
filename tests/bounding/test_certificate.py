"""Certificates of single runs: the errors are those of the states, with a nominal or without."""

from typing import Any

import pytest
import torch
from torch import Tensor

import steersman as sm
from steersman.bounding import Certificate, TrackingBound
from steersman.engines import Trace
from steersman.errors import AttachedError, InputError, MismatchError, UnknownNameError
from steersman.plant import capture_sequence, encode

NEW = 3


@pytest.fixture(scope="module", params=[("a", "plan"), ("a", "feedback"), ("f", "feedback")])
def case(request: Any, tiny: Any) -> Any:
    """A bound of a steering and an execution, and the traces of a batch that it wrote for."""
    which, execution = request.param
    steering = getattr(tiny, which)
    found = sm.bound(
        steering,
        tiny.model,
        tiny.tokenizer,
        tiny.prompts[:6],
        plant=tiny.plant,
        execution=execution,
        new_tokens=NEW,
        level=0.8,
        progress=False,
    )
    return tiny, found, steering, execution


def generated(case: Any, prompts: list[str], new_tokens: int = NEW, **settings: Any) -> Trace:
    tiny, _, steering, execution = case
    given = encode(tiny.tokenizer, prompts)
    with steering.attach(
        tiny.model, **({"tokens": "last", "execution": execution} | settings)
    ) as run:
        tiny.model.generate(
            input_ids=given.input_ids,
            attention_mask=given.attention_mask,
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
        )
    return run.trace


def certified(case: Any, trace: Trace, **settings: Any) -> Certificate:
    tiny, found, _, execution = case
    model = tiny.model if execution == "plan" else None
    return found.certify(trace, model=model, **settings)


def states_of(case: Any, trace: Trace, row: int) -> tuple[Tensor, Tensor]:
    """Unsteered and steered states of one row, run again without padding or cache."""
    tiny, _, steering, execution = case
    real = ~trace.feature[row, -1].isnan()
    ids = trace.ids[row][real][None]
    first = int(trace.steered[row][real].int().argmax())
    every = range(ids.shape[1])
    nominal = capture_sequence(tiny.model, ids, every)
    with steering.attach(tiny.model, tokens="last", execution=execution, prompt_length=first + 1):
        steered = capture_sequence(tiny.model, ids, every)
    return nominal.double(), steered.double()


def test_its_errors_are_those_of_the_states(case: Any) -> None:
    tiny, found, *_ = case
    trace = generated(case, tiny.prompts[12:14])
    certificate = certified(case, trace)
    one = found.attachment
    for row in range(2):
        nominal, steered = states_of(case, trace, row)
        d = steered - nominal - one.predicted
        expected = torch.einsum("rsn,sn->sr", d, one.vectors) / one.unit[:, None]
        steers = trace.steered[row].nonzero().flatten()
        here, there = certificate.error[row][1:, steers], expected[1:, -len(steers) :]
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4)


def test_every_promised_place_is_judged_and_no_other(case: Any) -> None:
    tiny, found, *_ = case
    trace = generated(case, tiny.prompts[12:15], new_tokens=NEW + 2)
    certificate = certified(case, trace)
    length = tiny.tokenizer(tiny.prompts[12:13])["input_ids"][0]
    first = len(length) - 1
    states = found.foresight.counted.nonzero().flatten()
    judged = certificate.promised.nonzero()
    assert set(judged[:, 1].tolist()) == set(states.tolist())
    assert set(judged[:, 2].tolist()) == set(range(first, first + NEW))
    assert len(judged) == 3 * len(states) * NEW
    assert int(certificate.later.sum()) == 3 * len(states) * 2
    given = certified(case, trace, prompt_length=first + 2)
    assert set(given.promised.nonzero()[:, 2].tolist()) == set(range(first + 1, first + 1 + NEW))


def test_it_says_where_a_band_holds(case: Any) -> None:
    tiny, found, *_ = case
    certificate = certified(case, generated(case, tiny.prompts[12:16]))
    for row in certificate.rows():
        radius = found.band(row.name).radius[:, None].expand_as(certificate.error[0])
        ratio = certificate.error.abs() / radius
        assert row.worst == pytest.approx(float(ratio[certificate.promised].max()))
        assert row.holds == (row.worst <= 1) == certificate.holds(row.name)
        share = (ratio[certificate.promised] <= 1).double().mean()
        assert row.share == pytest.approx(float(share))
        assert row.beyond != row.beyond
    with pytest.raises(UnknownNameError, match="there is no band 'median'"):
        certificate.holds("median")
    lines = certificate.table().splitlines()
    assert len(lines) == 1 + len(found.bands)
    assert lines[1].endswith("-")


def test_a_run_of_the_calibration_itself_is_within_the_worst_cases(case: Any) -> None:
    tiny, *_ = case
    certificate = certified(case, generated(case, tiny.prompts[3:5]))
    assert certificate.holds("blockwise") and certificate.holds("norm")


def test_padded_rows_are_certified_as_if_alone(case: Any) -> None:
    tiny, *_ = case
    short = tiny.prompts[12].split(" ", 1)[1]
    both = certified(case, generated(case, [tiny.prompts[13], short]))
    for row, prompt in enumerate((tiny.prompts[13], short)):
        alone = certified(case, generated(case, [prompt]))
        width = alone.error.shape[2]
        torch.testing.assert_close(
            both.error[row][:, -width:], alone.error[0], rtol=1e-3, atol=1e-4, equal_nan=True
        )
        assert torch.equal(both.promised[row][:, -width:], alone.promised[0])


def test_a_run_of_another_target_is_refused_where_it_can_be_seen(case: Any) -> None:
    tiny, found, steering, execution = case
    trace = generated(case, tiny.prompts[12:13], target=0.5)
    if steering is tiny.f and execution == "feedback":
        assert not certified(case, trace).holds("blockwise")
        return
    with pytest.raises(MismatchError, match=f"target=1 and execution='{execution}'"):
        certified(case, trace)


def test_a_plan_needs_the_model_once_more(tiny: Any) -> None:
    found = plan_bound(tiny)
    given = tiny.tokenizer(tiny.prompts[12:13], return_tensors="pt")
    with tiny.a.attach(tiny.model, tokens="last") as run, torch.no_grad():
        tiny.model(**given)
        with pytest.raises(AttachedError):
            found.certify(run.trace, model=tiny.model)
    with pytest.raises(InputError, match="this trace holds no unsteered run to compare with"):
        found.certify(run.trace)
    assert found.certify(run.trace, model=tiny.model).error.shape == (
        1,
        4,
        run.trace.steered.shape[1],
    )


def test_what_cannot_be_certified_is_refused(tiny: Any, embedded: Any) -> None:
    found = plan_bound(tiny)
    given = tiny.tokenizer(tiny.prompts[12:13], return_tensors="pt")
    with tiny.a.attach(tiny.model, tokens="matching") as run, torch.no_grad():
        tiny.model(input_ids=given["input_ids"][:, :2])
    with pytest.raises(InputError, match="no token of this run was steered"):
        found.certify(run.trace, model=tiny.model)
    with tiny.a.attach(tiny.model, tokens="last") as run, torch.no_grad():
        tiny.model(inputs_embeds=tiny.model.get_input_embeddings()(given["input_ids"]))
    with pytest.raises(InputError, match="no token ids"):
        found.certify(run.trace, model=tiny.model)
    with pytest.raises(MismatchError, match="does not fit this one"):
        found.certify(run.trace, model=embedded.model)
    with embedded.f.attach(embedded.model, execution="feedback") as run, torch.no_grad():
        embedded.model(**embedded.tokenizer(embedded.prompts[:1], return_tensors="pt"))
    with pytest.raises(MismatchError, match="the trace has 6 blocks; the bound is for 3"):
        found.certify(run.trace)


def plan_bound(tiny: Any) -> TrackingBound:
    settings = {"plant": tiny.plant, "level": 0.8, "progress": False}
    return sm.bound(tiny.a, tiny.model, tiny.tokenizer, tiny.prompts[:5], **settings)

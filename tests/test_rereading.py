"""What a fit may ask the examples again: bare, and under a schedule."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import NumericalError
from steersman.methods import ActivationAddition, AngularSteering, Method, PIDSteering
from steersman.plant import HookSet, capture_states, hooked
from steersman.reading import Examples
from steersman.rereading import Rereading

Models = Callable[[str], PreTrainedModel]


@pytest.fixture(scope="module")
def asked(tiny_model: Models, tiny_tokenizer: Any) -> Rereading:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[0]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )
    model, method = tiny_model("llama"), ActivationAddition()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sm.fit(model, tiny_tokenizer, pairs, method=method, progress=False)
    rest = (made.features, method, made.provenance)
    return Rereading(model, tiny_tokenizer, {"one": Examples.of(pairs)}, *rest, batch_size=4)


def means(asked: Rereading, side: str) -> torch.Tensor:
    examples = getattr(asked.examples["one"].pairs, side)
    return capture_states(asked.model, asked.tokenizer, examples).double().mean(0)


def inputs(asked: Rereading) -> torch.Tensor:
    seeded = torch.Generator().manual_seed(0)
    return torch.randn(asked.features.one.contrast[1:].shape, generator=seeded)


def test_bare_it_gives_the_mean_states_of_both_sides(asked: Rereading) -> None:
    found = asked(None)
    torch.testing.assert_close(found.desired, means(asked, "desired"), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.undesired, means(asked, "undesired"), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        found.contrast.float(), asked.features.one.contrast, rtol=1e-5, atol=1e-5
    )
    assert asked(torch.zeros_like(inputs(asked))) is found


def test_only_the_undesired_side_is_steered_and_at_the_tokens_that_are_read(
    asked: Rereading,
) -> None:
    u = inputs(asked)
    found, bare = asked(u), asked(None)
    assert torch.equal(found.desired, bare.desired)
    torch.testing.assert_close(found.undesired[0], bare.undesired[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(
        found.undesired[1] - bare.undesired[1], u[0].double(), rtol=1e-4, atol=1e-5
    )
    (token,) = asked.provenance.decision_tokens
    attached = sm.Steering(
        *(asked.features, sm.methods.Controller.schedule(u), asked.method, asked.provenance)
    ).attach(asked.model, 1.0)
    with attached as run:
        steered = means(asked, "undesired")
    torch.testing.assert_close(found.undesired, steered, rtol=1e-4, atol=1e-4)
    assert torch.equal(run.trace.steered, run.trace.ids == token)


def test_the_model_is_left_bare_also_where_the_inputs_are_not_finite(asked: Rereading) -> None:
    with pytest.raises(NumericalError):
        asked(torch.full_like(inputs(asked), torch.nan))
    assert not any(hooked(module) for module in asked.model.modules())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("method", "passes"), [(ActivationAddition(), 2), (AngularSteering(), 2), (PIDSteering(), 4)]
)
def test_nothing_is_run_before_it_is_asked_for(
    method: Method, passes: int, asked: Rereading, tiny_tokenizer: Any
) -> None:
    """One pass a side reads direction and means, and one the means under each schedule."""
    ran: list[object] = []
    with HookSet() as hooks:
        hooks.before(asked.model, lambda args, kwargs: ran.append(kwargs))
        pairs = asked.examples["one"].pairs
        sm.fit(asked.model, tiny_tokenizer, pairs, method=method, progress=False)
    assert len(ran) == passes

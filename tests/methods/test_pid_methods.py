"""S-PID and its proportional form, on a real model: in natural units, as plan and as feedback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods import SPID, Evidence, Method, ProportionalAddition
from steersman.plant import HookSet, hidden_in, locate

Models = Callable[[str], PreTrainedModel]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def examples(tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )


def fitted(model: Any, tokenizer: Any, method: Method) -> sm.Steering:
    return sm.fit(model, tokenizer, examples(tokenizer), method=method, progress=False)


def test_a_unit_of_target_is_the_whole_contrast_on_the_plant(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, SPID(kd=0.05))
    A = sm.identify(model, tiny_tokenizer, examples(tiny_tokenizer).desired, progress=False).A
    delta = torch.zeros(A.shape[1])
    for matrix, u in zip(A, steering.plan, strict=True):
        delta = matrix @ delta + u
    last = steering.direction
    assert float(last.vectors[-1] @ delta) == pytest.approx(float(last.norm[-1]), rel=1e-3)


@pytest.mark.parametrize("method", [SPID(kp=0.2, ki=0.05, kd=0.1), ProportionalAddition()])
@pytest.mark.parametrize("reference", ["relative", "absolute"])
def test_feedback_in_front_of_the_model_is_the_law_written_out(
    method: SPID, reference: Any, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, method)
    ids = torch.arange(6, 12)[None]
    settings = {"tokens": "all", "reference": reference, "execution": "feedback"}
    with steering.attach(model, 0.5, **settings) as run, torch.no_grad():
        model(ids)
    trace = run.trace
    error = (trace.setpoint - trace.feature)[0]
    acts = [t for t in range(len(error)) if steering.gains[t].any()]
    error = error[acts]
    change = torch.cat([torch.zeros_like(error[:1]), error[1:] - error[:-1]])
    expected = method.kp * error + method.ki * error.cumsum(0) + method.kd * change
    torch.testing.assert_close(trace.effort[0][acts], expected.abs(), rtol=1e-3, atol=1e-4)


def test_a_cap_holds_in_front_of_the_model(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, SPID(cap=0.01))
    ids = torch.arange(6, 12)[None]
    attached = steering.attach(model, 3.0, tokens="all", execution="feedback")
    inputs: list[torch.Tensor] = []
    with attached as run, HookSet() as hooks, torch.no_grad():
        for module in locate(model).modules:
            hooks.before(module, lambda a, k: inputs.append(hidden_in(a, k)[0]))
        model(ids)
    # Each block is seen twice: in the nominal pass, then steered.
    lengths = torch.stack([x.norm(dim=-1) for x in inputs[len(inputs) // 2 :]])
    assert (run.trace.effort[0] <= 0.01 * lengths * 1.001).all()
    assert (run.trace.effort[0] > 0.0099 * lengths).any()


def test_chosen_blocks_alone_act_also_after_a_round_trip(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, ProportionalAddition(blocks=(1,)))
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.method == made.method
    for steering in (made, loaded):
        for execution in ("plan", "feedback"):
            attached = steering.attach(model, 1.0, tokens="all", execution=execution)
            with attached as run, torch.no_grad():
                model(torch.arange(6, 12)[None])
            effort = run.trace.effort[0]
            assert (effort[1] > 0).all() and not effort[[0, 2]].any()


@pytest.mark.parametrize(
    ("method", "says"),
    [(SPID(kp=0.0, ki=0.0), "all zero"), (SPID(blocks=(7,)), "active names blocks")],
)
def test_what_cannot_be_is_refused(
    method: SPID, says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    with pytest.raises(InputError, match=says):
        fitted(tiny_model("llama"), tiny_tokenizer, method)


def test_without_a_plant_it_is_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    direction = fitted(tiny_model("llama"), tiny_tokenizer, SPID()).direction
    with pytest.raises(InputError, match="needs an identified plant"):
        SPID().solve(Evidence(Features.of(direction)))

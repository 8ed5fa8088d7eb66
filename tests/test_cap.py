"""A cap on the effort, attached with any method: held in front of the model, and shown."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman.control import Reads
from steersman.errors import InputError
from steersman.plant import HookSet, Site, find_sites, hidden_in, hidden_out, locate
from steersman.request import Request

Models = Callable[[str], PreTrainedModel]
IDS = torch.arange(6, 14)[None]


@pytest.fixture(scope="module")
def fitted(tiny_model: Models, tiny_tokenizer: Any) -> Callable[[str], sm.Steering]:
    """`fitted("a-lqr")`: a steering of the tiny Llama, made once."""
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )

    def make(method: str) -> sm.Steering:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return sm.fit(
                *(tiny_model("llama"), tiny_tokenizer, pairs),
                method=method,
                direction="confident:0.5" if method == "confst" else None,  # of so few examples
                progress=False,
            )

    return cache(make)


def steered(
    model: Any, attached: sm.Run, reads: Reads = "input", site: Site = "block"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, `|u_t|` as the trace shows it, and the length of what each block's law reads."""
    seen: dict[int, torch.Tensor] = {}  # a nominal pass comes first, and is written over
    # These hooks are there first, so that they see a block's output before anything is added.
    with HookSet() as hooks, torch.no_grad():
        for block, module in enumerate(locate(model).modules):
            if site != "block":
                continue
            if reads == "input":
                hooks.before(module, lambda a, k, t=block: seen.update({t: hidden_in(a, k)[0]}))
            else:
                hooks.after(module, lambda a, k, o, t=block: seen.update({t: hidden_out(o)[0]}))
        if site != "block":
            find_sites(model, site).look(hooks, lambda t, z: seen.update({t: z[0]}))
        with attached as run:
            logits = model(IDS).logits
    lengths = torch.stack([seen[block].norm(dim=-1) for block in sorted(seen)])
    return logits, run.trace.effort[0], lengths


@pytest.mark.parametrize(
    "method", [m for m, kind in sm.METHODS.items() if not kind.needs_autoencoder]
)
def test_no_method_adds_more_than_its_cap(
    method: str, fitted: Callable[[str], sm.Steering], tiny_model: Models
) -> None:
    model, steering = tiny_model("llama"), fitted(method).when(None)
    law = steering.method.law(steering.controller)
    reads = "input" if steering.method.execution == "plan" else law.reads
    attached = steering.attach(model, 3.0, tokens="all", cap=0.02)
    _, effort, lengths = steered(model, attached, reads, steering.method.site)
    assert (effort <= 0.02 * lengths * 1.0001).all()
    assert (effort > 0.0199 * lengths).any()


@pytest.mark.parametrize("execution", ["plan", "feedback"])
@pytest.mark.parametrize("relinearize", ["fit", "prompt"])
def test_it_holds_for_plans_and_feedback_and_laws_made_at_the_prompt(
    execution: Any, relinearize: Any, fitted: Callable[[str], sm.Steering], tiny_model: Models
) -> None:
    model, steering = tiny_model("llama"), fitted("feature-lqr")
    settings: dict[str, Any] = {"tokens": "all", "relinearize": relinearize}
    settings["execution"] = execution
    free, wanted, _ = steered(model, steering.attach(model, 3.0, **settings))
    _, effort, lengths = steered(model, steering.attach(model, 3.0, cap=0.02, **settings))
    assert (effort <= 0.02 * lengths * 1.0001).all() and (wanted > 0.03 * lengths).any()
    loose, same, _ = steered(model, steering.attach(model, 3.0, cap=1e6, **settings))
    assert torch.equal(loose, free) and torch.equal(same, wanted)


def test_each_steering_of_a_batch_is_held_back(
    fitted: Callable[[str], sm.Steering], tiny_model: Models
) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 22).view(2, 8)
    steerings = [fitted("a-lqr"), fitted("s-pid")]
    settings: dict[str, Any] = {"tokens": "all", "execution": "feedback"}
    with sm.attach(model, steerings, [3.0, 3.0], cap=0.02, **settings) as run, torch.no_grad():
        model(ids)
    with sm.attach(model, steerings, [3.0, 3.0], **settings) as free, torch.no_grad():
        model(ids)
    for held, other in zip(run.traces(), free.traces(), strict=True):
        assert float(held.effort.max()) < 0.5 * float(other.effort.max())


@pytest.mark.parametrize("cap", [0.0, -0.1, float("nan"), float("inf")])
def test_a_cap_that_cannot_be_is_refused_before_anything_is_hooked(
    cap: float, fitted: Callable[[str], sm.Steering], tiny_model: Models
) -> None:
    with pytest.raises(InputError, match="cap is .*; it must be finite and above zero"):
        fitted("a-lqr").attach(tiny_model("llama"), cap=cap)
    assert not any(module._forward_hooks for module in tiny_model("llama").modules())


def test_a_request_keeps_its_cap_for_every_row() -> None:
    request = Request.of([1.0, 2.0], cap=0.1)
    assert request.for_rows((1,)).cap == 0.1

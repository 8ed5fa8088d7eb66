"""Tracking from token to token: what one token missed is asked of the next, row by row."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import steersman as sm
from steersman.control import Capped
from steersman.errors import InputError
from steersman.plant import HookSet, hidden_out, locate
from steersman.request import Request
from steersman.windtunnel import behaviour, fit_behaviour, load

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
NEW = 12
ASKED = {"execution": "feedback", "tokens": "last", "trace": False}


@pytest.fixture(scope="module")
def steering() -> sm.Steering:
    return fit_behaviour(*load(), behaviour("truthfulness"), pairs=60)


@pytest.fixture(scope="module")
def prompts() -> list[str]:
    return [str(one) for one in behaviour("truthfulness").pairs(3, 6).undesired]


def written(run: Any, prompts: list[str], **settings: Any) -> Tensor:
    model, tokenizer = load()
    given = tokenizer(prompts, return_tensors="pt", padding=True)
    with run:
        made = model.generate(
            input_ids=given.input_ids,
            attention_mask=given.attention_mask,
            min_new_tokens=NEW,
            max_new_tokens=NEW,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            **settings,
        )
    return made[:, given.input_ids.shape[1] :]


def final_states(model: Any, run: Any, ids: Tensor) -> Tensor:
    """Of the prompt's last token and those behind it, run one by one, with all that was added."""
    newest: list[Tensor] = []
    states, cache = [], None
    with run, HookSet() as hooks, torch.no_grad():
        hooks.after(
            locate(model).modules[-1], lambda args, kwargs, out: newest.append(hidden_out(out))
        )
        for piece in (ids[:, :-NEW], *ids[:, -NEW:].split(1, dim=1)):
            out = model(input_ids=piece, past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            states.append(newest[-1][:, -1])
    return torch.stack(states, dim=1)


def misses(steering: sm.Steering, prompt: str, correction: float) -> Tensor:
    """Of one prompt and fixed tokens behind it, in natural units."""
    model, tokenizer = load()
    ids = tokenizer([prompt + " the sea is blue and the sky is not . the end"], return_tensors="pt")
    d = steering.direction
    attached = steering.attach(model, 1.0, correction=correction, **ASKED)
    steered = final_states(model, attached, ids.input_ids)
    bare = final_states(model, nullcontext(), ids.input_ids)
    moved = (steered - bare) @ d.vectors[-1] / d.norm[-1]
    return 1.0 - moved[0]


def test_a_lasting_miss_is_made_up_for(steering: sm.Steering, prompts: list[str]) -> None:
    without = torch.stack([misses(steering, one, 0.0) for one in prompts])
    corrected = torch.stack([misses(steering, one, 0.5) for one in prompts])
    assert torch.equal(without[:, 0], corrected[:, 0])  # the first token knows of no miss
    assert float(without[:, 4:].mean()) > 0.1
    assert abs(float(corrected[:, 4:].mean())) < 0.2 * float(without[:, 4:].mean())


@pytest.mark.parametrize("correction", [0.25, 1.0])
def test_a_cache_and_padding_change_nothing(
    correction: float, steering: sm.Steering, prompts: list[str]
) -> None:
    model, _ = load()

    def run(target: Any = 1.5) -> Any:
        return steering.attach(model, target, correction=correction, **ASKED)

    whole = written(run(), prompts)
    assert torch.equal(whole, written(run(), prompts, use_cache=False))
    for row, prompt in zip(whole, prompts, strict=True):
        assert torch.equal(row[None], written(run(), [prompt]))


def test_rows_keep_their_own_corrections(steering: sm.Steering, prompts: list[str]) -> None:
    model, _ = load()
    targets = [1.5, -1.0]
    together = sm.attach(model, [steering, steering], targets, correction=0.5, **ASKED)
    found = written(together, prompts[:2])
    for row, prompt, target in zip(found, prompts, targets, strict=False):
        alone = steering.attach(model, target, correction=0.5, **ASKED)
        assert torch.equal(row[None], written(alone, [prompt]))
    some = sm.attach(model, [None, steering], [0.0, -1.0], correction=0.5, **ASKED)
    assert torch.equal(written(some, prompts[:2])[1], found[1])


def test_beams_take_their_corrections_along(steering: sm.Steering, prompts: list[str]) -> None:
    model, _ = load()

    def run() -> Any:
        return steering.attach(model, 2.0, correction=0.5, **ASKED)

    cached = written(run(), prompts, num_beams=3)
    for row, prompt in zip(cached, prompts, strict=True):
        assert torch.equal(row[None], written(run(), [prompt], num_beams=3))


@dataclass(frozen=True, eq=False)
class Released(Capped[Any]):
    """A cap that is another one in every forward pass."""

    caps: Iterator[float] = field(default_factory=lambda: iter(()))

    def begin(self, rows: int, places: Any) -> Any:
        object.__setattr__(self, "cap", next(self.caps))
        return super().begin(rows, places)

    def to(self, device: Any) -> "Released":
        return self


def test_a_cap_that_binds_for_some_tokens_leaves_nothing_to_be_paid_back(
    steering: sm.Steering, prompts: list[str]
) -> None:
    """Without anti-windup every token that is held back adds half a unit to what the next asks."""
    model, tokenizer = load()
    asked = Request.of(1.0, execution="feedback", tokens="last", correction=0.5)
    made = steering.channel(asked, model)
    binds = slice(5, 10)
    after = []
    for prompt in prompts:
        text = [prompt + " the sea is blue and the sky is not . the end"]
        ids = tokenizer(text, return_tensors="pt").input_ids
        bare = final_states(model, nullcontext(), ids)
        moves = []
        for cap in (1e6, 1e-3):
            caps = [1e6] * (NEW + 1)
            caps[binds] = [cap] * 5
            channel = replace(made, law=Released(made.law, 1.0, iter(caps)))
            run = sm.Run(model, locate(model), (channel,), trace=False)
            d = steering.direction
            moves.append((final_states(model, run, ids) - bare) @ d.vectors[-1] / d.norm[-1])
        free, held = (move[0] for move in moves)
        assert torch.equal(free[: binds.start], held[: binds.start])
        assert (held[binds] < 0.2).all()
        after.append((held - free)[binds.stop])
    assert float(torch.stack(after).abs().max()) < 0.7


def test_a_plan_and_the_papers_strength_know_no_correction(steering: sm.Steering) -> None:
    model, _ = load()
    with pytest.raises(InputError, match="a plan does not measure"):
        steering.attach(model, 1.0, correction=0.5)
    with pytest.raises(InputError, match="lambda_ does not say"):
        steering.attach(model, lambda_=1.0, correction=0.5)
    with pytest.raises(InputError, match="above 0 and below 2"):
        steering.attach(model, 1.0, execution="feedback", correction=3.0)


@pytest.mark.parametrize("method", ["counterfactual", "angular"])
def test_a_target_that_is_no_value_of_the_feature_cannot_be_corrected(method: str) -> None:
    model, tokenizer = load()
    other = fit_behaviour(model, tokenizer, behaviour("truthfulness"), pairs=20, method=method)
    with pytest.raises(InputError, match=f"a target of {method} is no value of the feature"):
        other.attach(model, 1.0, correction=0.5)


def test_a_followed_trajectory_cannot_be_corrected() -> None:
    model, tokenizer = load()
    followed = sm.track(model, tokenizer, "the sea", progress=False)
    for reference in ("relative", "absolute"):
        with pytest.raises(InputError, match="a target of tracking is no value"):
            followed.attach(model, 1.0, correction=0.5, reference=reference)

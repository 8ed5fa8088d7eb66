"""A condition is decided once on each prompt, in whatever way it reaches the model, and kept."""

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import torch
from test_run import channel, logits, padded, run_with
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from steersman.engines import Channel
from steersman.errors import InputError, MismatchError
from steersman.gating import PromptCondition, Resembles
from steersman.plant import HookSet, hidden_in, hidden_out, locate

Models = Callable[[str], PreTrainedModel]
SOME = ("llama", "gpt2", "gemma3_text", "qwen3")
ROWS = [
    torch.tensor([3, 5, 9, 5, 7, 20]),
    torch.tensor([9, 4, 5]),
    torch.tensor([8, 30]),
    torch.tensor([41, 42, 43, 2, 50]),
]
MARKS = (5, 8)
LATE = (2,)


def states_of(model: PreTrainedModel, ids: Tensor) -> list[Tensor]:
    """`x_0 .. x_T` of one prompt, `(length, n)` each, by hooks written out here."""
    found: dict[int, Tensor] = {}
    with HookSet() as hooks:
        for t, module in enumerate(locate(model).modules):

            def keep(args: tuple, kwargs: dict, output: object, t: int = t) -> None:
                found[t], found[t + 1] = hidden_in(args, kwargs)[0], hidden_out(output)[0]

            hooks.after(module, keep)
        logits(model, ids[None])
    return [found[t].double() for t in sorted(found)]


def sims(model: PreTrainedModel, state: int, pool: str, kind: str, c: Tensor) -> list[float]:
    """The similarity of every row alone, as CAST writes it."""
    values = []
    for ids in ROWS:
        x = states_of(model, ids)[state]
        text = torch.tensor([token not in MARKS for token in ids.tolist()])
        h = x[-1] if pool == "last" else x[text if text.any() else ~text].mean(0)
        P = torch.outer(c, c) / (c @ c)
        other = torch.tanh(P @ h) if kind == "tanh" else c
        values.append(float(h @ other / (h.norm() * other.norm())))
    return values


def condition(
    model: PreTrainedModel, state: int, pool: str = "mean", kind: str = "tanh", seed: int = 3
) -> tuple[Resembles, list[bool]]:
    """One with its threshold in the middle of what the rows show, and which rows it fires for."""
    n = locate(model).n
    c = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    values = sims(model, state, pool, kind, c.double())
    threshold = median(values)
    made = Resembles(c, state, threshold, "above", kind, pool, MARKS)  # type: ignore[arg-type]
    return made, [value > threshold for value in values]


def late(law: Channel, when: PromptCondition | None = None) -> Channel:
    """The same law at the last block alone, so that early states come before any of it."""
    return replace(law, law=replace(law.law, active=LATE), condition=when)


def forms(model: PreTrainedModel) -> dict[str, Channel]:
    """A law whose condition is read in the same pass, one read beforehand, one beside a nominal."""
    return {
        "same pass": late(channel(model)),
        "beforehand": channel(model),
        "nominal": channel(model, relative=True),
        "plan": channel(model, planned=True, tokens="last"),
    }


@pytest.mark.parametrize("kind", SOME)
@pytest.mark.parametrize("form", ["same pass", "beforehand", "nominal", "plan"])
def test_rows_that_meet_it_are_steered_and_no_others(
    kind: str, form: str, tiny_model: Models
) -> None:
    model = tiny_model(kind)
    law = forms(model)[form]
    for state, pool, how in ((1, "mean", "tanh"), (2, "last", "cosine"), (2, "mean", "cosine")):
        when, fires = condition(model, state, pool, how)
        assert any(fires) and not all(fires)
        for side in ("left", "right"):
            ids, mask = padded(ROWS, side)
            bare = logits(model, ids, mask)
            with run_with(model, law):
                every = logits(model, ids, mask)
            with run_with(model, replace(law, condition=when)) as run:
                some = logits(model, ids, mask)
            # Absolute positions move under left padding in models that do not correct for it.
            if side == "right" or kind != "gpt2":
                assert run.trace.fired is not None and run.trace.fired.tolist() == fires
            for row, fired in enumerate(run.trace.fired.tolist()):
                real = mask[row].bool()
                assert torch.equal(some[row, real], (every if fired else bare)[row, real])
                assert bool(run.trace.steered[row].any()) == fired
                assert bool((run.trace.effort[row].nan_to_num() > 0).any()) == fired


@pytest.mark.parametrize(
    ("form", "passes"), [("same pass", 1), ("beforehand", 2), ("nominal", 2), ("plan", 2)]
)
def test_a_prompt_runs_twice_only_where_it_has_to(
    form: str, passes: int, tiny_model: Models
) -> None:
    model, calls = tiny_model("llama"), []
    when, _ = condition(model, 2)
    ids, mask = padded(ROWS, "left")
    with HookSet() as hooks:
        hooks.after(locate(model).modules[0], lambda args, kwargs, output: calls.append(1))
        with run_with(model, replace(forms(model)[form], condition=when)):
            logits(model, ids, mask)
    assert len(calls) == passes


@pytest.mark.parametrize("state", [0, 3])
def test_the_first_and_the_last_state_can_be_read(state: int, tiny_model: Models) -> None:
    model = tiny_model("llama")
    when, fires = condition(model, state)
    ids, mask = padded(ROWS, "left")
    for law in forms(model).values():
        with run_with(model, replace(law, condition=when)) as run:
            logits(model, ids, mask)
        assert run.trace.fired.tolist() == fires


def test_several_conditions_decide_together(tiny_model: Models) -> None:
    model = tiny_model("llama")
    (one, first), (other, second) = condition(model, 1), condition(model, 3, "last", seed=4)
    ids, mask = padded(ROWS, "left")
    for made, expected in (
        (one & other, [a and b for a, b in zip(first, second, strict=True)]),
        (one | ~other, [a or not b for a, b in zip(first, second, strict=True)]),
    ):
        with run_with(model, replace(channel(model), condition=made)) as run:
            logits(model, ids, mask)
        assert run.trace.fired.tolist() == expected


def generated(model: PreTrainedModel, run: Any, ids: Tensor, mask: Tensor, **how: Any) -> Tensor:
    with run:
        made = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=6,
            min_new_tokens=6,
            do_sample=False,
            pad_token_id=0,
            **how,
        )
    return made[:, ids.shape[1] :]


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("form", ["same pass", "beforehand", "nominal"])
def test_the_decision_is_kept_with_a_cache_without_one_and_in_beams(
    form: str, beams: int, tiny_model: Models
) -> None:
    model = tiny_model("llama")
    when, fires = condition(model, 1)
    law = replace(forms(model)[form], condition=when)
    law = replace(law, law=replace(law.law, G=4 * law.law.G))
    ids, mask = padded(ROWS, "left")
    made = [
        generated(model, run_with(model, law), ids, mask, num_beams=beams, use_cache=cache)
        for cache in (True, False)
    ]
    assert torch.equal(made[0], made[1])
    moved = []
    for row, prompt in enumerate(ROWS):
        every = replace(law, condition=None)
        one = prompt[None], torch.ones_like(prompt)[None]
        steered = generated(model, run_with(model, every), *one, num_beams=beams)[0]
        bare = generated(
            model, run_with(model, replace(law, rows=()), prompts=1), *one, num_beams=beams
        )[0]
        assert torch.equal(made[0][row], steered if fires[row] else bare)
        moved.append(not torch.equal(steered, bare))
    assert any(moved)


def test_generated_tokens_do_not_change_the_decision(tiny_model: Models) -> None:
    """A sequence that goes on without a cache shows the whole text again; the prompt decides."""
    model = tiny_model("llama")
    when, fires = condition(model, 2)
    ids, mask = padded(ROWS, "left")
    longer = torch.cat([ids, torch.full((len(ROWS), 5), 33)], 1)
    real = torch.cat([mask, torch.ones(len(ROWS), 5, dtype=mask.dtype)], 1)
    with run_with(model, replace(channel(model), condition=when)) as run:
        logits(model, ids, mask)
        logits(model, longer, real)
        assert run.trace.fired.tolist() == fires
        assert run.trace.steered.shape == longer.shape
    with run_with(
        model, replace(channel(model), condition=when), prompt_length=ids.shape[1]
    ) as run:
        logits(model, longer, real)
        assert run.trace.fired.tolist() == fires


def test_each_sequence_is_decided_anew(tiny_model: Models) -> None:
    model = tiny_model("llama")
    when, fires = condition(model, 2)
    with run_with(model, replace(channel(model), condition=when)) as run:
        for row, prompt in enumerate(ROWS):
            logits(model, prompt[None])
            assert run.trace.fired.tolist() == [fires[row]]


def test_rows_with_different_conditions_do_not_touch_each_other(tiny_model: Models) -> None:
    model = tiny_model("llama")
    when, fires = condition(model, 2)
    ids, mask = padded(ROWS, "left")
    first = replace(channel(model, rows=(0, 1), seed=1), condition=when)
    second = replace(channel(model, rows=(2, 3), seed=2), condition=~when)
    with run_with(model, first, second, prompts=4) as run:
        mixed = logits(model, ids, mask)
        one, other = run.traces()
    assert one.fired.tolist() == fires[:2]
    assert other.fired.tolist() == [not fired for fired in fires[2:]]
    bare = logits(model, ids, mask)
    for row in range(4):
        changed = not torch.equal(mixed[row], bare[row])
        assert changed == (fires[row] if row < 2 else not fires[row])


def test_a_condition_that_no_row_meets_leaves_every_bit(tiny_model: Models) -> None:
    model = tiny_model("llama")
    never = Resembles(torch.ones(locate(model).n), 2, 2.0)
    ids, mask = padded(ROWS, "left")
    bare = logits(model, ids, mask)
    for law in forms(model).values():
        with run_with(model, replace(law, condition=never), trace=False):
            assert torch.equal(logits(model, ids, mask), bare)


def test_padding_that_is_not_finite_does_not_reach_a_decision(tiny_model: Models) -> None:
    from steersman.engines.deciding import pooled
    from steersman.engines.window import Sequences, read_window

    window = read_window(
        (), {"input_ids": torch.tensor([[0, 3, 5]]), "attention_mask": torch.tensor([[0, 1, 1]])}
    )
    sequences = Sequences()
    sequences.enter(window)
    x = torch.tensor([[[torch.nan, torch.inf], [1.0, 2.0], [3.0, 6.0]]])
    when = Resembles(torch.ones(2), 1, 0.0)
    assert pooled(x, window, sequences, when.reading).tolist() == [[2.0, 4.0]]
    last = replace(when, pool="last").reading
    assert pooled(x, window, sequences, last).tolist() == [[3.0, 6.0]]


def test_a_prompt_in_chunks_is_refused(tiny_model: Models) -> None:
    model = tiny_model("llama")
    when, _ = condition(model, 2)
    law = replace(channel(model), condition=when)
    ids = ROWS[0][None]
    with (
        run_with(model, law, prompt_length=6),
        pytest.raises(InputError, match="all of the prompt in one pass"),
    ):
        logits(model, ids[:, :3])
    cache = model(input_ids=ids[:, :3], use_cache=True).past_key_values
    assert isinstance(cache, DynamicCache)
    with run_with(model, law), pytest.raises(InputError, match="without an earlier cache"):
        model(input_ids=ids[:, 3:], past_key_values=cache)
    with run_with(model, law) as run:  # and the run goes on with the next prompt
        logits(model, ids)
    assert run.trace.fired is not None


def test_the_callers_cache_is_not_touched_by_reading_beforehand(tiny_model: Models) -> None:
    model = tiny_model("llama")
    when, _ = condition(model, 3)
    cache, ids = DynamicCache(config=model.config), ROWS[0][None]
    with run_with(model, replace(channel(model), condition=~when)), torch.no_grad():
        model(input_ids=ids, past_key_values=cache, use_cache=True)
    assert cache.get_seq_length() == ids.shape[1]


def test_a_condition_of_another_width_is_refused(tiny_model: Models) -> None:
    law = channel(tiny_model("llama"))
    with pytest.raises(MismatchError, match="Fit a condition on it"):
        replace(law, condition=Resembles(torch.ones(3), 1, 0.0))
    with pytest.raises(MismatchError, match="states 0 .. 3"):
        replace(law, condition=Resembles(torch.ones(law.law.n), 5, 0.0))

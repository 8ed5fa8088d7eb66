"""Following another prompt's states: on a linear world, on tiny models, and on the embedded one."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

import steersman as sm
from steersman import tracking
from steersman.bounding.attachment import Attachment
from steersman.control import LTVSystem, dense_riccati
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods import Controller, Evidence, Means, Tracking
from steersman.plant import HookSet, LastToken, capture_states, hidden_in, locate
from steersman.windtunnel import behaviour, load

Models = Callable[[str], PreTrainedModel]


@pytest.fixture(scope="module")
def words(tiny_tokenizer: Any) -> list[str]:
    return [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]


@pytest.fixture(scope="module")
def tracked(tiny_model: Models, tiny_tokenizer: Any, words: list[str]) -> sm.Steering:
    """A tiny Llama, a prompt that ends in the first word, and all directions."""
    model, prompt = tiny_model("llama"), f"{words[3]} {words[5]} {words[0]}"
    return sm.track(model, tiny_tokenizer, prompt, rank=None, progress=False)


def encoded(tokenizer: Any, text: str) -> torch.Tensor:
    return tokenizer(text, return_tensors="pt")["input_ids"]


def test_the_trajectory_is_that_of_the_prompts_last_token(
    tracked: sm.Steering, tiny_model: Models, tiny_tokenizer: Any, words: list[str]
) -> None:
    model, prompt = tiny_model("llama"), f"{words[3]} {words[5]} {words[0]}"
    states = capture_states(model, tiny_tokenizer, [prompt])[0]
    torch.testing.assert_close(tracked.features.one.contrast, states)
    c = tracked.controller
    goal = torch.einsum("tnk,tn->tk", c.H, states[:-1])
    torch.testing.assert_close(c.shifts[..., 0], goal, rtol=1e-4, atol=1e-4)
    A = sm.identify(model, tiny_tokenizer, [prompt], progress=False)
    K = torch.stack([step.K for step in dense_riccati(A, 1.0, 0.1, 1.0)]).flip(0)
    torch.testing.assert_close(c.G @ c.H.mT, K.float(), rtol=1e-3, atol=1e-5)
    assert tracked.method == Tracking(rank=None, discarded=(0.0,) * len(K))


def test_a_conversation_is_followed_at_the_place_of_its_answer(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    chat = [{"role": "user", "content": "the cat"}]
    steering = sm.track(tiny_model("llama"), tiny_tokenizer, chat, rank=2, progress=False)
    (last,) = steering.provenance.decision_tokens
    assert tiny_tokenizer.decode([last]) == ":"
    states = capture_states(tiny_model("llama"), tiny_tokenizer, [chat])[0]
    torch.testing.assert_close(steering.features.one.contrast, states)


def test_it_acts_where_the_prompts_last_token_stands(
    tracked: sm.Steering, tiny_model: Models, tiny_tokenizer: Any, words: list[str]
) -> None:
    model = tiny_model("llama")
    ids = encoded(tiny_tokenizer, f"{words[7]} {words[0]} {words[8]} {words[0]}")
    with tracked.attach(model) as run, torch.no_grad():
        model(ids)
    assert run.trace.steered.tolist() == [[False, False, True, False, True]]


def test_what_is_added_is_the_gain_on_the_way_that_is_left(
    tracked: sm.Steering, tiny_model: Models
) -> None:
    model, ids, tau = tiny_model("llama"), torch.arange(6, 12)[None], 0.6
    seen: list[torch.Tensor] = []  # the nominal pass, then the steered one
    with tracked.attach(model, tau, tokens="all") as run, HookSet() as hooks, torch.no_grad():
        for module in locate(model).modules:
            hooks.before(module, lambda a, k: seen.append(hidden_in(a, k)[0].clone()))
        model(ids)
    c, blocks = tracked.controller, len(tracked.plan)
    for block in range(blocks):
        nominal, x = seen[block], seen[blocks + block]
        wanted = nominal + tau * (tracked.features.one.contrast[block] - nominal)
        u = (wanted - x) @ c.H[block] @ c.G[block].T
        effort = run.trace.effort[0, block]
        torch.testing.assert_close(effort, u.norm(dim=1), rtol=1e-3, atol=1e-4)


def test_absolute_tracking_is_relative_tracking_at_target_one(
    tracked: sm.Steering, tiny_model: Models
) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 12)[None]
    outs = []
    for reference in ("relative", "absolute"):
        with torch.no_grad(), tracked.attach(model, 1.0, reference=reference, tokens="last"):
            outs.append(model(ids).logits)
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-4, atol=1e-4)


def test_target_zero_leaves_every_bit(tracked: sm.Steering, tiny_model: Models) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 12)[None]
    with torch.no_grad():
        bare = model(ids).logits
        with tracked.attach(model, 0.0, tokens="all"):
            assert torch.equal(model(ids).logits, bare)


def test_it_is_the_same_after_a_round_trip(
    tracked: sm.Steering, tiny_model: Models, tmp_path: Path
) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 12)[None]
    loaded = sm.Steering.from_pretrained(tracked.save_pretrained(tmp_path / "s"))
    assert loaded.method == tracked.method
    assert loaded.provenance == tracked.provenance
    outs = []
    for steering in (tracked, loaded):
        with torch.no_grad(), steering.attach(model, [0.5], tokens="all"):
            outs.append(model(ids).logits)
    assert torch.equal(outs[0], outs[1])
    assert "1 desired and 0 undesired" in loaded.summary()


def test_the_trace_counts_from_the_start_to_the_prompt(
    tiny_model: Models, tiny_tokenizer: Any, words: list[str]
) -> None:
    model = tiny_model("llama")
    prompt, start = f"{words[3]} {words[5]}", f"{words[9]} {words[2]} {words[6]}"
    settings: dict[str, Any] = {"rank": None, "progress": False}
    steering = sm.track(model, tiny_tokenizer, prompt, start=start, **settings)
    for text, place in ((start, 0.0), (prompt, 1.0)):
        with steering.attach(model, 0.0, tokens="last") as run, torch.no_grad():
            model(encoded(tiny_tokenizer, text))
        found = run.trace.natural(run.trace.feature)[0, :, -1]
        torch.testing.assert_close(found, torch.full_like(found, place), rtol=0, atol=1e-4)
    assert steering.provenance.pairs == {"feature": (1, 1)}


def test_a_batch_with_padding_and_a_target_a_prompt(
    tracked: sm.Steering, tiny_model: Models, words: list[str], tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    rows = [encoded(tiny_tokenizer, t)[0] for t in (f"{words[4]} {words[0]}", " ".join(words[:6]))]
    width, targets = max(map(len, rows)), [0.4, 1.0]
    ids = torch.stack([torch.nn.functional.pad(r, (width - len(r), 0)) for r in rows])
    mask = torch.stack([torch.arange(width) >= width - len(r) for r in rows]).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        with tracked.attach(model, targets, tokens="last"):
            out = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1]
        for row, target, found in zip(rows, targets, out, strict=True):
            with tracked.attach(model, target, tokens="last"):
                torch.testing.assert_close(model(row[None]).logits[0, -1], found, rtol=0, atol=1e-4)


@pytest.mark.parametrize("reference", ["relative", "absolute"])
def test_beams_go_the_way_of_their_prompt(
    reference: Any, tracked: sm.Steering, tiny_model: Models
) -> None:
    model: Any = tiny_model("llama")
    prompts = [torch.arange(6, 12), torch.arange(20, 24), torch.arange(30, 35)]
    targets = [1.0, 1.0, 1.0] if reference == "absolute" else [0.0, 0.6, 1.0]
    how: dict[str, Any] = {"tokens": "last", "reference": reference, "trace": False}
    search = {"num_beams": 3, "do_sample": False, "max_new_tokens": 5, "pad_token_id": 0}

    def written(rows: list[torch.Tensor], target: list[float]) -> list[list[int]]:
        width = max(map(len, rows))
        ids = torch.stack([torch.nn.functional.pad(r, (width - len(r), 0)) for r in rows])
        mask = torch.stack([torch.arange(width) >= width - len(r) for r in rows]).long()
        with tracked.attach(model, target, **how):
            made = model.generate(ids, attention_mask=mask, **search)
        return made[:, width:].tolist()

    together = written(prompts, targets)
    each = zip(prompts, targets, strict=True)
    assert together == [row for prompt, target in each for row in written([prompt], [target])]
    bare = model.generate(prompts[2][None], **search)[0, len(prompts[2]) :].tolist()
    assert together[2] != bare


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": []}, "the prompt is empty"),
        ({"start": ""}, "the start is empty"),
        ({"prompt": "cat " * 80}, "tokens and the limit is 64"),
        ({"prompt": "a cat", "start": "a cat"}, "nowhere to go"),
        ({"rank": 0}, "rank is 0"),
        ({"tolerance": 2.0}, "tolerance is 2.0"),
        ({"r": 0.0}, "^r is 0.0"),
    ],
)
def test_what_cannot_be_is_refused(
    settings: dict[str, Any], says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    given = {"prompt": "the dog", **settings}
    with pytest.raises(InputError, match=says):
        sm.track(tiny_model("gpt2"), tiny_tokenizer, progress=False, **given)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"target": 0.5, "reference": "absolute"}, "target 1"),
        ({"target": [1.0, 0.5], "reference": "absolute"}, "target 1"),
        ({"execution": "plan"}, "tracking has no plan"),
        ({"lambda_": 1.0}, "lambda_ is a value of that"),
        ({"relinearize": "prompt"}, "needs the plant's matrices"),
    ],
)
def test_what_it_does_not_have_is_refused_when_it_is_attached(
    settings: dict[str, Any], says: str, tracked: sm.Steering, tiny_model: Models
) -> None:
    with pytest.raises(InputError, match=says):
        tracked.attach(tiny_model("llama"), **settings)


def test_its_errors_are_not_those_of_a_shifted_reference_so_no_bound_is_claimed(
    tracked: sm.Steering, tiny_model: Models
) -> None:
    plant = LTVSystem(torch.eye(32).expand(3, -1, -1))
    with pytest.raises(InputError, match="not that of an affine law of the deviation"):
        Attachment(tracked, plant, execution="feedback")


def test_without_a_trajectory_it_is_refused() -> None:
    plant = LTVSystem(torch.eye(4).expand(3, -1, -1))
    features = Features.of(tracking._direction(Means(torch.ones(4, 4), torch.zeros(4, 4))))
    with pytest.raises(InputError, match="tracking reads the examples' states"):
        Tracking().solve(Evidence(features, plant))
    with pytest.raises(InputError, match="tracking needs an identified plant"):
        Tracking().solve(Evidence(features))


def test_fitted_from_pairs_it_follows_the_mean_of_the_desired_examples(
    tiny_model: Models, tiny_tokenizer: Any, words: list[str]
) -> None:
    model = tiny_model("llama")
    desired = [f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)]
    undesired = [f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)]
    pairs = sm.ContrastivePairs(desired=desired, undesired=undesired)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sm.fit(model, tiny_tokenizer, pairs, method=Tracking(rank=5), progress=False)
    mean = capture_states(model, tiny_tokenizer, desired, LastToken()).mean(0)
    expected = torch.einsum("tnk,tn->tk", made.controller.H, mean[:-1])
    torch.testing.assert_close(made.controller.shifts[..., 0], expected, rtol=1e-4, atol=1e-4)
    assert made.controller.H.shape[-1] == 5
    assert isinstance(made.method, Tracking) and all(s > 0 for s in made.method.discarded)


def test_on_the_embedded_model_more_directions_and_less_weight_bring_it_to_the_prompt() -> None:
    """The next token's distribution and the final state, whatever stood before."""
    model, tokenizer = load()
    drawn = behaviour("concepts:sea").pairs(0, 2)
    prompt, start = str(drawn.desired[0]), str(drawn.undesired[1])
    states = capture_states(model, tokenizer, [prompt, start])[:, -1]

    def next_token(text: str) -> torch.Tensor:
        with torch.no_grad():
            return model(encoded(tokenizer, text)).logits[0, -1].log_softmax(-1)

    goal, bare = next_token(prompt), next_token(start)

    def left(r: float, ranks: tuple[int, ...]) -> list[tuple[float, float]]:
        """KL to the prompt's next token and distance of the final states, as shares of the bare."""
        whole = sm.track(model, tokenizer, prompt, r=r, rank=None, progress=False)
        found = []
        for rank in ranks:  # the directions lie in the order of their singular values
            c = whole.controller
            few = Controller(c.H[..., :rank], c.G[..., :rank], c.plan, c.shifts[:, :rank])
            steering = replace(whole, controller=few)
            with steering.attach(model, tokens="last", reference="absolute", trace=False):
                final = capture_states(model, tokenizer, [start])[0, -1]
                ours = next_token(start)
            nearness = (final - states[0]).norm() / (states[1] - states[0]).norm()
            found.append((divergence(ours) / divergence(bare), float(nearness)))
        return found

    def divergence(other: torch.Tensor) -> float:
        return float((goal.exp() * (goal - other)).sum())

    by_rank, dear = left(0.1, (1, 8, 32, 192)), left(10.0, (32,))
    for before, after in zip([dear[0], *by_rank[:2]], [by_rank[2], *by_rank[1:3]], strict=True):
        assert after[0] < before[0] and after[1] < before[1]
    assert by_rank[0][0] > 0.5 and by_rank[2][0] < 0.2
    assert by_rank[3][0] < 1e-3 and by_rank[3][1] < 0.05

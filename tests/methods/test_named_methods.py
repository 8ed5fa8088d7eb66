"""Named methods beside their formulas in numpy, and where they read and act by default."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hooked import IDS, close, examples, fitted, hooked, sides, steered
from scipy.special import logit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import (
    ConfidentMean,
    Direction,
    Features,
    MeanDifference,
    Purified,
    contrast,
)
from steersman.methods import (
    CAA,
    CAST,
    METHODS,
    RAPTOR,
    ActAdd,
    BiasMitigation,
    ConfST,
    Efficiency,
    Evidence,
    LanguageShift,
    Method,
    OverthinkManifold,
    Personality,
    RefusalAddition,
    RepE,
    Seal,
    SelectiveSteering,
    ShiftOfMeans,
    Sides,
)
from steersman.methods.added import at_depth, in_band
from steersman.methods.choosing import chosen_blocks, probe_auc, probe_scores
from steersman.plant import AllTokens, capture_states

Models = Callable[[str], PreTrainedModel]

NAMED: dict[str, Method] = {
    "caa": CAA(1),
    "actadd": ActAdd(0),
    "repe": RepE(strength=0.5),
    "confst": ConfST(),
    "raptor": RAPTOR(0.8, 1, 10.0),
    "cast": CAST(strength=0.5),
    "seal": Seal(1),
    "efficiency": Efficiency(1),
    "bias": BiasMitigation(),
    "personality": Personality(),
    "refusal-addition": RefusalAddition(),
    "language-shift": LanguageShift(strength=0.5),
    "shift-of-means": ShiftOfMeans(1),
    "manifold-overthink": OverthinkManifold(1),
    "selective": SelectiveSteering(blocks=(0, 1), degrees=40.0),
}
EACH = pytest.mark.parametrize("name", list(NAMED))


def behind(model: Any, tokenizer: Any, block: int) -> tuple[np.ndarray, np.ndarray]:
    """What leaves a block, at the last token of the examples."""
    up, down = sides(model, tokenizer)
    return up[:, block + 1], down[:, block + 1]


def whole(model: Any, tokenizer: Any, block: int) -> tuple[np.ndarray, np.ndarray]:
    """What leaves a block, averaged over the tokens of each example."""
    pairs = examples(tokenizer)
    up, down = (
        capture_states(model, tokenizer, list(side), AllTokens())[:, block + 1].double().numpy()
        for side in (pairs.desired, pairs.undesired)
    )
    return up, down


def component(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The first principal component of paired differences, towards the desired side."""
    v = np.linalg.svd(up - down)[2][0]
    return v * np.sign(v @ (up - down).mean(0))


@EACH
def test_every_name_is_in_the_registry_with_its_own_defaults(name: str) -> None:
    assert METHODS[name].name == name and isinstance(NAMED[name], METHODS[name])
    METHODS[name]()


@EACH
def test_target_zero_is_the_bare_model_bit_for_bit(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("gemma2")
    steering = fitted(model, tiny_tokenizer, NAMED[name]).when(None)
    with torch.no_grad():
        bare = model(IDS).logits
    assert torch.equal(steered(model, steering, 0.0), bare)
    assert not torch.equal(steered(model, steering, 1.0), bare)


@EACH
def test_it_is_the_same_after_a_round_trip(
    name: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, NAMED[name])
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.method == made.method and loaded.gate.sentence == made.gate.sentence
    assert torch.equal(steered(model, loaded.when(None), 0.7), steered(model, made.when(None), 0.7))


@EACH
def test_a_row_of_a_padded_batch_is_steered_as_it_is_alone(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, NAMED[name])
    ids = torch.stack([IDS[0], torch.cat([torch.zeros(4, dtype=torch.long), IDS[0, :6]])])
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with torch.no_grad(), steering.attach(model, 1.0, trace=False):
        together = model(ids, attention_mask=mask).logits
    with torch.no_grad(), steering.attach(model, 1.0, trace=False):
        alone = model(IDS[:, :6]).logits
    torch.testing.assert_close(together[1, 4:], alone[0], rtol=1e-3, atol=1e-4)


def test_the_published_blocks_are_those_of_the_published_models() -> None:
    def place(kind: Any, blocks: int) -> int:
        states, each = torch.zeros(blocks + 1, 2), torch.zeros(blocks + 1)
        return at_depth(-1, kind.depth, Direction(states, states, each, each, each, each))

    assert place(CAA, 32) == 13
    assert place(ActAdd, 48) == 5  # the input of layer 6
    assert place(Seal, 28) == 20
    assert place(ShiftOfMeans, 32) == 31
    assert in_band((), LanguageShift.band, 32) == (20,)
    assert in_band((), RepE.band, 32) == tuple(range(1, 23))
    assert in_band((), CAST.band, 32) == tuple(range(14, 23))  # the inputs of layers 15 to 23
    assert in_band((), CAST.band, 1) == (0,) and in_band((2,), CAST.band, 3) == (2,)


def test_a_fit_reads_along_the_methods_direction_where_none_is_named(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, "repe")
    assert made.provenance.direction == made.provenance.observer == "pca"
    other = fitted(model, tiny_tokenizer, "repe", direction="mean")
    assert other.provenance.direction == "mean"
    assert fitted(model, tiny_tokenizer, "caa").provenance.direction == "mean"


def test_a_fit_reads_where_the_method_says_unless_the_caller_or_aligned_pairs_do(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    assert fitted(model, tiny_tokenizer, "language-shift").provenance.positions == "all"
    asked = fitted(model, tiny_tokenizer, "language-shift", positions="last")
    assert asked.provenance.positions == "last"
    w = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    aligned = sm.AlignedPairs([f"{w[1]} {w[2]}", f"{w[3]} {w[4]}"], [w[5], w[6]], [w[0], w[7]])
    found = fitted(model, tiny_tokenizer, "language-shift", pairs=aligned)
    assert found.provenance.positions == str(aligned.positions)


@pytest.mark.parametrize("name", ["caa", "personality", "refusal-addition"])
def test_a_contrast_is_added_behind_one_block(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, NAMED[name])
    (block,) = steering.controller.active
    up, down = behind(model, tiny_tokenizer, block)
    push = 1.5 * (up - down).mean(0)
    every = METHODS[name].tokens == "all"

    def edit(b: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        acts = np.arange(len(y)) >= (0 if every else len(y) - 1)
        return y + acts[:, None] * push if b == block else y

    close(steered(model, steering, 1.5, tokens=None), hooked(model, edit))


@pytest.mark.parametrize("name", ["efficiency", "bias", "shift-of-means"])
def test_what_is_for_generated_tokens_leaves_the_prompt_alone(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, NAMED[name])
    (block,) = steering.controller.active
    up, down = behind(model, tiny_tokenizer, block)
    if METHODS[name].positions == "written":  # all that is written, where no prompt is told
        up, down = whole(model, tiny_tokenizer, block)
    push, behind_it = (up - down).mean(0), (np.arange(IDS.shape[1]) >= 6)[:, None]
    expected = hooked(model, lambda b, x, y: y + 1.5 * behind_it * push if b == block else y)
    with steering.attach(model, 1.5) as run, torch.no_grad():
        model(IDS[:, :6])
        close(model(IDS).logits, expected)
    assert run.trace.steered.tolist() == [[False] * 6 + [True] * 4]


def test_languages_are_read_at_every_token_and_shifted_by_vectors_of_length_one(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, "language-shift")
    up, down = whole(model, tiny_tokenizer, 2)  # 20/32 of three blocks
    c = (up - down).mean(0)
    push = 5 * c / np.linalg.norm(c)
    close(
        steered(model, steering, 0.5, tokens=None),
        hooked(model, lambda b, x, y: y + 0.5 * push if b == 2 else y),
    )


def test_a_thought_is_steered_at_generated_tokens_like_those_that_were_read(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, Seal(1))
    (mark,) = steering.provenance.decision_tokens
    others = [one for one in range(20, 25) if one != mark]
    ids = torch.tensor([[others[0], mark, others[1], mark, others[2], mark]])
    with steering.attach(model, 1.0) as run, torch.no_grad():
        model(ids[:, :3])
        model(ids)
    assert run.trace.steered.tolist() == [[False] * 3 + [True, False, True]]
    up, down = behind(model, tiny_tokenizer, 1)
    push = (up - down).mean(0)
    marks = np.array([False] * 3 + [True, False, True])[:, None]
    expected = hooked(model, lambda b, x, y: y + marks * push if b == 1 else y, ids)
    with steering.attach(model, 1.0), torch.no_grad():
        model(ids[:, :3])
        close(model(ids).logits, expected)
    doubled = 2.0 * steering  # a sum acts where its terms do
    with doubled.attach(model, 0.5), torch.no_grad():
        model(ids[:, :3])
        close(model(ids).logits, expected)


@pytest.mark.parametrize("pairs", [1, 3])
def test_what_each_place_of_the_prompts_differs_by_is_added_at_that_place(
    pairs: int, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """One pair is enough, and spaces fill up the shorter prompts."""
    model: Any = tiny_model("llama")
    several = examples(tiny_tokenizer)
    # The sides differ in length: some of the texts have one more word.
    more = [several.desired[0].split()[0] + " " + text for text in several.desired[:pairs]]
    given = sm.ContrastivePairs(more, several.undesired[:pairs])
    steering = fitted(model, tiny_tokenizer, ActAdd(1, coefficient=3.0), pairs=given)

    space = tiny_tokenizer(" ", add_special_tokens=False).input_ids
    gap = space[0] if len(space) == 1 else tiny_tokenizer.pad_token_id
    ids = [tiny_tokenizer(text).input_ids for text in (*more, *several.undesired[:pairs])]
    front = max(map(len, ids))
    assert min(map(len, ids)) < front < IDS.shape[1]
    rows = torch.tensor([one + [gap] * (front - len(one)) for one in ids])
    with torch.no_grad():
        states = model(rows, output_hidden_states=True).hidden_states[2].double().numpy()
    push = np.zeros((IDS.shape[1], states.shape[-1]))
    push[:front] = 3.0 * (states[:pairs].mean(0) - states[pairs:].mean(0))

    assert steering.gate.tokens == f"prompt:first:{front}"
    expected = hooked(model, lambda b, x, y: y + 0.5 * push if b == 1 else y)
    close(steered(model, steering, 0.5, tokens=None), expected)
    close(steered(model, steering, 0.5, tokens="all"), expected)


def test_the_place_of_a_token_is_counted_without_padding_and_over_chunks(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, ActAdd(1))
    ids = torch.cat([torch.zeros(1, 5, dtype=torch.long), IDS], dim=1)
    mask = torch.tensor([[0] * 5 + [1] * IDS.shape[1]])
    expected = steered(model, steering, tokens=None)
    with torch.no_grad(), steering.attach(model, 1.0, trace=False):
        close(model(ids, attention_mask=mask).logits[:, 5:], expected)
    with torch.no_grad(), steering.attach(model, 1.0, trace=False, prompt_length=10):
        cache = model(IDS[:, :2], use_cache=True).past_key_values
        close(model(IDS[:, 2:], past_key_values=cache, use_cache=True).logits, expected[:, 2:])


@pytest.mark.parametrize("name", ["repe", "cast"])
@pytest.mark.parametrize("strength", [0.7, None])
def test_a_component_is_added_to_the_state_that_it_was_read_from(
    name: str, strength: float | None, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """And not one block before, where the published code of conditions adds it."""
    model = tiny_model("llama")
    method = METHODS[name](blocks=(0, 2), strength=strength)  # type: ignore[call-arg]
    steering = fitted(model, tiny_tokenizer, method).when(None)
    pushes = {}
    for block in (0, 2):
        up, down = behind(model, tiny_tokenizer, block)
        v = component(up, down)
        size = 0.7 if strength else float(v @ (up - down).mean(0)) / 2
        pushes[block] = size * v
    expected = hooked(model, lambda b, x, y: y + 2 * pushes.get(b, 0 * y[0]))
    close(steered(model, steering, 2.0), expected)


@pytest.mark.parametrize("name", ["repe", "cast", "personality", "language-shift"])
def test_the_length_of_every_state_is_kept_where_that_is_asked(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    kind: Any = METHODS[name]
    free, kept = (
        fitted(model, tiny_tokenizer, kind(blocks=(1,), strength=2.0, keep_norm=keep)).when(None)
        for keep in (False, True)
    )
    push = free.plan[1].double().numpy()
    assert np.linalg.norm(push) == pytest.approx(2.0, rel=1e-5) and not kept.plan.any()

    def edit(b: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        moved = y + push
        lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in (y, moved)]
        return moved * lengths[0] / lengths[1] if b == 1 else y

    close(steered(model, kept, 1.0), hooked(model, edit))


def test_confident_means_of_several_preferences_are_added_together(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, both = tiny_model("llama"), examples(tiny_tokenizer)
    turned = sm.ContrastivePairs(both.desired[::-1], [f"{one} {one}" for one in both.desired])
    steering = fitted(
        *(model, tiny_tokenizer, ConfST(1)),
        pairs={"one": both, "other": turned},
        direction="confident:0.5",
        positions="all",
    )
    assert ConfST.direction == "confident"
    pushes = []
    for pairs in (both, turned):
        states = [
            capture_states(model, tiny_tokenizer, list(side), AllTokens())[:, 2].double()
            for side in (pairs.desired, pairs.undesired)
        ]
        sure = ConfidentMean(0.5).confidence(*states)
        c = [side[p >= 0.5].mean(0) for side, p in zip(states, sure, strict=True)]
        d = torch.nn.functional.normalize(c[0] - c[1], dim=0)
        pushes.append((d * (d @ (states[0].mean(0) - states[1].mean(0)))).numpy())
    push = 0.5 * pushes[0] - 2.0 * pushes[1]
    expected = hooked(model, lambda b, x, y: y + push if b == 1 else y)
    close(steered(model, steering, {"one": 0.5, "other": -2.0}), expected)


def test_the_tuned_probe_says_the_probability_that_was_asked_for(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, RAPTOR(0.8, 1, 10.0))
    up, down = behind(model, tiny_tokenizer, 1)
    x, y = np.concatenate([up, down]), np.array([1] * len(up) + [0] * len(down))
    scaler = StandardScaler().fit(x)
    probe = LogisticRegression(C=1 / 10.0, tol=1e-12, max_iter=10_000).fit(scaler.transform(x), y)
    w = probe.coef_[0] / scaler.scale_
    b = float(probe.intercept_[0] - w @ scaler.mean_)

    def edit(block: int, before: np.ndarray, out: np.ndarray) -> np.ndarray:
        short = np.maximum(0, (logit(0.8) - out @ w - b) / np.linalg.norm(w))
        return out + short[:, None] * w / np.linalg.norm(w) if block == 1 else out

    expected = hooked(model, edit)
    found = steered(model, steering, 1.0)
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)
    tuned = RAPTOR()
    assert fitted(model, tiny_tokenizer, tuned).method == tuned


@pytest.mark.parametrize("fires", ["undesired", "desired"])
def test_a_conditional_push_is_for_prompts_that_resemble_a_side(
    fires: Any, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """ "above" fires where the similarity is above: the published comparator is the other way."""
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, CAST((2,), fires=fires))
    condition: Any = steering.gate.condition
    pairs = examples(tiny_tokenizer)
    firing, others = (
        capture_states(model, tiny_tokenizer, list(side), AllTokens()).double().numpy()
        for side in (
            (pairs.undesired, pairs.desired)
            if fires == "undesired"
            else (pairs.desired, pairs.undesired)
        )
    )
    kept = [0, 1, 2, 4, 5, 6]
    t = condition.state
    c = component(firing[kept][:, t], others[kept][:, t])
    c = c * np.sign(np.sign((firing - others)[kept][:, t] @ c).sum() or 1)
    found = condition.vector.double().numpy()
    assert abs(found @ c) == pytest.approx(1.0, abs=1e-4)

    def like(x: np.ndarray) -> np.ndarray:
        p = np.tanh((x @ found)[:, None] * found)
        return (x * p).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(p, axis=1)

    prompts = [*pairs.undesired, *pairs.desired]
    asked = np.concatenate([firing, others] if fires == "undesired" else [others, firing])[:, t]
    above = like(asked) > condition.threshold
    expected = above if condition.side == "above" else ~above
    given = tiny_tokenizer(prompts, return_tensors="pt", padding=True)
    inputs = {"input_ids": given.input_ids, "attention_mask": given.attention_mask}
    with torch.no_grad():
        bare = model(**inputs).logits
        with steering.attach(model, 3.0) as run:
            logits = model(**inputs).logits
    assert run.trace.fired.tolist() == expected.tolist() and 0 < expected.sum() < len(prompts)
    same = [torch.equal(one, other) for one, other in zip(logits, bare, strict=True)]
    assert same == (~expected).tolist()


def test_the_area_is_scikit_learns_and_a_late_block_is_chosen_by_it(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    drawn = torch.Generator().manual_seed(0)
    up, down = (torch.randn(20, 4, 6, generator=drawn) + shift for shift in (0.5, 0.0))
    down[:3] = up[:3]  # ties
    area = probe_auc(up, down)
    yes, no = probe_scores(up, down)
    for block in range(4):
        scores = np.concatenate([yes[:, block], no[:, block]])
        expected = roc_auc_score([1] * 20 + [0] * 20, scores)
        assert float(area[block]) == pytest.approx(expected, abs=1e-12)
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, BiasMitigation())
    (block,) = steering.controller.active
    states = [torch.from_numpy(one) for one in sides(model, tiny_tokenizer)]
    late = probe_auc(*(one[:, 2:] for one in states))
    assert block >= 1 and float(late[block - 1]) == float(late.max())


def test_a_purified_trait_moves_none_of_the_others(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    other = fitted(
        model,
        tiny_tokenizer,
        "personality",
        pairs=sm.ContrastivePairs(pairs.desired[:4], pairs.undesired[4:]),
    ).direction
    rule = Purified(MeanDifference(), (other,))
    steering = fitted(model, tiny_tokenizer, Personality((1,)), direction=rule)
    push = steering.plan[1].double()
    up, down = behind(model, tiny_tokenizer, 1)
    v = other.vectors[2].double()
    left = torch.from_numpy((up - down).mean(0))
    left = left - v * (v @ left)
    torch.testing.assert_close(push / push.norm(), left / left.norm(), rtol=1e-3, atol=1e-5)
    assert abs(float(push @ v)) < 1e-5 * float(push.norm())


def test_what_lies_outside_the_principal_axes_is_not_ablated(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    method = OverthinkManifold(2)
    steering = fitted(model, tiny_tokenizer, method, direction="mean|filter:3")
    assert OverthinkManifold.direction == "mean|filter:10"
    up, down = behind(model, tiny_tokenizer, 1)
    U = PCA(3).fit(np.concatenate([up, down])).components_
    r = U.T @ (U @ (up - down).mean(0))
    r /= np.linalg.norm(r)
    close(
        steered(model, steering, 1.0),
        hooked(model, lambda b, x, y: y - np.outer(y @ r, r)),
    )


def test_the_selected_blocks_turn_by_the_angle_and_keep_the_length(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, SelectiveSteering(blocks=(0, 2), degrees=40.0))
    up, down = sides(model, tiny_tokenizer)
    d = (up - down).mean(0)[1:]
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    b1 = d[(d @ d.T).mean(1).argmax()]
    b2 = PCA(1).fit(d).components_[0]
    b2 -= b1 * (b1 @ b2)
    b2 /= np.linalg.norm(b2)
    plane = steering.controller.H
    for block in (0, 2):  # the same plane, turned over where desired lies clockwise
        H = plane[block].double().numpy()
        np.testing.assert_allclose(H[:, 0], b1, atol=1e-5)
        assert abs(H[:, 1] @ b2) == pytest.approx(1.0, abs=1e-4)
    a = np.deg2rad(40.0)

    def edit(b: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if b == 1:
            return y
        h1, h2 = plane[b].double().numpy().T
        V = np.cos(a) * (np.outer(h1, h1) + np.outer(h2, h2))
        V += np.sin(a) * (np.outer(h2, h1) - np.outer(h1, h2))
        turned = y @ (np.eye(len(h1)) - np.outer(h1, h1) - np.outer(h2, h2) + V).T
        np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(y, axis=1))
        return turned

    close(steered(model, steering, 1.0), hooked(model, edit))


def test_blocks_are_selected_where_the_normalised_means_have_opposite_signs() -> None:
    drawn = np.random.default_rng(0)
    up, down = (drawn.normal(size=(12, 5, 6)) for _ in range(2))
    axis = np.eye(6)[0]
    for state, (plus, minus) in enumerate([(2, 2), (3, -3), (9, 6), (4, -4), (6, 3)]):
        up[:, state] += plus * axis
        down[:, state] += minus * axis
    states = [torch.from_numpy(one) for one in (up, down)]
    evidence = _evidence(*states)
    v = np.stack([one / np.linalg.norm(one) for one in (up - down).mean(0)])
    b1 = v[(v @ v.T).mean(1).argmax()]
    means = [
        (one / np.linalg.norm(one, axis=2, keepdims=True) @ b1).mean(0)[1:] for one in (up, down)
    ]
    expected = tuple(int(b) for b in np.flatnonzero(means[0] * means[1] < 0))
    assert expected == (0, 2)
    assert chosen_blocks("signs", evidence) == expected
    with pytest.warns(UserWarning, match="at no block do the two sides"):
        (nearest,) = chosen_blocks("signs", _evidence(states[0] + 20, states[1] + 19))
    assert nearest in range(4)


def _evidence(desired: torch.Tensor, undesired: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        direction = contrast(desired, undesired)
    return Evidence(Features.of(direction), sides=(Sides(desired, undesired),))

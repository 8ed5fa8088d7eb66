"""From examples to a steering, on tiny models of every architecture; and what is refused."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import steersman as sm
from steersman.control import AffineLaw, feature_gains, plan, prefilter, reached
from steersman.errors import InputError, MismatchError, NumericalError, UnknownNameError
from steersman.plant import capture_states

Models = Callable[[str], PreTrainedModel]

WORDS = ("red", "blue", "green", "cat", "dog", "sun", "moon", "tree")


@pytest.fixture(autouse=True)
def _no_doubts() -> None:
    warnings.simplefilter("ignore", UserWarning)


def texts(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Words of the tiny vocabulary, special ones left out."""
    return [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]


def examples(tokenizer: PreTrainedTokenizerFast, count: int = 6) -> sm.ContrastivePairs:
    words = texts(tokenizer)
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 2 + count)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 2 + count)],
    )


@pytest.fixture
def fitted(tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast) -> sm.Steering:
    return sm.fit(tiny_model("llama"), tiny_tokenizer, examples(tiny_tokenizer), progress=False)


def test_the_face_has_the_shapes_it_promises(fitted: sm.Steering) -> None:
    blocks, n = fitted.provenance.blocks, fitted.provenance.n
    for tensor in (fitted.directions, fitted.contrast, fitted.gains, fitted.plan):
        assert tensor.shape == (blocks, n)
    assert fitted.provenance.pairs == {"feature": (6, 6)}
    assert fitted.provenance.jacobian_prompts == 6
    assert len(fitted.provenance.decision_tokens) == 1
    assert "a-lqr" in fitted.summary()


def test_the_contrast_is_the_difference_of_means(
    fitted: sm.Steering, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs, model = examples(tiny_tokenizer), tiny_model("llama")
    means = [
        capture_states(model, tiny_tokenizer, list(side)).mean(dim=0)[:-1]
        for side in (pairs.desired, pairs.undesired)
    ]
    assert torch.allclose(fitted.contrast, means[0] - means[1], atol=1e-6)
    unit = fitted.contrast / fitted.contrast.norm(dim=1, keepdim=True).clamp(min=1e-30)
    assert torch.allclose(fitted.directions, unit, atol=1e-5)


def test_the_gains_are_the_riccati_gains_of_the_identified_plant(
    fitted: sm.Steering, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    plant = sm.identify(model, tiny_tokenizer, pairs.desired, progress=False)
    assert plant.A.shape == (fitted.provenance.blocks, fitted.provenance.n, fitted.provenance.n)
    gains = feature_gains(plant, fitted.directions, 0.1, 1.0, 0.1)
    assert torch.allclose(fitted.gains, gains, atol=1e-6)


def test_the_plan_reaches_the_whole_contrast_on_the_plant(
    fitted: sm.Steering, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    plant = sm.identify(
        tiny_model("llama"), tiny_tokenizer, examples(tiny_tokenizer).desired, progress=False
    )
    delta = torch.zeros(fitted.provenance.n)
    for A, u in zip(plant.A, fitted.plan, strict=True):
        delta = A @ delta + u
    last = fitted.direction
    assert float(last.vectors[-1] @ delta) == pytest.approx(float(last.norm[-1]), rel=1e-4)
    law, asked = AffineLaw(fitted.controller.H, fitted.controller.G), last.norm[:-1, None, None]
    answer = reached(plant, plan(plant, law, asked), last.vectors[-1:].mT)
    expected = asked @ prefilter(answer, last.norm[-1:])
    assert torch.allclose(fitted.controller.shifts, expected, rtol=1e-5)


def test_a_plant_identified_before_is_used_as_it_is(
    fitted: sm.Steering, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    plant = sm.identify(model, tiny_tokenizer, pairs.desired, progress=False)
    again = sm.fit(model, tiny_tokenizer, pairs, jacobian_prompts=plant, progress=False)
    assert torch.allclose(again.gains, fitted.gains, atol=1e-6)


@pytest.mark.parametrize(
    "method", [m for m, kind in sm.METHODS.items() if not kind.needs_autoencoder]
)
@pytest.mark.parametrize("name", ["gpt2", "gemma2", "qwen3"])
def test_every_method_fits_attaches_saves_and_loads(
    name: str,
    method: str,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    model = tiny_model(name)
    ids = torch.arange(6, 14)[None]
    few = "confident:0.5" if method == "confst" else None  # no probe is surer of so few examples
    made = sm.fit(
        *(model, tiny_tokenizer, examples(tiny_tokenizer)),
        method=method,
        direction=few,
        progress=False,
    )
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "steering"))
    outs = []
    for steering in (made, loaded):
        always = steering.when(None)  # a condition on prompts need not hold of these
        with always.attach(model, 2.0, tokens="all"), torch.no_grad():
            outs.append(model(ids).logits)
    with torch.no_grad():
        bare = model(ids).logits
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], bare)


def test_target_zero_is_the_bare_model(fitted: sm.Steering, tiny_model: Models) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 14)[None]
    with torch.no_grad():
        bare = model(ids).logits
        with fitted.attach(model, 0.0, tokens="all"):
            assert torch.equal(model(ids).logits, bare)


def test_matching_steers_only_where_the_examples_were_read(
    fitted: sm.Steering, tiny_model: Models
) -> None:
    model = tiny_model("llama")
    (decision,) = fitted.provenance.decision_tokens
    a, b, c, d = [token for token in range(20, 25) if token != decision][:4]
    ids = torch.tensor([[a, b, decision, c, decision, d]])
    with fitted.attach(model, 1.0) as run, torch.no_grad():
        model(ids)
    assert run.trace.steered.tolist() == [[False, False, True, False, True, False]]
    with fitted.attach(model, lambda_=1.0) as run, torch.no_grad():
        model(ids)
    assert run.trace.steered.tolist() == [[False] * 5 + [True]]


def test_the_paper_form_is_the_paper_equation(fitted: sm.Steering, tiny_model: Models) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 14)[None]
    with fitted.attach(model, lambda_=1.5, tokens="all") as run, torch.no_grad():
        model(ids)
    trace = run.trace
    expected = 1.5 * fitted.direction.norm[:-1]
    assert torch.allclose(trace.setpoint[0, :, 3], expected, rtol=1e-5)
    size = fitted.gains.norm(dim=1)[:, None] * trace.error[0].abs()
    assert torch.allclose(trace.effort[0], size, rtol=1e-3, atol=1e-5)


def test_an_absolute_target_is_in_natural_units(fitted: sm.Steering, tiny_model: Models) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 14)[None]
    with fitted.attach(model, 0.25, reference="absolute") as run, torch.no_grad():
        model(ids)
    natural = run.trace.natural(run.trace.setpoint)[0, 1:]
    assert torch.allclose(natural, torch.full_like(natural, 0.25), atol=1e-3)


def test_one_batch_with_a_steering_and_a_target_a_prompt(
    fitted: sm.Steering, tiny_model: Models
) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 30).view(3, 8)
    with torch.no_grad():
        bare = model(ids).logits
        with sm.attach(model, [fitted, None, fitted], [1.0, 1.0, 3.0], tokens="all"):
            mixed = model(ids).logits
        with fitted.attach(model, 3.0, tokens="all"):
            alone = model(ids[2:]).logits
    assert torch.equal(mixed[1], bare[1])
    assert torch.allclose(mixed[2], alone[0], atol=1e-5)


def test_positions_with_many_kinds_of_token_have_no_decision_tokens(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    made = sm.fit(
        tiny_model("llama"),
        tiny_tokenizer,
        examples(tiny_tokenizer, 12),
        positions="all",
        progress=False,
    )
    assert made.provenance.decision_tokens == ()
    with pytest.raises(InputError, match="too many kinds"):
        made.attach(tiny_model("llama"), tokens="matching")


def test_a_tokenizer_without_pad_token_gives_the_same(
    fitted: sm.Steering,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
    tiny_tokenizer_without_pad: PreTrainedTokenizerFast,
) -> None:
    made = sm.fit(
        tiny_model("llama"), tiny_tokenizer_without_pad, examples(tiny_tokenizer), progress=False
    )
    assert torch.allclose(made.contrast, fitted.contrast, atol=1e-5)
    assert tiny_tokenizer_without_pad.pad_token is None


@pytest.mark.parametrize("weight", ["q", "r", "qf"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_weights_must_be_above_zero(
    weight: str, value: float, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(InputError, match=f"{weight} is"):
        sm.fit(
            tiny_model("llama"),
            tiny_tokenizer,
            examples(tiny_tokenizer),
            progress=False,
            **{weight: value},  # type: ignore[arg-type]
        )


def test_an_unknown_method_is_refused_with_those_that_there_are(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(UnknownNameError, match="a-lqr"):
        sm.fit(tiny_model("llama"), tiny_tokenizer, examples(tiny_tokenizer), method="magic")


def test_a_steering_for_another_model_is_refused(fitted: sm.Steering, tiny_model: Models) -> None:
    with pytest.raises(MismatchError, match="model_type: llama there, gpt2 here"):
        fitted.attach(tiny_model("gpt2"))


def test_a_prompt_longer_than_the_context_is_refused(
    tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    word = texts(tiny_tokenizer)[0]
    pairs = sm.ContrastivePairs(desired=[" ".join([word] * 200)], undesired=[word])
    with pytest.raises(InputError, match="200|201|64"):
        sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, progress=False)


def test_states_that_are_not_numbers_are_refused(
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    import tiny_models

    model = tiny_models.tiny_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(NumericalError):
        sm.fit(model, tiny_tokenizer, examples(tiny_tokenizer), progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": 1.0, "lambda_": 1.0}, "not both"),
        ({"lambda_": 1.0, "reference": "relative"}, "absolute setpoint"),
        ({"reference": "sideways"}, "relative or absolute"),
        ({"execution": "dream"}, "plan or feedback"),
        ({"reference": "absolute", "execution": "plan"}, "cannot hold"),
        ({"tokens": "some"}, "choose one of"),
    ],
)
def test_contradictory_choices_are_refused(
    settings: dict[str, object],
    message: str,
    fitted: sm.Steering,
    tiny_model: Models,
    unchecked: None,
) -> None:
    with pytest.raises(InputError, match=message):
        fitted.attach(tiny_model("llama"), **settings)  # type: ignore[arg-type]


def test_strengths_and_steerings_must_agree(fitted: sm.Steering, tiny_model: Models) -> None:
    with pytest.raises(InputError, match="2 steerings and 3 strengths"):
        sm.attach(tiny_model("llama"), [fitted, None], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="no steering"):
        sm.attach(tiny_model("llama"), [None, None])

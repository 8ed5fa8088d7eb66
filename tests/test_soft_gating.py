"""Fitting a soft gate; a steering that has one, attached, saved and refused where it cannot be."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

import steersman as sm
from steersman.artifact import parts_of
from steersman.errors import ArtifactError, InputError, MismatchError
from steersman.plant import HookSet, capture_states, hidden_in, hidden_out, locate, with_hidden

Models = Callable[[str], PreTrainedModel]
IDS = torch.arange(6, 16)[None]


@pytest.fixture(autouse=True)
def _no_doubts() -> None:
    warnings.simplefilter("ignore", UserWarning)


@pytest.fixture
def pairs(tiny_tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 10)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 10)],
    )


@pytest.fixture
def steering(tiny_model: Models, tiny_tokenizer: Any, pairs: sm.ContrastivePairs) -> sm.Steering:
    method = sm.ActivationAddition(block=1)
    return sm.fit(tiny_model("llama"), tiny_tokenizer, pairs, method=method, progress=False)


@torch.no_grad()
def logits(model: Any, steering: sm.Steering, target: float = 2.0) -> torch.Tensor:
    with steering.attach(model, target, tokens="all", trace=False):
        return model(IDS).logits


def test_it_is_the_logistic_regression_of_every_state(
    tiny_model: Models, tiny_tokenizer: Any, pairs: sm.ContrastivePairs
) -> None:
    model = tiny_model("llama")
    gate = sm.fit_soft_gate(model, tiny_tokenizer, pairs, ridge=0.1, progress=False)
    up, down = (
        capture_states(model, tiny_tokenizer, list(side)).double().numpy()
        for side in (pairs.desired, pairs.undesired)
    )
    for state in (1, 3):
        x = np.concatenate([up[:, state], down[:, state]])
        size = ((x - x.mean(0)) ** 2).sum(1).mean()
        probe = LogisticRegression(C=1 / (0.1 * size * len(x)), tol=1e-12, max_iter=10_000)
        probe.fit(x, [1] * len(up) + [0] * len(down))
        np.testing.assert_allclose(gate.w[state], probe.coef_[0], rtol=1e-3, atol=1e-4)
        assert float(gate.b[state]) == pytest.approx(float(probe.intercept_[0]), abs=1e-3)
    chosen = sm.fit_soft_gate(model, tiny_tokenizer, pairs, progress=False)
    p = expit(up[:, 3] @ chosen.w[3].numpy() + chosen.b[3].item())
    assert p.mean() > 0.5


def test_every_token_gets_as_much_as_the_probe_of_its_state_says(
    tiny_model: Models, tiny_tokenizer: Any, pairs: sm.ContrastivePairs, steering: sm.Steering
) -> None:
    """A schedule is read before its block, and so is its gate."""
    model: Any = tiny_model("llama")
    gate = sm.fit_soft_gate(model, tiny_tokenizer, pairs, progress=False)
    entered: list[torch.Tensor] = []
    module = locate(model).modules[1]

    def edit(args: Any, kwargs: Any, out: Any) -> Any:
        p = torch.sigmoid(entered[-1] @ gate.w[1] + gate.b[1])
        return with_hidden(out, hidden_out(out) + 2 * p[..., None] * steering.plan[1])

    with HookSet() as hooks, torch.no_grad():
        hooks.before(module, lambda a, k: entered.append(hidden_in(a, k)))
        hooks.after(module, edit)
        expected = model(IDS).logits
    torch.testing.assert_close(logits(model, steering.softly(gate)), expected)
    with torch.no_grad():
        assert torch.equal(logits(model, steering.softly(gate), 0.0), model(IDS).logits)


def test_a_certain_gate_is_the_steering_itself_or_the_bare_model(
    tiny_model: Models, steering: sm.Steering
) -> None:
    model: Any = tiny_model("llama")
    states = steering.provenance.blocks + 1
    w = torch.zeros(states, steering.provenance.n)
    always, never = (sm.SoftGate(w, torch.full((states,), b)) for b in (1e3, -1e3))
    assert torch.equal(logits(model, steering.softly(always)), logits(model, steering))
    with torch.no_grad():
        assert torch.equal(logits(model, steering.softly(never)), model(IDS).logits)
    assert torch.equal(logits(model, steering.softly(never).softly(None)), logits(model, steering))


def test_it_is_saved_and_loaded_bit_for_bit(
    tiny_model: Models,
    tiny_tokenizer: Any,
    pairs: sm.ContrastivePairs,
    steering: sm.Steering,
    tmp_path: Path,
) -> None:
    model = tiny_model("llama")
    gate = sm.fit_soft_gate(model, tiny_tokenizer, pairs, name="rude", progress=False)
    condition = sm.fit_condition(model, tiny_tokenizer, pairs, progress=False)
    for made in (steering.softly(gate), steering.softly(gate).at("last").when(condition)):
        loaded = sm.Steering.from_pretrained(
            made.save_pretrained(tmp_path / made.gate.sentence[:5])
        )
        assert loaded.gate.sentence == made.gate.sentence and "rude" in loaded.gate.sentence
        assert torch.equal(loaded.gate.soft.w, gate.w) and torch.equal(loaded.gate.soft.b, gate.b)
        assert torch.equal(logits(model, loaded), logits(model, made))


@pytest.mark.usefixtures("unchecked")
def test_a_changed_file_is_refused(steering: sm.Steering) -> None:
    states, n = steering.provenance.blocks + 1, steering.provenance.n
    made = steering.softly(sm.SoftGate(torch.zeros(states, n), torch.zeros(states)))
    artifact = made.to_artifact()
    without = {k: t for k, t in artifact.tensors.items() if k != "soft.b"}
    for tensors, said in (
        (without, "needs the tensors soft.b"),
        (artifact.tensors | {"soft.w": torch.zeros(states - 1, n)}, "expected"),
        (
            artifact.tensors | {"soft.w": torch.zeros(2, n), "soft.b": torch.zeros(2)},
            "Fit one on it",
        ),
    ):
        with pytest.raises(ArtifactError, match=said):
            parts_of(replace(artifact, tensors=tensors))


def test_what_a_soft_gate_does_not_go_with_is_refused(
    tiny_model: Models, tiny_tokenizer: Any, pairs: sm.ContrastivePairs, steering: sm.Steering
) -> None:
    model = tiny_model("llama")
    states, n = steering.provenance.blocks + 1, steering.provenance.n
    gate = sm.SoftGate(torch.zeros(states, n), torch.zeros(states))
    with pytest.raises(MismatchError, match="Fit one on it"):
        steering.softly(sm.SoftGate(torch.zeros(states - 1, n), torch.zeros(states - 1)))
    with pytest.raises(InputError, match="must be finite"):
        sm.SoftGate(torch.zeros(states, n), torch.full((states,), torch.nan))
    with pytest.raises(InputError, match=r"softly\(None\)"):
        2.0 * steering.softly(gate)
    verdict = steering.softly(gate).compilable(model, tokens="all")
    assert verdict.verdict == "not" and "soft gate" in verdict.reason
    feature = sm.fit(model, tiny_tokenizer, pairs, method="feature-lqr", progress=False)
    with pytest.raises(InputError, match="relinearize='fit'"):
        feature.softly(gate).attach(model, relinearize="prompt")

"""What all methods made of setpoints have in common, in front of a model and in the wind tunnel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dialogues import require_polite
from hooked import IDS, fitted, steered
from transformers import PreTrainedModel

import steersman as sm
from steersman.errors import InputError
from steersman.methods import (
    ITI,
    Ablation,
    AngularSteering,
    AttentionGuided,
    AUSteer,
    Cylinder,
    GreatCircle,
    ITIResidual,
    LinearAcT,
    Manifold,
    MeanAcT,
    Method,
    OneSidedClamp,
    ParametricAxes,
    StMP,
    StTP,
    SwFC,
    TargetProbability,
)
from steersman.plant import HookSet, hidden_out, locate

Models = Callable[[str], PreTrainedModel]

METHODS: dict[str, Method] = {
    "ablation": Ablation(state=1),
    "swfc": SwFC((0, 2), 0.1),
    "sttp": StTP((0, 2), 1.0, 0.1),
    "stmp": StMP((0, 2), None, 0.1),
    "target-probability": TargetProbability(0.8, 1, 0.1),
    "iti-residual": ITIResidual(2),
    "austeer": AUSteer(4, 0.5),
    "mean-act": MeanAcT(),
    "linear-act": LinearAcT((0, 2), support=(0.05, 0.95)),
    "great-circle": GreatCircle(1),
    "one-sided-clamp": OneSidedClamp((0, 1)),
    "parametric-axes": ParametricAxes(2),
    "cylinder": Cylinder(1, 1, 0.1, 0.5),
    "manifold": Manifold(1),
    "angular": AngularSteering(reads="output"),
}
ABSOLUTE = ("angular", "one-sided-clamp", "manifold")
EACH = pytest.mark.parametrize("name", list(METHODS))


@EACH
def test_target_zero_is_the_bare_model_bit_for_bit(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("gemma2")
    steering = fitted(model, tiny_tokenizer, METHODS[name])
    with torch.no_grad():
        bare = model(IDS).logits
    assert torch.equal(steered(model, steering, 0.0), bare)
    assert not torch.equal(steered(model, steering, 1.0), bare)


@EACH
def test_it_is_the_same_after_a_round_trip(
    name: str, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, METHODS[name])
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.method == made.method and loaded.method.name == name
    assert torch.equal(steered(model, loaded, 0.7), steered(model, made, 0.7))


@EACH
def test_a_row_of_a_padded_batch_is_steered_as_it_is_alone(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, METHODS[name])
    ids = torch.stack([IDS[0], torch.cat([torch.zeros(4, dtype=torch.long), IDS[0, :6]])])
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with torch.no_grad(), steering.attach(model, 1.0, tokens="all", trace=False):
        together = model(ids, attention_mask=mask).logits
    with torch.no_grad(), steering.attach(model, 1.0, tokens="all", trace=False):
        alone = model(IDS[:, :6]).logits
    torch.testing.assert_close(together[1, 4:], alone[0], rtol=1e-3, atol=1e-4)


@EACH
def test_fitting_reads_the_same_whatever_the_batches_are(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    made = [
        fitted(model, tiny_tokenizer, METHODS[name], batch_size=size).controller for size in (1, 5)
    ]
    for one, other in zip(*([c.plan, *c.own.values()] for c in made), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_turn_of_outputs_keeps_the_length_of_what_leaves_every_block(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, AngularSteering(reads="output", plane="contrasts"))
    before: list[torch.Tensor] = []
    after: list[torch.Tensor] = []

    def keep(where: list[torch.Tensor]) -> HookSet:
        hooks = HookSet()
        for module in locate(model).modules:
            hooks.after(module, lambda a, k, out: where.append(hidden_out(out)[0].norm(dim=-1)))
        return hooks

    with keep(before):
        attached = steering.attach(model, 0.7, tokens="all", reference="absolute", trace=False)
        with attached, keep(after), torch.no_grad():
            model(IDS)
    assert len(before) == len(after) == 3
    for bare, turned in zip(before, after, strict=True):
        torch.testing.assert_close(turned, bare, rtol=1e-5, atol=0)


def test_read_at_outputs_the_angles_are_those_of_the_states_that_leave(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    made = fitted(model, tiny_tokenizer, AngularSteering(reads="output"))
    v = made.direction.vectors[1:]
    torch.testing.assert_close(made.controller.H[..., 1].abs(), v.abs(), rtol=1e-4, atol=1e-5)
    assert made.controller.active == (0, 1, 2)  # what leaves block 0 differs, what enters does not
    assert fitted(model, tiny_tokenizer, AngularSteering()).controller.active == (1, 2)


@pytest.mark.parametrize(
    "name", [n for n in METHODS if n not in ("angular", "one-sided-clamp", "manifold")]
)
def test_an_absolute_reference_is_refused_where_there_is_none(
    name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, METHODS[name])
    with pytest.raises(InputError, match="absolute setpoint|only runs as a plan"):
        steering.attach(model, 1.0, reference="absolute")


TUNNEL: dict[str, tuple[Method, float]] = {
    "swfc": (SwFC(), 1.0),
    "sttp": (StTP(), 1.0),
    "target-probability": (TargetProbability(), 1.0),
    "iti-residual": (ITIResidual(), 1.0),
    "austeer": (AUSteer(), 1.0),
    "mean-act": (MeanAcT(), 1.0),
    "linear-act": (LinearAcT(), 1.0),
    "great-circle": (GreatCircle(), 1.0),
    "one-sided-clamp": (OneSidedClamp(), 1.0),
    "parametric-axes": (ParametricAxes(unit="natural"), 1.0),
    "cylinder": (Cylinder(), 1.0),
    "manifold": (Manifold(), 1.0),
    "angular": (AngularSteering(reads="output"), 1.0),
    "angular at norms": (AngularSteering(site="mlp-norm"), 1.0),
    "iti": (ITI(), 1.0),
    "attention-guided": (AttentionGuided(), 1.0),
    "austeer at heads": (AUSteer(site="heads"), 1.0),
    "austeer at mlp": (AUSteer(site="mlp"), 1.0),
}
ABSOLUTELY = ("angular at norms",)
"""Mirroring (StMP) moves nothing beyond chance. Ablation is not among them either: there the
feature is zero 0.6 of the way from abusive to polite, so that its removal leaves the dialogues
where they are. Nor are function vectors, which at target 1 are a few percent as long as what the
MLP behind those heads makes of it."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TUNNEL))
def test_in_the_wind_tunnel_it_makes_dialogues_polite(name: str) -> None:
    require_polite(*TUNNEL[name], reference="absolute" if name in ABSOLUTELY else None)

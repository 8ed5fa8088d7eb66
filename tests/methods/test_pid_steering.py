"""PID Steering: its vectors written out, read once and read again while the blocks are steered."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_evidence import BLOCKS, LinearWorld
from transformers import PreTrainedModel

import steersman as sm
from steersman.control import LTVSystem, reached
from steersman.directions import Features
from steersman.errors import InputError, NumericalError
from steersman.methods import Evidence, PIDSteering, PIDSteeringOnce
from steersman.plant import capture_states

Models = Callable[[str], PreTrainedModel]
WORLD = LinearWorld.random()


def test_a_proportional_gain_of_one_closes_every_error_at_once() -> None:
    made = PIDSteering(kp=1.0, ki=0.0, kd=0.0).solve(WORLD.evidence)
    plan = made.plan[..., 0]
    left = WORLD.read(plan).contrast
    torch.testing.assert_close(left[1:], torch.zeros_like(left[1:]), rtol=0, atol=1e-12)
    # What is added is only what the blocks add to the difference, and not all of it again.
    drift = WORLD.desired[1] - WORLD.undesired[1]
    torch.testing.assert_close(plan[1:], drift[1:], rtol=0, atol=1e-12)


def test_each_input_is_the_error_under_those_before_it_its_sum_and_its_difference() -> None:
    made = PIDSteering(kp=0.7, ki=0.2, kd=0.3).solve(WORLD.evidence)
    errors: list[torch.Tensor] = []
    for block in range(BLOCKS):
        before = made.plan[..., 0].clone()
        before[block:] = 0
        errors.append(WORLD.read(before).contrast[block + 1])
        change = errors[-1] - errors[-2] if block else torch.zeros_like(errors[0])
        expected = 0.7 * errors[-1] + 0.2 * sum(errors[:-1]) + 0.3 * change
        torch.testing.assert_close(made.plan[block, :, 0], expected)
    assert not made.H.any()


def test_read_once_it_is_the_contrasts_alone_up_to_one_factor() -> None:
    made = PIDSteeringOnce(kp=0.7, ki=0.2, kd=0.3).solve(WORLD.evidence)
    c = WORLD.direction.contrast[1:]
    change = torch.cat([torch.zeros_like(c[:1]), c[1:] - c[:-1]])
    expected = 0.7 * c + 0.2 * (c.cumsum(0) - c) + 0.3 * change
    torch.testing.assert_close(made.plan[..., 0], made.shifts[..., 0] * expected)


def test_read_once_a_unit_of_target_is_the_whole_contrast_on_the_plant() -> None:
    made, direction = PIDSteeringOnce().solve(WORLD.evidence), WORLD.direction
    moved = reached(LTVSystem(WORLD.A), made.plan, direction.vectors[-1:].mT)
    assert float(moved) == pytest.approx(float(direction.norm[-1]))
    assert float(made.shifts[0]) < 0.5  # the published vectors overshoot more than twice


def test_only_the_blocks_that_act_are_read_and_summed_up() -> None:
    asked: list[int] = []

    def read(inputs: torch.Tensor | None) -> Any:
        asked.append(0 if inputs is None else int(inputs.any(dim=1).sum()))
        return WORLD.read(inputs)

    evidence = Evidence(Features.of(WORLD.direction), read=read)
    made = PIDSteering(ki=0.5, kd=0.5, blocks=(3, 1)).solve(evidence)
    assert made.active == (1, 3) and asked == [0, 1]
    first = WORLD.direction.contrast[2]
    plan = made.plan[..., 0]
    torch.testing.assert_close(plan[1], first)
    second = WORLD.read(torch.where(torch.arange(BLOCKS)[:, None] < 3, plan, 0)).contrast[4]
    torch.testing.assert_close(plan[3], second + 0.5 * first + 0.5 * (second - first))


@pytest.mark.parametrize("kind", [PIDSteering, PIDSteeringOnce])
@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"kp": 0.0, "ki": 0.0, "kd": 0.0}, InputError, "all zero"),
        ({"kp": float("nan")}, NumericalError, "gains"),
        ({"blocks": (5, -1)}, InputError, r"blocks names \[-1, 5\]; the model has blocks 0 .. 4"),
    ],
)
def test_what_cannot_be_is_refused(
    kind: type[PIDSteering], settings: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        kind(**settings).solve(WORLD.evidence)


def test_without_a_model_to_read_it_is_refused() -> None:
    with pytest.raises(InputError, match="pid-steering reads the examples' states"):
        PIDSteering().solve(Evidence(Features.of(WORLD.direction)))
    with pytest.raises(InputError, match="pid-steering-once needs an identified plant"):
        PIDSteeringOnce().solve(Evidence(Features.of(WORLD.direction)))


def examples(tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )


def fitted(model: Any, tokenizer: Any, method: PIDSteering, **settings: Any) -> sm.Steering:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sm.fit(
            model, tokenizer, examples(tokenizer), method=method, progress=False, **settings
        )


@pytest.mark.parametrize("positions", ["last", "all"])
def test_attached_it_brings_the_mean_of_the_undesired_examples_to_that_of_the_desired_ones(
    positions: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    """At every block, although the model is not linear: each error was read under the others."""
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    steering = fitted(model, tiny_tokenizer, PIDSteering(ki=0.0, kd=0.0), positions=positions)
    rule = sm.plant.positions_named(positions)
    desired = capture_states(model, tiny_tokenizer, pairs.desired, rule).mean(0)
    with steering.attach(model, 1.0, trace=False):
        steered = capture_states(model, tiny_tokenizer, pairs.undesired, rule, batch_size=4).mean(0)
    torch.testing.assert_close(steered[1:], desired[1:], rtol=1e-4, atol=1e-4)


def test_it_is_the_same_after_a_round_trip(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("gpt2")
    for index, method in enumerate((PIDSteering(blocks=(0, 2)), PIDSteeringOnce(ki=0.1))):
        prompts = examples(tiny_tokenizer).desired[:2]
        made = fitted(model, tiny_tokenizer, method, jacobian_prompts=prompts)
        loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / str(index)))
        assert loaded.method == method
        for name in ("H", "G", "plan", "shifts"):
            assert torch.equal(getattr(loaded.controller, name), getattr(made.controller, name))


def test_it_only_runs_as_a_plan(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, PIDSteering())
    for settings in ({"execution": "feedback"}, {"reference": "absolute"}, {"lambda_": 1.0}):
        with pytest.raises(InputError, match="pid-steering observes nothing"):
            steering.attach(model, **settings)

"""ODESteer in front of models: settings, what target 1 means, and what steering has to keep to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_evidence import randn
from torch import Tensor
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import Direction, Features
from steersman.errors import InputError
from steersman.methods import Evidence, ODESteer, Sides, StepODESteer
from steersman.plant import HookSet, hidden_out, locate

Models = Callable[[str], PreTrainedModel]
BLOCKS, N, EACH = 3, 6, 40
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def states(seed: int = 0, best: int = 1) -> Sides:
    """Sides that differ after block `best`, and are noise elsewhere."""
    desired, undesired = (2 + randn(seed + s, EACH, BLOCKS + 1, N) for s in (1, 2))
    desired[:, best + 1] += 1.5 * randn(seed + 3, N)
    return Sides(desired, undesired)


def evidence(sides: Sides | None) -> Evidence:
    nothing = torch.ones(BLOCKS + 1).double()
    vectors = torch.eye(BLOCKS + 1, N).double()
    one = Direction(vectors, vectors, nothing, nothing, nothing, nothing)
    return Evidence(Features.of(one), sides=None if sides is None else (sides,))


def law_and_unit(method: ODESteer, sides: Sides) -> tuple[Any, float]:
    controller = method.solve(evidence(sides))
    settled = method.settled(evidence(sides)).method
    return settled.law(controller), float(controller.own["unit"])


def test_the_block_is_the_one_whose_classifier_is_best_on_what_it_has_not_seen() -> None:
    for best in range(BLOCKS):
        settled = ODESteer(components=200).settled(evidence(states(best=best)))
        assert settled.method == ODESteer(components=200, block=best)
        (table,) = settled.diagnostics
        assert len(table.rows) == BLOCKS
        accuracies = [float(row[1] or 0) for row in table.rows]
        assert accuracies[best] > 0.8 and accuracies[best] == max(accuracies)


def test_a_block_that_was_asked_for_is_the_only_one_looked_at() -> None:
    settled = ODESteer(components=200, block=2).settled(evidence(states()))
    assert settled.method.block == 2 and len(settled.diagnostics[0].rows) == 1


def test_it_warns_where_the_classifier_does_no_better_than_chance() -> None:
    noise = Sides(*(randn(s, EACH, BLOCKS + 1, 60) for s in (5, 6)))
    with pytest.warns(UserWarning, match="there is little to follow"):
        ODESteer(barrier="linear", block=0).unseen(evidence(noise))
        ODESteer(barrier="linear", block=0).settled(evidence(noise))


@pytest.mark.parametrize("barrier", ["sketch", "quadratic", "linear"])
def test_at_target_one_undesired_states_look_as_desired_as_desired_ones(barrier: Any) -> None:
    sides = states()
    law, unit = law_and_unit(ODESteer(barrier=barrier, components=300), sides)
    desired, undesired = (side[:, 2].float() for side in sides)
    u = law.displacement(undesired, torch.full((EACH, 1), unit))
    reached = law.barrier.value(undesired + u).mean()
    torch.testing.assert_close(reached, law.barrier.value(desired).mean(), rtol=1e-4, atol=1e-5)


def test_states_that_are_longer_flow_as_much_further_at_the_same_target() -> None:
    sides = states()
    longer = Sides(*(70 * side for side in sides))
    for unit in ("desired", "norm"):
        method = ODESteer(components=200, block=1, unit=unit)
        (law, one), (same, more) = law_and_unit(method, sides), law_and_unit(method, longer)
        assert more == pytest.approx(70 * one, rel=1e-5)
        x = sides.undesired[:, 2].float()
        u = law.displacement(x, torch.full((EACH, 1), one))
        torch.testing.assert_close(
            same.displacement(70 * x, torch.full((EACH, 1), more)), 70 * u, rtol=1e-3, atol=1e-2
        )


def test_the_published_length_is_the_target_itself() -> None:
    law, unit = law_and_unit(ODESteer(components=200, block=1, unit="state"), states())
    assert unit == 1.0
    x = states().undesired[:, 2].float()
    assert float(law.displacement(x, torch.full((EACH, 1), 1e-3)).norm(dim=1).max()) <= 1.001e-3


def test_where_no_two_products_fall_together_the_sketch_is_the_exact_kernel() -> None:
    # They do not among 49 products and the 8000 features that are the default.
    x, fields = states(7).undesired[:, 2].float(), []
    for barrier in ("quadratic", "sketch"):
        law, _ = law_and_unit(ODESteer(barrier=barrier, block=1), states())
        fields.append(law.barrier.velocity(x))
    torch.testing.assert_close(fields[0], fields[1], rtol=1e-3, atol=1e-4)


def test_wide_states_run_on_the_sketch_itself_and_do_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = states(7).undesired[:, 2].float()
    one, unit = law_and_unit(ODESteer(block=1), states())
    monkeypatch.setattr("steersman.methods.odesteer.MULTIPLIED_OUT", 1)
    other, same = law_and_unit(ODESteer(block=1), states())
    assert type(one.barrier) is not type(other.barrier)
    length = torch.full((EACH, 1), unit)
    torch.testing.assert_close(
        one.displacement(x, length), other.displacement(x, length), rtol=1e-3, atol=1e-4
    )
    assert same == pytest.approx(unit, rel=1e-4)


def test_a_single_step_is_the_same_method_with_one() -> None:
    assert StepODESteer().steps == 1 and StepODESteer().solver == "euler"
    assert ODESteer().steps == 10
    x = states().undesired[:, 2].float()
    law, unit = law_and_unit(StepODESteer(block=1, components=200), states())
    length = torch.full((EACH, 1), unit)
    torch.testing.assert_close(law.displacement(x, length), unit * law.barrier.velocity(x))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"barrier": "forest"}, "barrier is 'forest'; choose one of sketch, quadratic, linear"),
        ({"unit": "metre"}, "unit is 'metre'; choose one of desired, norm, state"),
        ({"solver": "dopri5"}, "solver is 'dopri5'; choose one of euler"),
        ({"block": 3}, "block is 3; the model has blocks 0 .. 2"),
        ({"block": -2}, "block is -2"),
        ({"steps": 0}, "steps is 0"),
        ({"degree": 3, "barrier": "quadratic"}, "degree is 3; a quadratic barrier has 2"),
        ({"C": -1.0}, "C is -1.0"),
        ({"gamma": 0.0}, "gamma is 0.0"),
        ({"barrier": "quadratic", "widest": 4}, "6 x 6 numbers.* MiB.*allow it with widest=6"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ODESteer(**settings).solve(evidence(states()))


def test_without_states_there_is_nothing_to_learn_from() -> None:
    with pytest.raises(InputError, match="odesteer learns from the examples' states"):
        ODESteer().solve(evidence(None))


def fitted(model: Any, tokenizer: Any, method: Any) -> sm.Steering:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )
    return sm.fit(model, tokenizer, pairs, method=method, progress=False)


@torch.no_grad()
def left(model: Any, ids: Tensor, attached: Any = None) -> list[Tensor]:
    """What leaves every block for the next."""
    found: list[Tensor] = []
    with attached or HookSet(), HookSet() as hooks:
        for module in locate(model).modules:
            hooks.after(module, lambda a, k, y: found.append(hidden_out(y)[0].clone()))
        model(ids)
    return found


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "falcon"])
@pytest.mark.parametrize("unit", ["desired", "norm"])
def test_the_output_of_one_block_flows_and_by_default_at_the_last_token_alone(
    unit: Any, name: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, ids = tiny_model(name), torch.arange(6, 12)[None]
    steering = fitted(model, tiny_tokenizer, ODESteer(block=1, unit=unit))
    bare = left(model, ids)
    steered = left(model, ids, steering.attach(model, 0.8, tokens="last"))
    law = steering.method.law(steering.controller)
    length = 0.8 * steering.controller.own["unit"].expand(1, 1)
    assert torch.equal(steered[0], bare[0])
    assert torch.equal(steered[1][:-1], bare[1][:-1])
    expected = bare[1][-1:] + law.displacement(bare[1][-1:], length)
    torch.testing.assert_close(steered[1][-1:], expected, rtol=1e-4, atol=1e-5)
    assert steering.method.tokens == "last"


def test_activation_addition_is_one_euler_step_of_a_field_that_is_the_same_everywhere(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    from steersman.control import Barrier, FlowLaw
    from steersman.methods import ActivationAddition

    model, ids = tiny_model("llama"), torch.arange(6, 12)[None]
    steering = fitted(model, tiny_tokenizer, ActivationAddition(block=1))
    contrast = steering.controller.plan[1, :, 0]

    class Plane(Barrier):
        n, dtype = len(contrast), contrast.dtype

        def to(self, target: Any) -> "Plane":
            return self

        def value(self, x: Tensor) -> Tensor:
            return x @ contrast

        def gradient(self, x: Tensor) -> Tensor:
            return contrast.expand_as(x)

    x = left(model, ids)[1]
    law = FlowLaw(Plane(), 1, 2, "euler", 1)
    u = law.displacement(x, (0.6 * contrast.norm()).expand(len(x), 1))
    added = left(model, ids, steering.attach(model, 0.6, tokens="all"))[1]
    torch.testing.assert_close(x + u, added, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [ODESteer(), StepODESteer(barrier="linear")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_strength_zero_leaves_every_bit(
    dtype: torch.dtype, method: ODESteer, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    import copy

    model, ids = copy.deepcopy(tiny_model("llama")).to(dtype), torch.arange(6, 14)[None]
    steering = fitted(model, tiny_tokenizer, method)
    with torch.no_grad():
        bare = model(ids).logits
        with steering.attach(model, 0.0, tokens="all"):
            assert torch.equal(model(ids).logits, bare)
        with steering.attach(model, 2.0, tokens="all"):
            moved = model(ids).logits
    assert moved.dtype == dtype and bool(torch.isfinite(moved).all())
    assert not torch.equal(moved, bare)


@pytest.mark.parametrize(
    "method",
    [
        ODESteer(components=64),
        ODESteer(components=64, degree=3),
        ODESteer(barrier="quadratic", solver="rk4", steps=3),
        ODESteer(barrier="linear", unit="norm"),
        StepODESteer(components=64, unit="state"),
    ],
    ids=str,
)
def test_it_is_the_same_after_a_round_trip(
    method: ODESteer, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 14)[None]
    made = fitted(model, tiny_tokenizer, method)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert isinstance(loaded.method, type(method)) and loaded.method == made.method
    assert replace(loaded.method, block=-1) == method  # type: ignore[type-var]
    assert loaded.diagnostics == made.diagnostics
    outs = []
    for steering in (made, loaded):
        with torch.no_grad(), steering.attach(model, 0.5, tokens="all"):
            outs.append(model(ids).logits)
    assert torch.equal(outs[0], outs[1])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"execution": "plan"}, "odesteer has no plan"),
        ({"reference": "absolute"}, "knows no absolute setpoint"),
        ({"lambda_": 1.0}, "lambda_ is a value of that"),
        ({"relinearize": "prompt"}, "needs no plant"),
        ({"correction": 0.5}, "a target of odesteer is no value of the feature"),
    ],
)
def test_what_it_does_not_have_is_refused_when_it_is_attached(
    settings: dict[str, Any], says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    with pytest.raises(InputError, match=says):
        fitted(model, tiny_tokenizer, ODESteer(components=64)).attach(model, **settings)


@pytest.mark.parametrize("beams", [1, 3])
def test_every_prompt_of_a_batch_flows_as_far_as_its_own_target_says(
    beams: int, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, ODESteer(components=64))
    prompts, targets = [torch.arange(6, 12), torch.arange(20, 24)], [1.0, 6.0]
    search = {"num_beams": beams, "do_sample": False, "max_new_tokens": 5, "pad_token_id": 0}

    def written(rows: list[Tensor], target: list[float]) -> list[list[int]]:
        width = max(map(len, rows))
        ids = torch.stack([torch.nn.functional.pad(r, (width - len(r), 0)) for r in rows])
        mask = torch.stack([torch.arange(width) >= width - len(r) for r in rows]).long()
        with steering.attach(model, target, tokens="all"):
            made = model.generate(ids, attention_mask=mask, **search)
        return made[:, width:].tolist()

    alone = [written([p], [t])[0] for p, t in zip(prompts, targets, strict=True)]
    assert written(prompts, targets) == alone
    swapped = [written([p], [t])[0] for p, t in zip(prompts, reversed(targets), strict=True)]
    assert alone != swapped

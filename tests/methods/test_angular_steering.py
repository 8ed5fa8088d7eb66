"""Angular steering: planes, angles and gates from two means, and what the turn does in front."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.decomposition import PCA
from small_evidence import BLOCKS, LinearWorld, randn
from transformers import PreTrainedModel

import steersman as sm
from steersman.directions import Features
from steersman.errors import InputError
from steersman.methods import AngularSteering, Controller, Evidence, Means
from steersman.plant import HookSet, hidden_in, locate

Models = Callable[[str], PreTrainedModel]
WORLD = LinearWorld.random(4)
MEANS = WORLD.read(None)


def angle(controller: Controller, x: torch.Tensor, block: int) -> float:
    z = x @ controller.H[block].double()
    return float(torch.atan2(z[1], z[0]))


@pytest.mark.parametrize("plane", ["means", "contrasts"])
def test_the_angles_kept_are_those_of_the_two_means(plane: Any) -> None:
    made = AngularSteering(plane=plane).solve(WORLD.evidence)
    for block in range(BLOCKS):
        undesired, between = made.shifts[block, :, 0].tolist()
        assert angle(made, MEANS.undesired[block], block) == pytest.approx(undesired, abs=1e-5)
        desired = angle(made, MEANS.desired[block], block)
        assert (desired - undesired - between + pi) % (2 * pi) - pi == pytest.approx(0, abs=1e-5)
        assert 0 < between < pi


def test_in_the_plane_of_the_means_one_unit_turns_one_onto_the_other() -> None:
    method = AngularSteering()
    made = method.solve(WORLD.evidence)
    law = method.law(made)
    reference, units = method.absolute(1.0, made, WORLD.evidence.features)
    for block in range(BLOCKS):
        x = MEANS.undesired[block : block + 1].float()
        _, u = law.step(None, x, reference.at(block, units, 1), block)
        goal = MEANS.desired[block] * (x.norm() / MEANS.desired[block].norm())
        torch.testing.assert_close((x + u)[0], goal.float(), rtol=1e-4, atol=1e-4)


def test_the_published_plane_is_the_central_contrast_and_the_first_component() -> None:
    made = AngularSteering(plane="contrasts").solve(WORLD.evidence)
    v = WORLD.direction.vectors
    central = v[int((v @ v.T).mean(dim=1).argmax())]
    torch.testing.assert_close(made.H[:, :, 0], central.float().expand(BLOCKS, -1))
    first = torch.from_numpy(PCA(1).fit(v.numpy()).components_[0])
    for block in range(BLOCKS):
        H = made.H[block].double()
        outside = first - H @ (H.T @ first)
        assert float(outside.norm()) < 1e-6
        torch.testing.assert_close(H.T @ H, torch.eye(2).double(), rtol=0, atol=1e-6)


def test_a_block_where_the_examples_do_not_differ_is_left_alone() -> None:
    def read(inputs: torch.Tensor | None) -> Means:
        desired = MEANS.desired.clone()
        desired[0] = MEANS.undesired[0]
        return Means(desired, MEANS.undesired)

    one = WORLD.direction
    zeroed = [t.clone() for t in (one.contrast, one.vectors, one.norm)]
    for tensor in zeroed:
        tensor[0] = 0
    same = replace(one, contrast=zeroed[0], vectors=zeroed[1], norm=zeroed[2])
    for plane in ("means", "contrasts"):
        made = AngularSteering(plane=plane).solve(Evidence(Features.of(same), read=read))  # type: ignore[arg-type]
        assert made.active == tuple(range(1, BLOCKS))


def test_opposed_blocks_are_those_whose_means_have_opposite_signs() -> None:
    sides = torch.tensor([[-1.0, 0.5, -2.0, -3.0, 1.0, -1.0], [2.0, 2.0, -1.0, 1.0, 3.0, 2.0]])
    one = WORLD.direction
    signed = replace(one, origin=sides[0].double(), norm=(sides[1] - sides[0]).double())
    settled = AngularSteering(blocks="opposed").settled(
        Evidence(Features.of(signed), read=WORLD.read)
    )
    assert settled.method.blocks == (0, 3)
    made = settled.method.solve(Evidence(Features.of(signed), read=WORLD.read))
    assert made.active == (0, 3)
    with pytest.raises(InputError, match="same sign at every block"):
        high = replace(signed, origin=signed.origin + 10)
        AngularSteering(blocks="opposed").settled(Evidence(Features.of(high)))


def test_the_gate_is_the_line_half_way_between_the_means() -> None:
    method = AngularSteering(gate="undesired")
    made = method.solve(WORLD.evidence)
    law = method.law(made)
    reference, units = method.absolute(1.0, made, WORLD.evidence.features)
    for block in range(BLOCKS):
        x = torch.stack([MEANS.undesired[block], MEANS.desired[block]]).float()
        x = x + 1e-3 * (x.flip(0) - x)
        _, u = law.step(None, x, reference.at(block, units, 2), block)
        assert u.any(dim=1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"plane": "flat"}, "plane is 'flat'; choose one of means, contrasts"),
        ({"gate": "open"}, "gate is 'open'; choose one of all, undesired"),
        ({"blocks": (7,)}, r"blocks names \[7\]; the model has blocks 0 .. 4"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        AngularSteering(**settings).solve(WORLD.evidence)


def test_contrasts_on_one_line_span_no_plane() -> None:
    one = WORLD.direction
    line = torch.ones(BLOCKS + 1, 1).double() * randn(0, 1, one.n)
    flat = replace(one, contrast=line, vectors=line / line.norm(dim=1, keepdim=True))
    with pytest.raises(InputError, match="lie on one line"):
        AngularSteering(plane="contrasts").solve(Evidence(Features.of(flat), read=WORLD.read))


def test_means_along_one_line_through_zero_cannot_be_turned_onto_each_other() -> None:
    means = Means(2 * MEANS.undesired, MEANS.undesired)
    one = WORLD.direction
    along = replace(one, contrast=means.contrast, norm=means.contrast.norm(dim=1))
    with pytest.raises(InputError, match="point the same way"):
        AngularSteering().solve(Evidence(Features.of(along), read=lambda inputs: means))


def test_without_a_model_to_read_it_is_refused() -> None:
    with pytest.raises(InputError, match="angular reads the examples' states"):
        AngularSteering().solve(Evidence(Features.of(WORLD.direction)))


def fitted(model: Any, tokenizer: Any, method: AngularSteering) -> sm.Steering:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return sm.fit(model, tokenizer, pairs, method=method, progress=False)


@pytest.mark.parametrize("reference", ["relative", "absolute"])
def test_in_front_of_the_model_it_turns_every_state_that_a_block_reads(
    reference: Any, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, AngularSteering())
    seen: dict[str, list[torch.Tensor]] = {"bare": [], "steered": []}

    def states(key: str, attached: Any) -> Any:
        with attached as run, HookSet() as hooks, torch.no_grad():
            for module in locate(model).modules:
                hooks.before(module, lambda a, k: seen[key].append(hidden_in(a, k)[0].clone()))
            model(torch.arange(6, 12)[None])
        return run

    run = states("steered", steering.attach(model, 0.7, tokens="all", reference=reference))
    states("bare", HookSet())
    c, law = steering.controller, steering.method.law(steering.controller)
    for block, bare in enumerate(seen["bare"]):
        x = seen["steered"][-len(seen["bare"]) + block]
        undesired, between = c.shifts[block, :, 0]
        start = undesired if reference == "absolute" else law.observe(bare, block)
        s = (start + 0.7 * between).expand(len(x), 1)
        _, u = law.step(None, x, s, block)
        effort = run.trace.effort[0, block]
        torch.testing.assert_close(effort, u.norm(dim=1), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close((x + u).norm(dim=1), x.norm(dim=1), rtol=1e-5, atol=0)


def test_strength_zero_leaves_every_bit(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model, ids = tiny_model("gemma2"), torch.arange(6, 14)[None]
    steering = fitted(model, tiny_tokenizer, AngularSteering(plane="contrasts", gate="undesired"))
    with torch.no_grad():
        bare = model(ids).logits
        with steering.attach(model, 0.0, tokens="all"):
            assert torch.equal(model(ids).logits, bare)


@pytest.mark.parametrize(
    "method", [AngularSteering(gate="undesired", blocks=(1, 2)), AngularSteering("contrasts")]
)
def test_it_is_the_same_after_a_round_trip(
    method: AngularSteering, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model, ids = tiny_model("llama"), torch.arange(6, 14)[None]
    made = fitted(model, tiny_tokenizer, method)
    loaded = sm.Steering.from_pretrained(made.save_pretrained(tmp_path / "s"))
    assert loaded.method == made.method == method
    outs = []
    for steering in (made, loaded):
        for reference in ("relative", "absolute"):
            with torch.no_grad(), steering.attach(model, 0.5, reference=reference, tokens="all"):
                outs.append(model(ids).logits)
    assert torch.equal(outs[0], outs[2]) and torch.equal(outs[1], outs[3])
    assert not torch.equal(outs[0], outs[1])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"execution": "plan"}, "angular has no plan"),
        ({"lambda_": 1.0}, "lambda_ is a value of that"),
        ({"relinearize": "prompt"}, "needs no plant"),
        ({"target": float("nan")}, "target is nan; it must be finite"),
    ],
)
def test_what_it_does_not_have_is_refused_when_it_is_attached(
    settings: dict[str, Any], says: str, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model = tiny_model("llama")
    with pytest.raises(InputError, match=says):
        fitted(model, tiny_tokenizer, AngularSteering()).attach(model, **settings)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reference", ["relative", "absolute"])
@pytest.mark.parametrize("beams", [1, 3])
def test_every_prompt_of_a_batch_is_turned_by_its_own_target(
    beams: int, reference: Any, tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    words = [w for w in sorted(tiny_tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )
    steering = sm.fit(model, tiny_tokenizer, pairs, method="angular", progress=False)
    prompts, targets = [torch.arange(6, 12), torch.arange(20, 24)], [0.5, 2.0]
    search = {"num_beams": beams, "do_sample": False, "max_new_tokens": 5, "pad_token_id": 0}

    def written(rows: list[torch.Tensor], target: list[float]) -> list[list[int]]:
        width = max(map(len, rows))
        ids = torch.stack([torch.nn.functional.pad(r, (width - len(r), 0)) for r in rows])
        mask = torch.stack([torch.arange(width) >= width - len(r) for r in rows]).long()
        with steering.attach(model, target, tokens="all", reference=reference):
            made = model.generate(ids, attention_mask=mask, **search)
        return made[:, width:].tolist()

    alone = [written([p], [t])[0] for p, t in zip(prompts, targets, strict=True)]
    assert written(prompts, targets) == alone
    swapped = [written([p], [t])[0] for p, t in zip(prompts, reversed(targets), strict=True)]
    assert alone != swapped

"""Mistakes that are easily made with published methods, each shown not to be made here.

The list of all of them, with the tests that show it, is docs/verification.md.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from hooked import IDS, examples, fitted
from small_evidence import N, randn
from torch import Tensor
from transformers import PreTrainedModel

from steersman.control import AngularLaw, clamped
from steersman.directions import Direction, Features
from steersman.methods import ActivationAddition, Evidence, GivenVectors, Means, PIDSteering
from steersman.methods.guiding_giants import ControlledPush
from steersman.plant import HookSet, capture_states, hidden_out, locate
from steersman.training.networks import layers

Models = Callable[[str], PreTrainedModel]


@torch.no_grad()
def outputs(model: Any, block: int, ids: Tensor) -> Tensor:
    """What leaves a block at every token of one prompt, `(tokens, n)`, in one pass."""
    seen: list[Tensor] = []
    with HookSet() as hooks:
        hooks.after(locate(model).modules[block], lambda a, k, out: seen.append(hidden_out(out)))
        model(ids)
    return seen[-1][0]


@torch.no_grad()
def test_the_contrast_is_added_once_to_every_token_read_or_written(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    steering = fitted(model, tiny_tokenizer, ActivationAddition(block=1))
    v, seen = steering.direction.contrast[2].float(), list[Tensor]()
    with steering.attach(model, 1.0, tokens="all", trace=False), HookSet() as hooks:
        hooks.after(locate(model).modules[1], lambda a, k, out: seen.append(hidden_out(out)[0]))
        text = model.generate(IDS, min_new_tokens=5, max_new_tokens=5, do_sample=False)
    added = torch.cat(seen) - outputs(model, 1, text[:, :-1])
    assert len(added) == IDS.shape[1] + 4 and float(v.norm()) > 0.1
    torch.testing.assert_close(added, v.expand_as(added), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_vector_of_a_block_is_the_contrast_of_what_leaves_it(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, pairs = tiny_model("llama"), examples(tiny_tokenizer)
    vectors = fitted(model, tiny_tokenizer, GivenVectors()).plan
    recording, means = deepcopy(model), []
    for side in (pairs.desired, pairs.undesired):
        ids = [torch.tensor([tiny_tokenizer(text)["input_ids"]]) for text in side]
        record = [recording(one, output_hidden_states=True).hidden_states for one in ids]
        means.append(torch.stack([torch.stack([x[0, -1] for x in one]) for one in record]).mean(0))
    recorded = means[0] - means[1]
    for block in range(len(vectors) - 1):
        # What is recorded as number b + 1 leaves block b; number b enters it.
        torch.testing.assert_close(vectors[block], recorded[block + 1], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(vectors[block], recorded[block], rtol=1e-2, atol=1e-3)


@torch.no_grad()
def test_the_state_behind_the_last_block_is_not_what_the_final_norm_makes_of_it(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model: Any = tiny_model("llama")
    text = examples(tiny_tokenizer).desired[0]
    ids = torch.tensor([tiny_tokenizer(text)["input_ids"]])
    last = capture_states(model, tiny_tokenizer, [text])[0, -1]
    recorded = deepcopy(model)(ids, output_hidden_states=True).hidden_states[-1][0, -1]
    assert not torch.allclose(last, recorded, rtol=1e-2)
    torch.testing.assert_close(model.model.norm(last), recorded, rtol=1e-4, atol=1e-5)


def test_a_projection_of_half_precision_states_is_taken_in_float32() -> None:
    x = (10 * randn(1, 64, 512)).to(torch.bfloat16)
    v = torch.nn.functional.normalize(randn(2, 1, 512), dim=1).float()
    s, one = torch.full((1,), 3.0), torch.ones(64, 1)
    _, u = clamped(v, s).step(None, x, one, 0)
    assert u.dtype == torch.float32
    reached = (x.double() + u.double()) @ v[0].double()
    rough = x + (3.0 - x @ v[0].to(x)).unsqueeze(1) * v[0].to(x)  # all of it in half precision
    errors = [float((z - 3.0).abs().max()) for z in (reached, rough.double() @ v[0].double())]
    assert errors[0] < 1e-4 < 1e-2 < errors[1]


def test_a_turn_of_half_precision_states_keeps_their_length_to_float32() -> None:
    x = (10 * randn(1, 64, 512)).to(torch.bfloat16)
    H = torch.linalg.qr(randn(2, 1, 512, 2))[0].float()
    _, u = AngularLaw(H).step(None, x, torch.full((64, 1), 2.0), 0)
    before, after = x.double().norm(dim=1), (x.double() + u.double()).norm(dim=1)
    torch.testing.assert_close(after, before, rtol=1e-6, atol=0)
    rough = (x + u.to(x)).double().norm(dim=1)  # what the model's own precision makes of it
    assert float((rough / before - 1).abs().max()) > 1e-5


class Deep:
    """Forty blocks that do nothing, before which the two sides are apart by `c`."""

    BLOCKS = 40
    c = randn(3, N)

    def read(self, inputs: Tensor | None) -> Means:
        """The undesired mean is moved by every input before it."""
        start = torch.zeros(1, N).double()
        moved = start if inputs is None else torch.cat([start, inputs.double().cumsum(0)])
        undesired = moved.expand(self.BLOCKS + 1, N)
        return Means(self.c.expand(self.BLOCKS + 1, N), undesired)

    @property
    def evidence(self) -> Evidence:
        """The contrasts, and the model to read again."""
        contrast = self.c.expand(self.BLOCKS + 1, N).clone()
        length, nothing = contrast.norm(dim=1), torch.zeros(self.BLOCKS + 1).double()
        v = contrast / length[:, None]
        direction = Direction(contrast, v, length, nothing, nothing, nothing + torch.inf)
        return Evidence(Features.of(direction), read=self.read)


def test_the_inputs_of_many_blocks_do_not_wind_up() -> None:
    deep = Deep()
    plan = PIDSteering().solve(deep.evidence).plan[..., 0]
    share = plan.cumsum(0) @ deep.c / (deep.c @ deep.c)
    assert float(share[0]) == pytest.approx(1.0)  # the first block closes the whole error
    # Each of forty blocks that added the contrast again would end at forty times of it.
    assert float(share.max()) < 1.1 and float((share[-1] - 1).abs()) < 0.05


def test_a_controller_of_blocks_adds_no_constant_and_keeps_channels_apart() -> None:
    deep = Deep()
    plan = PIDSteering(kp=0.5, ki=0.2, kd=0.1).solve(deep.evidence).plan[..., 0]
    along = (plan @ deep.c / (deep.c @ deep.c))[:, None] * deep.c
    # One number for all channels, or noise, would have a part beside the contrast.
    torch.testing.assert_close(plan, along, rtol=1e-10, atol=1e-12)
    nothing = Deep()
    nothing.c = 1e-12 * deep.c
    assert float(PIDSteering().solve(nothing.evidence).plan.abs().max()) < 1e-11


def test_a_controlled_push_never_goes_against_its_direction() -> None:
    network = layers((8, 16, 1 + 3), torch.Generator().manual_seed(0))
    wild = {name: 30 * tensor for name, tensor in network.items()}
    push = randn(1, 3, 4).float()
    law = ControlledPush(push, wild, torch.ones(2), (0, 1))
    x = 5 * randn(2, 1000, 4).float()
    state, _ = law.step(law.init(1000), x, torch.ones(1000, 1), 0)
    for block in (1, 2):
        state, u = law.step(state, -x, torch.ones(1000, 1), block)
        share = u @ push[block] / (push[block] @ push[block])
        assert float(share.min()) >= 0 and float(share.max()) <= 1 + 1e-6
        assert float(share.min()) < 0.01 < 0.99 < float(share.max())

"""A law of several features in front of a model: a target for each of them, a prompt each."""

from collections.abc import Callable

import pytest
import tiny_models as tiny
import torch
from torch import Tensor
from transformers import PreTrainedModel

from steersman.control import Absolute, AffineLaw, Reference, Relative, Units
from steersman.engines import Channel, Run
from steersman.errors import ShapeError
from steersman.plant import HookSet, hidden_in, hidden_out, locate

Models = Callable[[str], PreTrainedModel]
NAMES = ("truth", "mood")
TARGETS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
PROMPTS = torch.arange(6, 30).view(3, 8)


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def channel(model: PreTrainedModel, targets: Tensor, kind: str) -> Channel:
    """Two features that are observed through three numbers, or themselves where absolute."""
    blocks, n = len(locate(model)), locate(model).n
    V = torch.nn.functional.normalize(random(0, blocks, n, 2), dim=1)
    scale = Units(0.5 + random(1, blocks, 2).abs(), random(2, blocks, 2))
    if kind == "plan":
        law = AffineLaw.schedule(0.3 * random(3, blocks, n, 2))
        return Channel(
            law, Absolute(targets), Units.plain(blocks), V, scale, tracks=False, names=NAMES
        )
    reference: Reference
    if kind == "absolute":
        law, units, reference = AffineLaw(V, 0.5 * V), scale, Absolute(targets)
    else:
        H, G = random(4, blocks, n, 3) / n**0.5, 0.2 * random(5, blocks, n, 3)
        law, units = AffineLaw(H, G), Units.shifts(random(6, blocks, 3, 2))
        reference = Relative(targets)
    return Channel(law, reference, units, V, scale, tracks=kind == "absolute", names=NAMES)


def logits(model: PreTrainedModel, ids: Tensor, *channels: Channel, prompts: int | None) -> Tensor:
    run = Run(model, locate(model), channels, prompts=prompts)
    with run, torch.no_grad():
        return model(ids, use_cache=False).logits


@torch.no_grad()
def written_out(model: PreTrainedModel, law: Channel, ids: Tensor, target: Tensor) -> Tensor:
    """One row, by hooks of its own; the nominal run comes first."""
    blocks, nominal = locate(model), []
    with HookSet() as hooks:
        for module in blocks.modules:
            hooks.after(module, lambda a, k, out: nominal.append(hidden_in(a, k).clone()) or None)
        model(ids, use_cache=False)
    with HookSet() as hooks:
        for t, module in enumerate(blocks.modules):

            def steer(args: tuple, kwargs: dict, output: object, t: int = t) -> object:
                x, y = hidden_in(args, kwargs), hidden_out(output)
                H, G, norm = law.law.H[t], law.law.G[t], law.units.norm[t]
                if isinstance(law.reference, Relative):
                    s = nominal[t] @ H + norm @ target
                elif law.law.is_schedule:
                    s = target
                else:
                    s = law.units.origin[t] + norm * target
                moved = y + (s - x @ H) @ G.T
                return (moved, *output[1:]) if isinstance(output, tuple) else moved

            hooks.after(module, steer)
        return model(ids, use_cache=False).logits


@pytest.mark.parametrize("kind", ["plan", "absolute", "relative"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_every_prompt_is_steered_by_its_own_targets(
    name: str, kind: str, tiny_model: Models
) -> None:
    model = tiny_model(name)
    law = channel(model, TARGETS, kind)
    found = logits(model, PROMPTS, law, prompts=3)
    for row, target in enumerate(TARGETS):
        expected = written_out(model, law, PROMPTS[row : row + 1], target)[0]
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", ["plan", "absolute", "relative"])
def test_one_row_of_targets_is_for_every_prompt(kind: str, tiny_model: Models) -> None:
    model = tiny_model("llama")
    shared = logits(model, PROMPTS, channel(model, TARGETS[2:], kind), prompts=None)
    each = TARGETS[2:].expand(3, 2)
    torch.testing.assert_close(
        shared, logits(model, PROMPTS, channel(model, each, kind), prompts=3)
    )


@pytest.mark.parametrize("kind", ["plan", "absolute", "relative"])
def test_copies_of_a_prompt_share_its_targets(kind: str, tiny_model: Models) -> None:
    model = tiny_model("llama")
    law = channel(model, TARGETS, kind)
    once = logits(model, PROMPTS, law, prompts=3)
    copies = logits(model, PROMPTS.repeat_interleave(2, 0), law, prompts=3)
    torch.testing.assert_close(copies[::2], once, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(copies[1::2], once, rtol=1e-4, atol=2e-5)


def test_every_feature_has_a_trace_of_its_own(tiny_model: Models) -> None:
    model = tiny_model("llama")
    law = channel(model, TARGETS, "absolute")
    with Run(model, locate(model), (law,), prompts=3) as run, torch.no_grad():
        model(PROMPTS, use_cache=False)
    traces = run.traces()
    assert [trace.name for trace in traces] == ["truth", "mood"]
    assert run.trace.name == "truth"
    for index, trace in enumerate(traces):
        assert trace.feature.shape == (3, tiny.BLOCKS, PROMPTS.shape[1])
        assert torch.equal(trace.norm, law.scale.norm[:, index])
        wanted = trace.natural(trace.setpoint)
        expected = TARGETS[:, index, None, None].expand_as(wanted)
        torch.testing.assert_close(wanted, expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(trace.effort, traces[0].effort)
    error = torch.stack([trace.error for trace in traces], dim=-1)
    u = torch.einsum("rtlk,tnk->rtln", error, law.law.G)
    torch.testing.assert_close(u.norm(dim=-1), run.trace.effort, rtol=1e-4, atol=1e-5)


def test_names_that_are_not_those_of_the_watched_are_refused(tiny_model: Models) -> None:
    law = channel(tiny_model("llama"), TARGETS, "plan")
    with pytest.raises(ShapeError, match=r"watch has shape .*2\); expected .*1\)"):
        Channel(law.law, law.reference, law.units, law.watch, law.scale, names=("truth",))


def test_targets_of_other_features_are_refused(tiny_model: Models) -> None:
    law = channel(tiny_model("llama"), torch.zeros(3, 3), "relative")
    with pytest.raises(ShapeError, match="target has 3 features; expected 2"):
        logits(tiny_model("llama"), PROMPTS, law, prompts=3)

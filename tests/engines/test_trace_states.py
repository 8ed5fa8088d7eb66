"""A trace goes on to the last block's output, and holds the unsteered run where there is one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from steersman.control import Absolute, AffineLaw, Reference, Relative, Units
from steersman.engines import Channel, Run
from steersman.errors import ShapeError
from steersman.plant import HookSet, hidden_in, hidden_out, locate

Models = Callable[[str], PreTrainedModel]
PROMPTS = torch.stack([torch.arange(3, 11), torch.arange(30, 38), torch.arange(50, 58)])
ARCHITECTURES = ("llama", "gpt2", "gemma2", "qwen3")


def channel(
    model: PreTrainedModel,
    reference: Reference,
    *,
    states: int = 1,
    rows: tuple[int, ...] | None = None,
) -> Channel:
    """A random law whose trace watches `states` directions more than there are blocks."""
    blocks = locate(model)
    v = torch.randn(len(blocks) + 1, blocks.n, generator=torch.Generator().manual_seed(0))
    v = torch.nn.functional.normalize(v, dim=1)
    units = Units(torch.full((len(blocks),), 2.0), torch.full((len(blocks),), 0.5))
    law = AffineLaw(v[:-1, :, None], 0.3 * v[:-1, :, None])
    watch = v[: len(blocks) + states, :, None]
    return Channel(law, reference, units, watch, units, tokens="last", rows=rows)


@contextmanager
def seen(model: PreTrainedModel) -> Iterator[dict[int, Tensor]]:
    """The last states `x_0 .. x_T` that passed, by hooks of our own behind all others."""
    blocks, states = locate(model), {}
    with HookSet() as hooks:
        for t, module in enumerate(blocks.modules):
            hooks.after(module, lambda a, k, o, t=t: states.__setitem__(t, hidden_in(a, k).clone()))
        last = blocks.modules[-1]
        hooks.after(last, lambda a, k, o: states.__setitem__(len(blocks), hidden_out(o).clone()))
        yield states


def features(states: dict[int, Tensor], law: Channel) -> Tensor:
    return torch.stack([states[t] @ law.watch[t, :, 0] for t in range(len(law.watch))], dim=1)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_it_shows_the_steered_and_the_unsteered_feature_of_every_state(
    name: str, tiny_model: Models
) -> None:
    model = tiny_model(name)
    law = channel(model, Relative(2.0))
    with seen(model) as states:
        model(PROMPTS)
        bare = features(states, law)
    with Run(model, locate(model), (law,)) as run, seen(model) as states:
        model(PROMPTS)
        steered = features(states, law)
    trace = run.trace
    assert trace.final is not None and trace.nominal is not None
    torch.testing.assert_close(trace.nominal, bare, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(trace.feature, steered[:, :-1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(trace.final, steered[:, -1], rtol=1e-4, atol=1e-4)
    moved = (steered - bare)[:, 1:, -1]
    assert float(moved.abs().min()) > 1e-3


@torch.no_grad()
def test_a_run_with_a_cache_shows_the_same_as_one_pass(tiny_model: Models) -> None:
    model = tiny_model("llama")
    law = channel(model, Relative(1.0))
    settings = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    found = []
    for cache in (True, False):
        with Run(model, locate(model), (law,)) as run:
            model.generate(
                PROMPTS, attention_mask=torch.ones_like(PROMPTS), use_cache=cache, **settings
            )
        found.append(run.trace)
    for name in ("feature", "final", "nominal"):
        first, second = (getattr(trace, name) for trace in found)
        assert first.shape[-1] == PROMPTS.shape[1] + 3
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_without_an_unsteered_run_there_is_no_nominal(tiny_model: Models) -> None:
    model = tiny_model("llama")
    with Run(model, locate(model), (channel(model, Absolute(1.0)),)) as run:
        model(PROMPTS)
    assert run.trace.nominal is None
    assert run.trace.final is not None


@torch.no_grad()
def test_what_is_not_watched_is_not_there(tiny_model: Models) -> None:
    model = tiny_model("llama")
    with Run(model, locate(model), (channel(model, Relative(1.0), states=0),)) as run:
        model(PROMPTS)
    trace = run.trace
    assert trace.final is None
    assert trace.nominal is not None
    assert trace.nominal.shape[1] == trace.feature.shape[1] + 1
    assert bool(trace.nominal[:, -1].isnan().all())
    assert not bool(trace.nominal[:, :-1].isnan().any())


@torch.no_grad()
def test_rows_have_their_own_states_after_all_steerings(tiny_model: Models) -> None:
    model = tiny_model("llama")
    laws = (channel(model, Relative(1.0), rows=(2, 0)), channel(model, Absolute(1.0), rows=(1,)))
    with Run(model, locate(model), laws, prompts=3) as run, seen(model) as states:
        model(PROMPTS)
        steered = features(states, laws[0])
    first, second = run.traces()
    torch.testing.assert_close(first.final, steered[[2, 0], -1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second.final, steered[[1], -1], rtol=1e-4, atol=1e-4)
    assert second.nominal is None


@torch.no_grad()
def test_padding_is_not_known(tiny_model: Models) -> None:
    model = tiny_model("llama")
    mask = torch.ones_like(PROMPTS)
    mask[1, :3] = 0
    with Run(model, locate(model), (channel(model, Relative(1.0)),)) as run:
        model(input_ids=PROMPTS, attention_mask=mask)
    assert torch.equal(run.trace.final.isnan(), mask == 0)
    assert torch.equal(run.trace.nominal.isnan().all(1), mask == 0)


@torch.no_grad()
def test_a_long_prompt_that_is_recorded_in_parts_shows_the_same(
    tiny_model: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, found = tiny_model("llama"), []
    for at_once in (2**22, 1):
        monkeypatch.setattr("steersman.engines.recorder.AT_ONCE", at_once)
        with Run(model, locate(model), (channel(model, Relative(1.0)),)) as run:
            model(PROMPTS)
        found.append(run.trace)
    for name in ("feature", "setpoint", "effort", "final", "nominal"):
        first, second = (getattr(trace, name) for trace in found)
        torch.testing.assert_close(first, second, equal_nan=True)


@pytest.mark.usefixtures("unchecked")
def test_directions_of_another_model_are_refused(tiny_model: Models) -> None:
    model = tiny_model("llama")
    law = channel(model, Relative(1.0))
    with pytest.raises(
        ShapeError, match=r"watch has shape \(2, 32, 1\); expected \(3, 32, 1\), or 4"
    ):
        Channel(law.law, law.reference, law.units, law.watch[:2], law.scale)

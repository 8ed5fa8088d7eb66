"""Hooks see and replace the residual stream, and are always gone afterwards."""

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from steersman.errors import ArchitectureError, AttachedError
from steersman.plant.hooks import (
    HookSet,
    hidden_in,
    hidden_out,
    hooked,
    owners,
    with_hidden,
    with_hidden_in,
)

Pair = namedtuple("Pair", ["state", "rest"])
OLD, NEW = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)


def test_a_hook_before_may_look_or_replace() -> None:
    layer = nn.Identity()
    with HookSet() as looking:
        looking.before(layer, lambda args, kwargs: None)
        assert layer(OLD) is OLD
    with HookSet() as replacing:
        replacing.before(layer, lambda args, kwargs: ((NEW,), kwargs))
        assert layer(OLD) is NEW


def test_a_hook_after_may_look_or_replace() -> None:
    layer = nn.Identity()
    with HookSet() as looking:
        looking.after(layer, lambda args, kwargs, output: None)
        assert layer(OLD) is OLD
    with HookSet() as replacing:
        replacing.after(layer, lambda args, kwargs, output: NEW)
        assert layer(OLD) is NEW


def test_hooks_see_keyword_arguments() -> None:
    layer = nn.Bilinear(3, 3, 3)
    seen: list[list[str]] = []
    with HookSet() as hooks:
        hooks.before(layer, lambda args, kwargs: seen.append(sorted(kwargs)))
        layer(input1=OLD, input2=OLD)
    assert seen == [["input1", "input2"]]


def test_hooks_are_gone_after_an_exception() -> None:
    layer = nn.Identity()

    def fail(args: Any, kwargs: Any) -> None:
        raise RuntimeError("inside the hook")

    with pytest.raises(RuntimeError, match="inside"), HookSet(owner="me") as hooks:
        hooks.after(layer, lambda args, kwargs, output: None)
        hooks.before(layer, fail)
        layer(OLD)
    assert not hooked(layer)
    assert not layer._forward_hooks and not layer._forward_pre_hooks


def test_closing_twice_does_no_harm_and_hooking_afterwards_is_refused() -> None:
    layer, hooks = nn.Identity(), HookSet()
    hooks.before(layer, lambda args, kwargs: None)
    hooks.close()
    hooks.close()
    with pytest.raises(AttachedError, match="closed"):
        hooks.before(layer, lambda args, kwargs: None)
    assert not hooked(layer)


def test_owners_are_found_on_the_module_and_other_hooks_are_not_ours() -> None:
    layer, owner = nn.Identity(), object()
    foreign = layer.register_forward_hook(lambda module, args, output: None)
    assert not hooked(layer)
    with HookSet(owner) as hooks, HookSet() as looking:
        hooks.before(layer, lambda args, kwargs: None)
        hooks.after(layer, lambda args, kwargs, output: None)
        looking.before(layer, lambda args, kwargs: None)
        assert hooked(layer)
        assert owners(layer) == (owner,)
    assert owners(layer) == ()
    assert len(layer._forward_hooks) == 1
    foreign.remove()


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((OLD, 1), {"mask": NEW}), ((), {"mask": NEW, "hidden_states": OLD}), ((), {"x": OLD})],
)
def test_the_residual_stream_is_read_and_replaced_among_arguments(args: Any, kwargs: Any) -> None:
    assert hidden_in(args, kwargs) is OLD
    new_args, new_kwargs = with_hidden_in(args, kwargs, NEW)
    assert hidden_in(new_args, new_kwargs) is NEW
    assert hidden_in(args, kwargs) is OLD
    assert new_args[1:] == args[1:]
    assert new_kwargs.keys() == kwargs.keys()


@pytest.mark.parametrize(
    "output", [OLD, (OLD,), (OLD, "kept"), [OLD, "kept"], Pair(OLD, "kept"), {"state": OLD}]
)
def test_the_residual_stream_is_read_and_replaced_in_outputs(output: Any) -> None:
    assert hidden_out(output) is OLD
    replaced = with_hidden(output, NEW)
    assert type(replaced) is type(output)
    assert hidden_out(replaced) is NEW
    assert hidden_out(output) is OLD
    if not isinstance(output, Tensor | dict):
        assert len(replaced) == len(output)
        assert list(replaced)[1:] == list(output)[1:]


def test_a_model_output_keeps_its_type_and_its_other_fields() -> None:
    output = BaseModelOutput(last_hidden_state=OLD, hidden_states=(OLD,))
    replaced = with_hidden(output, NEW)
    assert isinstance(replaced, BaseModelOutput)
    assert replaced.last_hidden_state is NEW
    assert replaced.hidden_states is output.hidden_states


@pytest.mark.parametrize("output", [None, (), ("text", OLD), {}, 3])
def test_an_output_without_a_residual_stream_is_refused(output: Any) -> None:
    with pytest.raises(ArchitectureError, match="does not start with a tensor"):
        hidden_out(output)


def test_arguments_without_a_residual_stream_are_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"1 positional.*\['mask'\]"):
        hidden_in((3,), {"mask": OLD})

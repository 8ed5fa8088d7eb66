"""Rows that are taken from a cache, put beside others and run on are as if they had been alone."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from steersman.engines import empty_cache, joinable, rows_of, stacked

Models = Callable[[str], PreTrainedModel]


def run(model: PreTrainedModel, ids: Tensor, cache: DynamicCache, mask: Tensor) -> Tensor:
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    with torch.no_grad():
        return model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache
        ).logits[:, -1]


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "qwen3"])
def test_joined_rows_go_on_as_alone(kind: str, tiny_model: Models) -> None:
    model = copy.deepcopy(tiny_model(kind)).double()
    prompts = [torch.tensor([[3, 5, 9, 5, 7, 20]]), torch.tensor([[9, 4]]), torch.tensor([[8] * 9])]
    alone, caches = [], []
    for prompt in prompts:
        cache = empty_cache(model)
        run(model, prompt, cache, torch.ones_like(prompt))
        caches.append(rows_of(cache, torch.tensor([0]), 0))
        again = torch.tensor([[11]])
        mask = torch.ones(1, prompt.shape[1] + 1, dtype=torch.long)
        alone.append(run(model, again, cache, mask)[0])
    both = stacked(caches)
    lengths = torch.tensor([prompt.shape[1] for prompt in prompts])
    mask = (torch.arange(9) >= 9 - lengths[:, None]).long()
    kept = torch.tensor([1, 0])
    few = rows_of(both, kept, 3)
    ids = torch.full((3, 1), 11)
    found = run(model, ids, both, torch.cat([mask, torch.ones_like(ids)], dim=1))
    for one, other in zip(found, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-9)
    fewer = torch.cat([mask[kept, 3:], torch.ones(2, 1, dtype=torch.long)], dim=1)
    found = run(model, ids[:2], few, fewer)
    assert torch.allclose(found[0], alone[1], atol=1e-9)
    assert torch.allclose(found[1], alone[0], atol=1e-9)


def test_what_remembers_more_than_keys_and_values_cannot_be_joined(tiny_model: Models) -> None:
    class Recurrent(torch.nn.Module):
        _is_stateful = True

    assert joinable(tiny_model("llama"))
    assert not joinable(Recurrent())

"""What a request's answer has to be: the same model, one prompt alone, steered by `attach`."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

import steersman as sm


def drawn(logits: torch.Tensor, temperature: float, top_p: float, number: float) -> int:
    """The token that a uniform number stands for, as the page on serving defines it."""
    x = logits.double().numpy()
    if temperature == 0:
        return int(x.argmax())
    p = np.exp((x - x.max()) / temperature)
    p /= p.sum()
    if top_p < 1:
        order = np.argsort(-p, kind="stable")
        reached = np.cumsum(p[order])
        count = int(np.sum(reached - p[order] < top_p))
        p = np.where(np.isin(np.arange(len(p)), order[:count]), p, 0.0)
    cumulated = np.cumsum(p)
    return int(np.sum(cumulated <= number * cumulated[-1]))


@torch.no_grad()
def twin(
    model: PreTrainedModel,
    prompt: Sequence[int],
    new_tokens: int,
    *,
    steerings: Mapping[str, sm.Steering] | None = None,
    target: Mapping[str, Any] | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    ends: Sequence[int] = (2,),
) -> list[int]:
    """The tokens that follow one prompt, without those that end it."""
    attached: Any = nullcontext()
    if steerings:
        attached = sm.together(steerings).attach(model, target=target, trace=False)
    generator = torch.Generator().manual_seed(seed)
    cache, ids, found = DynamicCache(), torch.tensor([list(prompt)]), []
    with attached:
        while len(found) < new_tokens:
            logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0, -1]
            number = float(torch.rand((), generator=generator, dtype=torch.float64))
            token = drawn(logits, temperature, top_p, number)
            if token in ends:
                break
            found.append(token)
            ids = torch.tensor([[token]])
    return found

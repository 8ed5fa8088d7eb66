"""Let a model write, steered or not."""

from typing import Any

import torch

from steersman.plant import Encoded, Example, pad_id


def as_example(prompt: str, chat: bool) -> Example:
    """The prompt as a text, or as a user's message."""
    return [{"role": "user", "content": prompt}] if chat else prompt


def write(model: Any, tokenizer: Any, prompt: Encoded, *, new_tokens: int, seed: int | None) -> str:
    """What the model makes of a prompt: greedy, or sampled with a seed.

    Args:
        model: the model, as it is now.
        tokenizer: its tokenizer.
        prompt: one prompt.
        new_tokens: how many at most.
        seed: of the sampling, by the model's own settings; None is greedy.
    """
    sampling: dict[str, Any] = {"do_sample": seed is not None}
    if seed is None:  # or the model's own settings would raise warnings
        sampling |= {"temperature": None, "top_p": None, "top_k": None}
    with torch.random.fork_rng():
        if seed is not None:
            torch.manual_seed(seed)
        ids = model.generate(
            input_ids=prompt.input_ids,
            attention_mask=prompt.attention_mask,
            max_new_tokens=new_tokens,
            pad_token_id=pad_id(tokenizer),
            **sampling,
        )
    new = ids[0, prompt.input_ids.shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True)).strip()

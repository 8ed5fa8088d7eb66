"""The embedded model in a folder, as vLLM loads it, and a steering of it."""

import warnings
from pathlib import Path
from typing import Any

import steersman as sm
from steersman.windtunnel import behaviour, load


def saved_tunnel(folder: Path) -> tuple[Any, Any, sm.Steering]:
    """The model and its tokenizer, written to `folder / "model"`, and a plan towards music.

    Args:
        folder: there already.
    """
    model, tokenizer = load()
    for part in (model, tokenizer):
        part.save_pretrained(folder / "model")
    pairs = behaviour("concepts:music").pairs(seed=0, count=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steering = sm.fit(model, tokenizer, pairs, method="feature-lqr", progress=False)
    return model, tokenizer, steering

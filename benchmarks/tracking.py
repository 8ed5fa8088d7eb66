"""Is the setpoint reached? The final feature at the prompt's last token, on prompts of no fit.

The prompts are undesired examples of other pairs than the fit's, which end at a decision token. The
error is that of the feature after the last block, in natural units: where it moved to from where
the unsteered model had it, minus the target.
"""

import warnings
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from parts import Cell, Parts
from torch import Tensor

from steersman.methods import METHODS
from steersman.plant import HookSet, hidden_out, locate
from steersman.windtunnel import behaviour, fit_behaviour, load

BATCH = 50


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour."""
    return {name: partial(_cells, config, name) for name in config["behaviours"]}


def _cells(config: dict[str, Any], name: str) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load()
    asked, count = behaviour(name), config["prompts"]
    prompts = [str(text) for text in asked.pairs(config["prompt_seed"], count).undesired]
    cells = []
    for way in config["ways"]:
        steering = fit_behaviour(model, tokenizer, asked, method=METHODS[way["method"]]())
        d = steering.direction
        start = final_states(model, tokenizer, prompts)
        for target in config["targets"]:
            attached = partial(
                steering.attach, model, target, tokens="last", trace=False, **way.get("attach", {})
            )
            moved = (final_states(model, tokenizer, prompts, attached) - start) @ d.vectors[-1]
            error = moved / d.norm[-1] - target
            cells.append(
                {
                    "behaviour": name,
                    "way": way["name"],
                    "target": target,
                    "rms": float(error.square().mean().sqrt()),
                    "mean": float(error.mean()),
                    "worst": float(error.abs().max()),
                    "spread": float(error.std()),
                }
            )
            print("{behaviour} {way}, {target}: rms {rms:.3f}".format(**cells[-1]), flush=True)
    return cells


def final_states(model: Any, tokenizer: Any, prompts: list[str], attached: Any = None) -> Tensor:
    """`(prompts, n)`: the output of the last block at each prompt's last token.

    Args:
        model: the model.
        tokenizer: its tokenizer, padding on the left.
        prompts: texts.
        attached: makes a run to enter; None runs unsteered.
    """
    found = []
    for start in range(0, len(prompts), BATCH):
        given = tokenizer(prompts[start : start + BATCH], return_tensors="pt", padding=True)
        last: list[Tensor] = []
        # What is hooked last sees the block's output with everything added to it.
        with nullcontext() if attached is None else attached(), HookSet() as hooks, torch.no_grad():
            hooks.after(
                locate(model).modules[-1],
                lambda args, kwargs, out, last=last: last.append(hidden_out(out)[:, -1]),
            )
            model(**given)
        found.append(last[-1])
    return torch.cat(found)

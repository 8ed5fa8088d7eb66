"""Where do a plan and feedback part? The final feature's error, as fitted and away from there.

Away is: another target, prompts of the other side, a push at a middle block that undoes half of the
last block's contrast, and a model whose weights were rounded after the fit. Errors are at the last
token of prompts of no fit, in natural units: where the feature moved to from where the bare model
has it, which is rounded alike and is not pushed, minus the target.
"""

import copy
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from parts import Cell, Parts
from torch import Tensor, nn
from tracking import BATCH, Subject, subject

from steersman.methods import METHODS
from steersman.plant import HookSet, hidden_in, hidden_out, locate, with_hidden
from steersman.steering import Steering


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour of the wind tunnel, and every model of the public ones."""
    return {name: partial(_cells, config, name) for name in config["behaviours"] + config["models"]}


def _cells(config: dict[str, Any], name: str) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    one, cells = subject(config, name), []
    for method in config["methods"]:
        steering = one.fit(METHODS[method]())
        for condition in config["conditions"]:
            for way in config["ways"]:
                if method in way.get("methods", config["methods"]):
                    error = _errors(one, steering, condition, way["attach"])
                    cells.append(
                        {
                            "subject": name,
                            "method": method,
                            "condition": condition["name"],
                            "way": way["name"],
                            "rms": float(error.square().mean().sqrt()),
                            "se": _se_of_rms(error),
                            "mean": float(error.mean()),
                            "spread": float(error.std()),
                        }
                    )
                    shown = "{subject}, {method}, {condition}, {way}: {rms:.3f} +- {se:.3f}"
                    print(shown.format(**cells[-1]), flush=True)
    return cells


def _se_of_rms(error: Float[Tensor, " prompts"]) -> float:
    """By the delta method: the standard error of the mean square, over twice the root."""
    square = error.square()
    return float(square.std() / len(square) ** 0.5 / (2 * square.mean().sqrt()))


def _errors(
    one: Subject, steering: Steering, condition: dict[str, Any], settings: dict[str, Any]
) -> Float[Tensor, " prompts"]:
    target = condition.get("target", 1.0)
    prompts = one.desired if condition.get("side") == "desired" else one.prompts
    model = rounded(one.model, condition["bits"]) if "bits" in condition else one.model
    passes = 2 if settings.get("execution") == "feedback" else 1
    against = condition.get("push", 0.0) * steering.features.contrast[-1]

    def final(steered: bool) -> Float[Tensor, " prompts"]:
        found = []
        for start in range(0, len(prompts), BATCH):
            texts = prompts[start : start + BATCH]
            given = one.tokenizer(texts, return_tensors="pt", padding=True)
            stack: list[Callable[[], AbstractContextManager[Any]]] = [nullcontext]
            if steered:
                attach = partial(steering.attach, model, target, tokens="last", trace=False)
                push = partial(pushed, model, -against, passes, tuple(given.input_ids.shape))
                stack = [partial(attach, **settings), push]
            last: list[Tensor] = []
            with ExitStack() as entered, HookSet() as hooks, torch.no_grad():
                for enter in stack:
                    entered.enter_context(enter())
                after = partial(_keep, last)
                hooks.after(locate(model).modules[-1], after)
                model(input_ids=given.input_ids, attention_mask=given.attention_mask)
            found.append(last[-1][:, -1])
        d = steering.direction
        return (torch.cat(found) @ d.vectors[-1] - d.origin[-1]) / d.norm[-1]

    return final(True) - final(False) - target


def _keep(kept: list[Tensor], args: Any, kwargs: Any, output: Any) -> None:
    kept.append(hidden_out(output))


def pushed(
    model: nn.Module, by: Float[Tensor, "n *feature"], passes: int, shape: tuple[int, ...]
) -> AbstractContextManager[Any]:
    """The last token pushed behind the middle block, in the last of a call's passes.

    Args:
        model: left padded.
        by: what is added.
        passes: how often the steering runs the blocks over the whole batch in a call, the last time
            for the caller.
        shape: of the batch's ids.
    """
    blocks = locate(model)
    seen = [0]

    def push(args: Any, kwargs: Any, output: Any) -> Any:
        if tuple(hidden_in(args, kwargs).shape[:2]) != shape:
            return None
        seen[0] += 1
        if seen[0] % passes:
            return None
        y = hidden_out(output).clone()
        y[:, -1] += by.flatten().to(y)
        return with_hidden(output, y)

    hooks = HookSet()
    hooks.after(blocks.modules[len(blocks) // 2], push)
    return hooks


def rounded(model: Any, bits: int) -> Any:
    """A copy whose blocks' matrices have so many bits an entry, one scale for each output."""
    made, most = copy.deepcopy(model), 2 ** (bits - 1) - 1
    for module in locate(made).modules:
        for weight in module.parameters():
            if weight.ndim == 2:
                scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / most
                weight.data = (weight.data / scale).round() * scale.detach()
    return made

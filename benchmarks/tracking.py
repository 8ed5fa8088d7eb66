"""Is the setpoint reached? The final feature at the prompt's last token and while decoding.

The prompts are undesired examples of other pairs than the fit's, which end at a decision token. The
error is that of the feature after the last block, in natural units: where it moved to from where
the unsteered model has it behind the same tokens, minus the target.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import stories
import torch
from jaxtyping import Float
from parts import Cell, Parts
from torch import Tensor

import steersman as sm
from steersman.methods import METHODS, Method
from steersman.plant import HookSet, hidden_out, locate
from steersman.steering import Steering
from steersman.windtunnel import behaviour, fit_behaviour, load

BATCH = 50


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour of the wind tunnel, and every model of the public ones."""
    return {name: partial(_cells, config, name) for name in config["behaviours"] + config["models"]}


class Subject(NamedTuple):
    """A model, what is asked of it, and prompts of no fit."""

    model: Any
    tokenizer: Any
    fit: Callable[[Method], Steering]
    tuning: list[str]
    prompts: list[str]
    desired: list[str]


def subject(config: dict[str, Any], name: str) -> Subject:
    """A behaviour of the wind tunnel or a public story model, with prompts of no fit."""
    return _story_model(config, name) if name in config["models"] else _behaviour(config, name)


def _behaviour(config: dict[str, Any], name: str) -> Subject:
    model, tokenizer = load()
    fit = partial(fit_behaviour, model, tokenizer, behaviour(name))
    drawn = _drawn(config, behaviour(name).pairs)
    return Subject(model, tokenizer, lambda method: fit(method=method), *drawn)


def _story_model(config: dict[str, Any], name: str) -> Subject:
    model, tokenizer = stories.open_model(name)
    pairs = stories.pairs(config["pairs"], 0)
    drawn = _drawn(config, lambda seed, count: stories.pairs(count, seed, stories.SCORE_NAMES))

    def fitted(method: Method) -> Steering:
        return sm.fit(model, tokenizer, pairs, method=method, progress=False)

    return Subject(model, tokenizer, fitted, *drawn)


def _drawn(config: dict[str, Any], pairs: Callable[[int, int], Any]) -> list[list[str]]:
    """Undesired examples to tune on, others to score on, and the desired ones of their pairs."""
    seed, scored = config["prompt_seed"], pairs(config["prompt_seed"], config["prompts"])
    tuning = pairs(seed + 1, config["tuning_prompts"]).undesired
    return [[str(text) for text in side] for side in (tuning, scored.undesired, scored.desired)]


def _cells(config: dict[str, Any], name: str) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    one, cells = subject(config, name), []
    for way in config["ways"]:
        steering = one.fit(METHODS[way["method"]](**way.get("settings", {})))
        prompts = one.prompts[: way.get("prompts")]
        for target in way.get("targets", config["targets"]):
            settings = dict(way.get("attach", {}))
            if "lambdas" in way:
                settings["lambda_"] = _best_lambda(one, steering, way["lambdas"], target)
            else:
                settings["target"] = target
            seen = observed(one, prompts, steering, settings, config["new_tokens"])
            error = errors(steering, seen, target, settings)
            first, later = error[:, 0], error[:, 1:]
            cells.append(
                {
                    "subject": name,
                    "way": way["name"],
                    "target": target,
                    "prompts": len(prompts),
                    "lambda": settings.get("lambda_"),
                    "rms": _rms(first),
                    "mean": float(first.mean()),
                    "worst": float(first.abs().max()),
                    "spread": float(first.std()),
                    "divergence": float(seen.divergence.mean()),
                    "decoding_rms": _rms(later),
                    "decoding_mean": float(later.mean()),
                    "decoding_rms_by_token": later.square().mean(0).sqrt().tolist(),
                }
            )
            shown = "{subject} {way}, {target}: rms {rms:.3f}, decoding {decoding_rms:.3f}"
            print(shown.format(**cells[-1]), flush=True)
    return cells


def errors(
    steering: Steering, seen: "Observed", target: float, settings: dict[str, Any]
) -> Float[Tensor, "prompts tokens"]:
    """The final feature minus where it was asked to be, in natural units.

    Args:
        steering: whose feature.
        seen: the last block's output, steered and not.
        target: what was asked for.
        settings: how it was attached; an absolute reference asks for a value, not for a change.
    """
    d = steering.direction
    absolute = settings.get("reference") == "absolute" or "lambda_" in settings
    start = d.origin[-1] if absolute else seen.bare @ d.vectors[-1]
    return (seen.steered @ d.vectors[-1] - start) / d.norm[-1] - target


def _best_lambda(subject: Subject, steering: Steering, among: list[float], target: float) -> float:
    """The strength whose final feature is nearest the target on prompts kept for that."""

    def missed(value: float) -> float:
        settings = {"lambda_": value}
        seen = observed(subject, subject.tuning, steering, settings, 0)
        return _rms(errors(steering, seen, target, settings))

    return min(among, key=missed)


def _rms(error: Tensor) -> float:
    return float(error.square().mean().sqrt())


class Observed(NamedTuple):
    """The last block's output from the prompt's last token on, and the divergence there."""

    steered: Float[Tensor, "prompts tokens n"]
    bare: Float[Tensor, "prompts tokens n"]
    divergence: Float[Tensor, " prompts"]


def observed(
    subject: Subject,
    prompts: list[str],
    steering: Steering,
    settings: dict[str, Any],
    new_tokens: int,
) -> Observed:
    """What steering does at each prompt's last token and behind it.

    Tokens are drawn by the steered model; the unsteered one is then run over the same ones.

    Args:
        subject: the model.
        prompts: texts.
        steering: what to attach, from the prompt's last token on.
        settings: how.
        new_tokens: how many are drawn.
    """
    model, found = subject.model, []
    for start in range(0, len(prompts), BATCH):
        given = subject.tokenizer(prompts[start : start + BATCH], return_tensors="pt", padding=True)
        width = given.input_ids.shape[1]
        attached = steering.attach(model, tokens="last", trace=False, **settings)
        with torch.random.fork_rng(), attached, _Last(model) as steered:
            torch.manual_seed(start)
            ids = model.generate(
                input_ids=given.input_ids,
                attention_mask=given.attention_mask,
                do_sample=True,
                top_k=0,
                min_new_tokens=new_tokens + 1,
                max_new_tokens=new_tokens + 1,
                pad_token_id=subject.tokenizer.pad_token_id,
            )[:, :-1]
        mask = torch.cat([given.attention_mask, torch.ones_like(ids[:, width:])], dim=1)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        with _Last(model) as bare, torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        p, b = steered.logits.log_softmax(-1), logits[:, width - 1].log_softmax(-1)
        parts = steered.states[:, width - 1 :], bare.states[:, width - 1 :]
        found.append(Observed(*parts, (p.exp() * (p - b)).sum(-1)))
    return Observed(*(torch.cat(part) for part in zip(*found, strict=True)))


class _Last:
    """Keeps what the last block puts out, inside `with`; hooked last, it sees what was added.

    Steering may run the blocks several times for one call of the model, the call itself last.
    `logits` are those of the last token of the first call.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._newest = torch.empty(0)
        self.logits = torch.empty(0)
        self._parts: list[Tensor] = []
        self._hooks = HookSet()

    def __enter__(self) -> "_Last":
        self._hooks.after(locate(self._model).modules[-1], self._see)
        self._hooks.after(self._model, self._keep)
        return self

    def __exit__(self, *of: object) -> None:
        self._hooks.close()

    def _see(self, args: Any, kwargs: Any, output: Any) -> None:
        self._newest = hidden_out(output).detach()

    def _keep(self, args: Any, kwargs: Any, output: Any) -> None:
        if not self._parts:
            self.logits = output.logits[:, -1]
        self._parts.append(self._newest)

    @property
    def states(self) -> Float[Tensor, "rows tokens n"]:
        """Of all passes, token after token."""
        return torch.cat(self._parts, dim=1)

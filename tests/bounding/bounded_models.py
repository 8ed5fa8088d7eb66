"""What the tests of bounds run on."""

import warnings
from dataclasses import dataclass
from typing import Any

from tiny_models import tiny_model

import steersman as sm
from steersman.control import LTVSystem
from steersman.windtunnel import behaviour, load


@dataclass(frozen=True, eq=False)
class Tiny:
    """A random model: `a` steers it by A-LQR, `f` by feature LQR."""

    model: Any
    tokenizer: Any
    plant: LTVSystem
    prompts: list[str]
    a: sm.Steering
    f: sm.Steering


@dataclass(frozen=True, eq=False)
class Embedded:
    """The embedded model, the same way; prompts are not those of the fit."""

    model: Any
    tokenizer: Any
    plant: LTVSystem
    prompts: list[str]
    a: sm.Steering
    f: sm.Steering


def tiny_case(tokenizer: Any) -> Tiny:
    model = tiny_model("llama").double()
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    pairs = sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]} {words[0]}" for i in range(2, 8)],
        undesired=[f"{words[-i]} {words[-i - 1]} {words[0]}" for i in range(2, 8)],
    )
    prompts = [f"{words[9 + i]} {words[-9 - 2 * i]} {words[0]}" for i in range(12)]
    prompts += [f"{words[-9 - i]} {words[9 + 2 * i]} {words[0]}" for i in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plant = sm.identify(model, tokenizer, pairs.desired, progress=False)
        a, f = (
            sm.fit(model, tokenizer, pairs, method=m, jacobian_prompts=plant, progress=False)
            for m in ("a-lqr", sm.FeatureLQR(q=0.3))
        )
    return Tiny(model, tokenizer, plant, prompts, a, f)


def embedded_case() -> Embedded:
    model, tokenizer = load()
    asked = behaviour("toxicity")
    fitted_on = asked.pairs(0, 40)
    plant = sm.identify(model, tokenizer, fitted_on.desired[:8], progress=False)
    prompts = [str(text) for text in asked.pairs(9, 64).undesired]
    settings = {"jacobian_prompts": plant, "batch_size": 32, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, f = (
            sm.fit(model, tokenizer, fitted_on, method=m, **settings)
            for m in ("a-lqr", "feature-lqr")
        )
    return Embedded(model, tokenizer, plant, prompts, a, f)

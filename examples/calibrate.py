"""How strong may it be? Say what can be afforded, or what is wanted, and get the strength."""

from collections.abc import Sequence
from typing import Any

import steersman as sm
from steersman.windtunnel import behaviour, load

model, tokenizer = load()
sea = behaviour("concepts:sea")
steering = sm.fit(model, tokenizer, sea.pairs(seed=0, count=40), method="feature-lqr")

# Prompts that the fit has not seen. More of them, and longer texts, make the errors smaller.
items = sea.items(seed=1, count=24)
prompts = [item.prompt for item in items]


def about_the_sea(prompts: Sequence[Any], texts: Sequence[str]) -> list[float]:
    """One number a text: whether it brings in the sea."""
    return [sea.judge(item, text)[sea.headline] for item, text in zip(items, texts, strict=True)]


afforded = sm.calibrate(
    steering,
    model,
    tokenizer,
    prompts,
    budget=sm.KL(0.03),
    tolerance=0.1,
    new_tokens=12,
    batch_size=24,
)
print(f"{afforded}\n")
for point in afforded.curve:
    print(f"strength {point.strength:6.3f}   KL {point.value:.4f} +- {point.se:.4f}")

wanted = sm.calibrate(
    steering,
    model,
    tokenizer,
    prompts,
    target=sm.Score(about_the_sea, at_least=0.5),
    tolerance=0.1,
    new_tokens=12,
    batch_size=24,
)
print(f"\n{wanted}")
print(f"\nsteering.attach(model, target={wanted.target:g}) is how to have it")

"""Fit a steering from pairs, attach it, generate, and look at what it did."""

import steersman as sm
from steersman.windtunnel import behaviour, generate, load

model, tokenizer = load()
polite = behaviour("toxicity")
items = polite.items(seed=1, count=100)
prompts = [item.prompt for item in items]


def dialogues() -> tuple[float, str]:
    """Let the model go on from every prompt: the share of abusive dialogues, and one of them."""
    texts = generate(model, tokenizer, prompts, new_tokens=polite.new_tokens, seed=0)
    abusive = [polite.judge(item, text)["toxic"] for item, text in zip(items, texts, strict=True)]
    return sum(abusive) / len(abusive), prompts[0] + texts[0]


steering = sm.fit(model, tokenizer, polite.pairs(seed=0, count=100))
print(steering.summary())

share, text = dialogues()
print(f"\nunsteered, {share:.0%} of the dialogues turn abusive; one of them:\n{text}")

with steering.attach(model, target=1.0) as run:
    share, text = dialogues()
print(f"\nsteered, {share:.0%} do:\n{text}")

trace = run.trace
moved = trace.effort[:, :, trace.steered.any(dim=0)].nanmean(dim=(0, 2))
print("\nlength of what each block was given:", [round(float(u), 3) for u in moved])

"""One batch, a steering and a strength of its own for every prompt."""

import steersman as sm
from steersman.windtunnel import behaviour, generate, load

model, tokenizer = load()
sea, forest = behaviour("concepts:sea"), behaviour("concepts:forest")
to_sea, to_forest = (
    sm.fit(model, tokenizer, wanted.pairs(seed=0, count=60)) for wanted in (sea, forest)
)

opening = sea.items(seed=1, count=1)[0].prompt
rows = [(None, 0.0), (to_sea, 1.0), (to_sea, 2.0), (to_forest, 2.0)]
steerings, targets = [steering for steering, _ in rows], [target for _, target in rows]

with sm.attach(model, steerings, targets):
    texts = generate(model, tokenizer, [opening] * len(rows), new_tokens=30, seed=0)

names = {id(None): "nothing", id(to_sea): "sea", id(to_forest): "forest"}
for (steering, target), text in zip(rows, texts, strict=True):
    print(f"{names[id(steering)]}, target {target}: {opening} {text}\n")

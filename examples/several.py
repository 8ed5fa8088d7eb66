"""Two features in one steering: raise one, hold the other, and see which pulls which."""

import steersman as sm
from steersman.windtunnel import behaviour, generate, load

model, tokenizer = load()
topics = ("sea", "music")
pairs = {topic: behaviour(f"concepts:{topic}").pairs(seed=0, count=60) for topic in topics}
steering = sm.fit(model, tokenizer, pairs, method="feature-lqr", progress=False)
print(steering.coupling, "\n")

opening = behaviour("concepts:sea").items(seed=1, count=1)[0].prompt
targets = {"sea": [0.0, 1.0, 0.0, 1.0], "music": [0.0, 0.0, 1.0, 1.0]}

with steering.attach(model, targets):  # a target a prompt for each feature
    texts = generate(model, tokenizer, [opening] * 4, new_tokens=30, seed=0)

for sea, music, text in zip(*targets.values(), texts, strict=True):
    print(f"sea {sea}, music {music}: {opening} {text}\n")

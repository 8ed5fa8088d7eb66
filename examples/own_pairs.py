"""Fit on pairs of your own, from a JSON-lines file with a desired and an undesired text a line."""

import json
import tempfile
from pathlib import Path

import steersman as sm
from steersman.windtunnel import behaviour, generate, load

model, tokenizer = load()

# The file that you have; here it is written first. The two texts of a line end where the
# behaviour is decided: what comes next is the first word about the sea, or about something else.
story = behaviour("concepts:sea")
drawn = story.pairs(seed=0, count=80)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "pairs.jsonl"
    with path.open("w") as file:
        for desired, undesired in zip(drawn.desired, drawn.undesired, strict=True):
            file.write(json.dumps({"desired": desired, "undesired": undesired}) + "\n")
    pairs = sm.ContrastivePairs.load(path)

print(f"{pairs}; the first desired one:\n{pairs.desired[0]}\n")
steering = sm.fit(model, tokenizer, pairs, method="a-lqr", positions="last")
print(steering.summary())

prompts = [story.items(seed=1, count=1)[0].prompt]
for target in (0.0, 1.0, 2.0):
    with steering.attach(model, target=target):
        text = generate(model, tokenizer, prompts, new_tokens=story.new_tokens, seed=0)[0]
    print(f"\ntarget {target}: {prompts[0]} {text}")

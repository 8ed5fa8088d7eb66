"""Save a steering, load it again, and see that it does the same to the last bit."""

import tempfile
from pathlib import Path

import torch

import steersman as sm
from steersman.windtunnel import behaviour, load

model, tokenizer = load()
truth = behaviour("truthfulness")
steering = sm.fit(model, tokenizer, truth.pairs(seed=0, count=60))
given = tokenizer(truth.items(seed=1, count=1)[0].prompt, return_tensors="pt")


@torch.no_grad()
def logits(which: sm.Steering) -> torch.Tensor:
    """What the steered model says about the next token."""
    with which.attach(model, target=1.0):
        return torch.as_tensor(model(**given).logits[0, -1])


with tempfile.TemporaryDirectory() as folder:
    path = steering.save_pretrained(Path(folder) / "truthful")
    for file in sorted(path.iterdir()):
        print(f"{file.stat().st_size:8d} bytes  {file.name}")
    loaded = sm.Steering.from_pretrained(path)

print(f"\nloaded: {loaded.summary()}")
print(f"made by: {loaded.provenance.libraries}")
print(f"the same logits: {torch.equal(logits(steering), logits(loaded))}")

"""Share the prompts of a plant out to many processes. The script is the same for one.

python examples/many_processes.py
torchrun --nproc-per-node 2 examples/many_processes.py
accelerate launch --multi_gpu --num_processes 2 examples/many_processes.py
"""

import os
import tempfile
import time
from pathlib import Path

import torch.distributed as dist

import steersman as sm
from steersman.windtunnel import behaviour, load

many = int(os.environ.get("WORLD_SIZE", 1)) > 1  # set by whatever starts several of them
if many:
    dist.init_process_group("gloo")  # on GPUs leave the backend out
rank, count = (dist.get_rank(), dist.get_world_size()) if many else (0, 1)

# Every process makes the same calls with the same model and the same examples. On GPUs each loads
# the model onto its own: `model.to(f"cuda:{os.environ['LOCAL_RANK']}")`.
model, tokenizer = load()
pairs = behaviour("refusal").pairs(seed=0, count=100)

with tempfile.TemporaryDirectory() as folder:
    started = time.perf_counter()
    plant = sm.identify(
        model,
        tokenizer,
        pairs.desired[:12],
        checkpoint=Path(folder) / "plant.safetensors",  # the first process writes it
    )
    seconds = time.perf_counter() - started

# The states are read by every process, so each has the whole steering.
steering = sm.fit(model, tokenizer, pairs, jacobian_prompts=plant)

if rank == 0:
    print(steering.summary())
    print(f"12 prompts identified by {count} in {seconds:.1f} s, |A| = {float(plant.A.norm()):.4f}")
if many:
    dist.destroy_process_group()

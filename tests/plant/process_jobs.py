"""What the processes of a test do together: jobs of a rank and of plain values."""

import contextlib
import io
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from tiny_models import BLOCKS, WIDTH, tiny_model, tiny_tokenizer

import steersman as sm
from steersman import fitting  # noqa: F401  imported before the processes are forked
from steersman.plant import HookSet, average, checkpoint, locate
from steersman.plant import identify as identify_blocks
from steersman.plant.processes import Processes

PROMPTS = [
    "the cat sat on the mat",
    "the bird",
    "the dog said the cat ran under a tree",
    "a happy dog",
    "the house is red and warm",
]
TOKENIZER = tiny_tokenizer(pad=True)
COLUMNS = torch.randn(WIDTH, 3, generator=torch.Generator().manual_seed(0))
PATIENCE = 2.0
"""Seconds that a process waits for one that is silent."""
PAIRS = sm.ContrastivePairs(
    desired=["happy warm cat", "good red cat", "big warm cat"],
    undesired=["sad cold cat", "bad blue cat", "small cold cat"],
)


def model_with_nan_at(word: str) -> Any:
    """A model whose states are not finite wherever that word stands; its hash does not see it."""
    model = tiny_model("llama")
    model.model.embed_tokens.weight.data[TOKENIZER.convert_tokens_to_ids(word), 1] = torch.nan
    return model


def found(model: Any, prompts: Any = PROMPTS, **settings: Any) -> np.ndarray:
    plant = identify_blocks(model, TOKENIZER, prompts, **{"progress": False, **settings})
    assert plant.prompts == len(prompts)
    return plant.A.numpy()


def identified(rank: int, name: str, prompts: Any = PROMPTS, file: Path | None = None) -> Any:
    return found(tiny_model(name), prompts, checkpoint=file)


def identified_from_an_estimate(rank: int) -> tuple[np.ndarray, str]:
    """The plant, and what was shown."""
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        plant = sm.identify(tiny_model("llama"), TOKENIZER, PROMPTS)
    return plant.A.numpy(), shown.getvalue()


def identified_by_unlike_processes(rank: int, what: str) -> Any:
    if what == "model":
        return found(tiny_model("llama", seed=rank))
    return found(tiny_model("llama"), PROMPTS[: 3 + rank])


def identified_up_to_a_word(rank: int, word: str, file: Path) -> Any:
    return found(model_with_nan_at(word), checkpoint=file)


def identified_up_to_a_death(rank: int, who: int, after: int, file: Path) -> Any:
    """One process is killed once its second block has run so many times.

    The checkpoint is written after every block.
    """
    checkpoint._SHARE = float("inf")
    runs = [0]

    def count(args: Any, kwargs: Any) -> None:
        runs[0] += 1
        if rank == who and runs[0] > after:
            os.kill(os.getpid(), signal.SIGKILL)

    model = tiny_model("llama")
    with HookSet() as hooks:
        hooks.before(locate(model).modules[1], count)
        return found(model, checkpoint=file)


def identified_beside_a_silent_one(rank: int, told: Path) -> Any:
    """The second process stops in the middle, until the first has given it up."""
    group = dist.new_group(backend="gloo", timeout=timedelta(seconds=PATIENCE))

    def wait(args: Any, kwargs: Any) -> None:
        while rank == 1 and not told.exists():
            time.sleep(0.01)

    model = tiny_model("llama")
    try:
        with HookSet() as hooks:
            hooks.before(locate(model).modules[1], wait)
            return found(model, group=group)
    finally:
        told.touch()


def identified_alone(rank: int) -> Any:
    """Only the first process makes the call, with a group of itself."""
    alone = dist.new_group([0])
    return found(tiny_model("llama"), group=alone) if rank == 0 else None


def identified_in_a_group_of_others(rank: int) -> Any:
    return found(tiny_model("llama"), group=dist.new_group([0]))


def identified_in_a_data_parallel_wrapper(rank: int) -> Any:
    wrapped = torch.nn.parallel.DistributedDataParallel(tiny_model("llama"))
    return found(wrapped.eval())


def identified_with_weights_spread_out(rank: int, file: Path | None = None) -> tuple[int, Any]:
    """Every process holds a part of each weight, and all run every prompt together."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = tiny_model("llama")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in locate(model).modules:
        fully_shard(block, mesh=mesh)
    return Processes.of(model).count, found(model, checkpoint=file)


def products(rank: int, prompts: Any = PROMPTS) -> Any:
    """`A'w` and `A v` of every block; the columns that others than the first give do not count."""
    plant = average(tiny_model("llama"), TOKENIZER, prompts)
    w = COLUMNS * (1 + rank)
    return np.stack([f(t, w).numpy() for t in range(BLOCKS) for f in (plant.vjp, plant.jvp)])


def in_bfloat16(rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices and products of a model in bfloat16."""
    model = tiny_model("gpt2").to(torch.bfloat16)
    return found(model), average(model, TOKENIZER, PROMPTS).vjp(0, COLUMNS).numpy()


def unlike_products(rank: int) -> Any:
    plant = average(tiny_model("llama"), TOKENIZER, PROMPTS)
    return plant.vjp(rank, COLUMNS).numpy()


def products_that_one_cannot_take(rank: int) -> Any:
    plant = average(tiny_model("llama"), TOKENIZER, PROMPTS)
    if rank == 1:
        plant.own.runs[0].blocks.modules[0].mlp.down_proj.weight.data[0] = torch.nan
    return plant.vjp(0, COLUMNS).numpy()


def fitted(rank: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    steering = sm.fit(tiny_model("llama"), TOKENIZER, PAIRS, method=method, progress=False)
    return steering.gains.numpy(), steering.plan.numpy()

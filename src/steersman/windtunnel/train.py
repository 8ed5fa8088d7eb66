"""Train the embedded model: `python -m steersman.windtunnel.train --out DIR`.

It takes about 18 minutes on two processor cores, and uses a GPU where there is one.
Everything is drawn from `--seed`, a checkpoint is written every few minutes, and a run that was
interrupted goes on from it when the same command is given again.
"""

import argparse
import itertools
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from steersman.windtunnel.corpus import corpus
from steersman.windtunnel.tokenizer import build_tokenizer

Batch = tuple[Tensor, Tensor, Tensor]
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out of a training run."""

    seed: int = 0
    steps: int = 3800
    horizon: int = 7000
    cooldown: int = 1200
    batch: int = 32
    blocks: int = 6
    width: int = 192
    heads: int = 6
    mlp: int = 512
    peak_rate: float = 1.5e-3
    warmup: int = 200
    decay: float = 0.05
    clip: float = 1.0
    drop: float = 0.2

    def rate(self, step: int) -> float:
        """Learning rate: linear warm-up, a cosine over the horizon, a linear end to nothing."""
        if step < self.warmup:
            return self.peak_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.horizon - self.warmup)
        rate = self.peak_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        return rate * min(1.0, (self.steps - step) / self.cooldown)

    def kept(self, step: int) -> list[int]:
        """Blocks that run at a step: until the cooldown each is left out now and then.

        So no block may rely on the one before it having run (stochastic depth, Huang et al. 2016);
        the cooldown, with all of them, makes one model of what was learnt.
        """
        drawn = random.Random(f"{self.seed} {step}")
        share = self.drop if step < self.steps - self.cooldown else 0.0
        kept = [block for block in range(self.blocks) if drawn.random() >= share]
        return kept or [drawn.randrange(self.blocks)]


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained model of the recipe's size."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.width,
            intermediate_size=recipe.mlp,
            num_hidden_layers=recipe.blocks,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, skip: int) -> Iterator[Batch]:
    """Batches of whole documents of like length, right-padded; `skip` of them already used."""
    stream, group, index = corpus(recipe.seed), 32, 0
    while True:
        texts = [d.text for d in itertools.islice(stream, recipe.batch * group)]
        if index + group <= skip:
            index += group
            continue
        rows = [[*ids, tokenizer.eos_token_id] for ids in tokenizer(texts).input_ids]
        rows.sort(key=len)
        order = torch.randperm(group, generator=torch.Generator().manual_seed(index)).tolist()
        for place in order:
            index += 1
            if index > skip:
                yield _pad(rows[place * recipe.batch : (place + 1) * recipe.batch], tokenizer)


def _pad(rows: list[list[int]], tokenizer: PreTrainedTokenizerFast) -> Batch:
    length = max(map(len, rows))
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask, ids.masked_fill(mask == 0, -100)


def train(
    recipe: Recipe,
    out: Path,
    device: str,
    *,
    every: float = 120.0,
    report: Callable[[int, float], None] | None = None,
) -> LlamaForCausalLM:
    """Train to the end of the recipe, resuming from `out` where a checkpoint lies there.

    Args:
        recipe: what to train.
        out: where checkpoints are kept.
        device: "cpu" or "cuda".
        every: seconds between checkpoints.
        report: told the step and its loss after each one.
    """
    tokenizer = build_tokenizer()
    model = build_model(recipe, tokenizer)
    torch.nn.Module.to(model, device)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.peak_rate, betas=(0.9, 0.98), weight_decay=recipe.decay
    )
    first = _resume(out, recipe, model, optimizer)
    saved = time.monotonic()
    stream = batches(recipe, tokenizer, first)
    for step in range(first, recipe.steps):
        loss = _step(model, optimizer, recipe, step, next(stream))
        if time.monotonic() - saved > every:
            saved = time.monotonic()
            _checkpoint(out, recipe, step + 1, model, optimizer)
        if report is not None:
            report(step, loss)
    _checkpoint(out, recipe, recipe.steps, model, optimizer)
    model.train(False)
    return model


def _step(
    model: LlamaForCausalLM,
    optimizer: torch.optim.AdamW,
    recipe: Recipe,
    step: int,
    batch: Batch,
) -> float:
    ids, mask, labels = (part.to(model.device) for part in batch)
    for settings in optimizer.param_groups:
        settings["lr"] = recipe.rate(step)
    with only(model, recipe.kept(step)), torch.autocast(model.device.type, torch.bfloat16):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return float(loss.detach())


@contextmanager
def only(model: LlamaForCausalLM, blocks: Sequence[int]) -> Iterator[None]:
    """Run the model with only these of its blocks."""
    every = model.model.layers
    model.model.layers = torch.nn.ModuleList(every[block] for block in blocks)
    try:
        yield
    finally:
        model.model.layers = every


def _checkpoint(
    out: Path, recipe: Recipe, step: int, model: LlamaForCausalLM, optimizer: torch.optim.AdamW
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: weight.detach() for name, weight in model.named_parameters()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    about = {"recipe": json.dumps(asdict(recipe)), "step": str(step)}
    draft = out / "checkpoint.draft"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft, about)
    draft.replace(out / CHECKPOINT)


def _resume(
    out: Path, recipe: Recipe, model: LlamaForCausalLM, optimizer: torch.optim.AdamW
) -> int:
    if not (out / CHECKPOINT).exists():
        return 0
    with safe_open(out / CHECKPOINT, "pt") as found:
        about = found.metadata()
        tensors = {name: found.get_tensor(name) for name in found.keys()}  # noqa: SIM118
    if json.loads(about["recipe"]) != asdict(recipe):
        raise SystemExit(f"{out / CHECKPOINT} is of another recipe; give another --out")
    state: dict[int, dict[str, Tensor]] = {}
    for name in [name for name in tensors if name.startswith("optimizer.")]:
        _, index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensors.pop(name)
    model.load_state_dict(tensors, strict=False)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(about["step"])


def export(model: LlamaForCausalLM, recipe: Recipe, out: Path) -> None:
    """Write the model in float16 and its tokenizer as `from_pretrained` takes them."""
    torch.nn.Module.half(model)
    model.save_pretrained(out)
    build_tokenizer().save_pretrained(out)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")


def progress_printer(steps: int) -> Callable[[int, float], None]:
    """Reports to the terminal how far training is and how long it still takes."""
    started, first = time.monotonic(), None

    def report(step: int, loss: float) -> None:
        nonlocal first
        first = step if first is None else first
        if step % 25 == 0:
            spent = time.monotonic() - started
            left = spent / (step - first + 1) * (steps - step)
            sys.stderr.write(f"step {step} of {steps}: loss {loss:.4f}, {left:.0f} s to go\n")

    return report


def main() -> None:
    """Train the embedded model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and model")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--blocks", type=int, default=Recipe.blocks)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    recipe = Recipe(seed=given.seed, steps=given.steps, blocks=given.blocks)
    model = train(recipe, given.out, given.device, report=progress_printer(recipe.steps))
    export(model, recipe, given.out / "model")


if __name__ == "__main__":
    main()

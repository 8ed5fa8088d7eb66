"""Steer small public story models from sadness to happiness, and count words.

What counts is the share of happy words among all happy and sad words of the continuations.
"""

import contextlib
import warnings
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from parts import Cell, Parts
from stories import feelings, open_model, pairs, prompts

import steersman as sm
from steersman.windtunnel.scores import mean_score


def parts(config: dict[str, Any]) -> Parts:
    """Every model."""
    return {one["name"]: partial(_cells, config, **one) for one in config["models"]}


def _cells(config: dict[str, Any], name: str, targets: list[float]) -> list[Cell]:
    """One cell for each target."""
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = open_model(name)
    steering = sm.fit(model, tokenizer, pairs(config["pairs"], 0), positions="all", progress=False)
    print(steering.summary(), flush=True)
    cells = []
    for target in targets:
        seeds = range(config["seeds"])
        texts = [_continued(config, model, tokenizer, steering, target, seed) for seed in seeds]
        cells.append({"model": name, "target": target, **_counted(texts)})
        print(_line(cells[-1]), flush=True)
    return cells


def _continued(
    config: dict[str, Any],
    model: Any,
    tokenizer: Any,
    steering: sm.Steering,
    target: float,
    seed: int,
) -> list[str]:
    given = tokenizer(prompts(), return_tensors="pt", padding=True)
    width = given.input_ids.shape[1]
    room = model.config.max_position_embeddings - width - 1
    steered = steering.attach(model, target, trace=False) if target else contextlib.nullcontext()
    torch.manual_seed(seed)
    with steered:
        made = model.generate(
            **given,
            do_sample=True,
            top_k=0,
            temperature=config["temperature"],
            num_return_sequences=config["samples"],
            max_new_tokens=min(config["new_tokens"], room),
            pad_token_id=tokenizer.pad_token_id,
        )
    return list(tokenizer.batch_decode(made[:, width:], skip_special_tokens=True))


def _counted(texts: list[list[str]]) -> Cell:
    counts = [feelings(one) for one in texts]
    return {
        "happy_words_per_text": asdict(
            mean_score([h / len(t) for (h, _), t in zip(counts, texts, strict=True)])
        ),
        "sad_words_per_text": asdict(
            mean_score([s / len(t) for (_, s), t in zip(counts, texts, strict=True)])
        ),
        "happy_share": asdict(mean_score([h / max(1, h + s) for h, s in counts])),
        "counts_by_seed": counts,
        "examples": texts[0][:2],
    }


def _line(cell: Cell) -> str:
    shown = "  ".join(
        f"{key} {cell[key]['mean']:.3f} +- {cell[key]['se']:.3f}"
        for key in ("happy_words_per_text", "sad_words_per_text", "happy_share")
    )
    return f"{cell['model']:20} target {cell['target']:5.2f}  {shown}"

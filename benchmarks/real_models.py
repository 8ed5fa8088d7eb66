"""Steer small public story models from sadness to happiness, and count words.

The models are TinyStories ones in the folder `$STEERSMAN_SHARED/models`. Pairs are three happy or
three sad sentences before one neutral opening; names and openings of the scoring prompts are
others. What counts is the share of happy words among all happy and sad words of the continuations.
"""

import contextlib
import os
import random
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from parts import Cell, Parts

import steersman as sm
from steersman.loading import load
from steersman.windtunnel.scores import mean_score

MODELS = Path(os.environ.get("STEERSMAN_SHARED", Path(__file__).parents[2] / "shared")) / "models"
_HAPPY = "happy smiled smile laughed laugh fun joy glad loved love excited hugged hug play played"
_SAD = "sad cried cry tears scared afraid hurt lonely angry upset sorry lost alone broke broken mad"
HAPPY, SAD = frozenset(_HAPPY.split()), frozenset(_SAD.split())
HAPPY_LINES = (
    "{name} was very happy.",
    "{name} laughed and laughed.",
    "{name} found a toy and was glad.",
    "{name} felt loved and safe.",
    "{name} had fun and began to smile.",
    "The party was fun and {name} was excited.",
)
SAD_LINES = (
    "{name} was very sad.",
    "{name} cried and cried.",
    "{name} lost the toy and was upset.",
    "{name} felt alone and scared.",
    "{name} hurt and began to cry.",
    "The toy broke and {name} was mad.",
)
ENDINGS = (
    "Then {name} went to the",
    "One day, {name} saw a",
    "{name} and a friend went to the",
    "The next day, {name} was",
)
FIT_NAMES = ("Lily", "Tom", "Mia", "Ben")
SCORE_NAMES = ("Sue", "Max", "Anna", "Sam")
WHO = ("girl", "boy", "cat", "dog")


def parts(config: dict[str, Any]) -> Parts:
    """Every model."""
    return {one["name"]: partial(_cells, config, **one) for one in config["models"]}


def _cells(config: dict[str, Any], name: str, targets: list[float]) -> list[Cell]:
    """One cell for each target."""
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load(str(MODELS / name))
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    steering = sm.fit(model, tokenizer, pairs(config["pairs"], 0), positions="all", progress=False)
    print(steering.summary(), flush=True)
    cells = []
    for target in targets:
        seeds = range(config["seeds"])
        texts = [_continued(config, model, tokenizer, steering, target, seed) for seed in seeds]
        cells.append({"model": name, "target": target, **_counted(texts)})
        print(_line(cells[-1]), flush=True)
    return cells


def pairs(count: int, seed: int, names: Sequence[str] = FIT_NAMES) -> sm.ContrastivePairs:
    """Happy and sad beginnings that are alike but for the feeling."""
    draw = random.Random(seed)
    sides: tuple[list[str], list[str]] = ([], [])
    for _ in range(count):
        name, ending = draw.choice(names), draw.choice(ENDINGS)
        chosen = draw.sample(range(len(HAPPY_LINES)), 3)
        for side, lines in zip(sides, (HAPPY_LINES, SAD_LINES), strict=True):
            text = " ".join([*(lines[index] for index in chosen), ending])
            side.append(text.format(name=name))
    return sm.ContrastivePairs(desired=sides[0], undesired=sides[1])


def prompts() -> list[str]:
    """Neutral openings."""
    return [
        f"Once upon a time, there was a {who} named {name}. One day, {name}"
        for who in WHO
        for name in SCORE_NAMES
    ]


def feelings(texts: list[str]) -> tuple[int, int]:
    """How many happy and how many sad words."""
    words = [word for text in texts for word in re.findall(r"[a-z]+", text.lower())]
    return sum(word in HAPPY for word in words), sum(word in SAD for word in words)


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

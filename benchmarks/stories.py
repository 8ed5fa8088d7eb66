"""Small public story models, and what they are steered by: sad and happy beginnings, and words.

The models are TinyStories ones in the folder `$STEERSMAN_SHARED/models`. Pairs are three happy or
three sad sentences before one neutral opening; names and openings of the scoring prompts are
others.
"""

import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import steersman as sm
from steersman.loading import load

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


def open_model(name: str) -> tuple[Any, Any]:
    """A model and its tokenizer, which pads on the left."""
    model, tokenizer = load(str(MODELS / name))
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return model, tokenizer


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

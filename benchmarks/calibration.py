"""Does a calibrated strength keep its promise on prompts that it was not calibrated on?

Every repetition has new pairs to fit on, new prompts to calibrate on and new ones to check on, of
the wind tunnel's scoring split, and new random numbers. What was asked for is compared with what
the check shows.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from parts import Cell, Parts
from subjects import judge_of

import steersman as sm
from steersman.windtunnel import Behaviour, behaviour, fit_behaviour, load, measure
from steersman.windtunnel.scores import mean_score

FIT, CALIBRATE, CHECK = 0, 2000, 1000
"""Where the seeds of each set of prompts begin."""


def parts(config: dict[str, Any]) -> Parts:
    """Every behaviour, aim and seed."""
    return {
        f"{one['behaviour']}, {aim}, seed {seed}": partial(_cells, config, one, aim, seed)
        for one in config["behaviours"]
        for aim in ("kl", "score")
        for seed in range(config["seeds"])
    }


def _cells(config: dict[str, Any], one: dict[str, Any], aim: str, seed: int) -> list[Cell]:
    warnings.simplefilter("ignore", UserWarning)
    model, tokenizer = load()
    asked = behaviour(one["behaviour"])
    steering = fit_behaviour(model, tokenizer, asked, seed=FIT + seed)
    items = asked.items(CALIBRATE + seed, config["prompts"][aim])
    found = sm.calibrate(
        steering,
        model,
        tokenizer,
        [item.prompt for item in items],
        budget=sm.KL(config["kl"]) if aim == "kl" else None,
        target=sm.Score(judge_of(asked, items), **one["score"]) if aim == "score" else None,
        new_tokens=asked.new_tokens,
        batch_size=128,
        seed=CALIBRATE + seed,
        progress=False,
    )
    print(found, flush=True)
    return [_checked(config, asked, steering, found, aim, seed)]


def _checked(
    config: dict[str, Any],
    asked: Behaviour,
    steering: sm.Steering,
    found: sm.Calibration,
    aim: str,
    seed: int,
) -> Cell:
    model, tokenizer = load()
    attached = steering.attach(model, found.strength, trace=False)
    seen = measure(
        model, tokenizer, asked, attached, seed=CHECK + seed, count=config["check"], knowledge=1
    )
    check = seen.divergence if aim == "kl" else seen.scores[asked.headline]
    cell = {
        "behaviour": asked.name,
        "aim": aim,
        "asked": str(found.aim),
        "seed": seed,
        "strength": found.strength,
        "interval": found.interval,
        "calibrated": {"mean": found.value, "se": found.se},
        "check": asdict(check),
        "met": found.met,
        "notes": list(found.notes),
        "evaluations": len(found.curve),
        "score": seen.scores[asked.headline].mean,
        "divergence": seen.divergence.mean,
        "grammaticality": seen.grammaticality.mean,
    }
    print({key: cell[key] for key in ("behaviour", "aim", "check")}, flush=True)
    return cell


def summary(config: dict[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """For every behaviour and aim: what was asked for, and what the check showed over seeds.

    Args:
        config: what was run.
        cells: what came out, of every seed.
    """
    rows = []
    for name in dict.fromkeys((cell["behaviour"], cell["aim"]) for cell in cells):
        mine = [cell for cell in cells if (cell["behaviour"], cell["aim"]) == name]
        rows.append(
            {
                "behaviour": name[0],
                "aim": name[1],
                "asked": mine[0]["asked"],
                **{
                    key: asdict(mean_score([float(cell[key]) for cell in mine]))
                    for key in ("strength", "score", "divergence", "grammaticality", "evaluations")
                },
                "calibrated": asdict(mean_score([cell["calibrated"]["mean"] for cell in mine])),
                "check": asdict(mean_score([cell["check"]["mean"] for cell in mine])),
                "distance_in_standard_errors": [
                    (cell["check"]["mean"] - cell["calibrated"]["mean"])
                    / (cell["check"]["se"] ** 2 + cell["calibrated"]["se"] ** 2) ** 0.5
                    for cell in mine
                ],
            }
        )
    return rows

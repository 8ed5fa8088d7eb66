"""How nearly linear the blocks are, and how alike their Jacobians are from prompt to prompt."""

from typing import TYPE_CHECKING, Any

import torch

from steersman.evaluation.scores import Score
from steersman.local_linearity import LinearityReport, linearity
from steersman.local_linearity.means import over_pairs
from steersman.local_linearity.steps import RANDOM
from steersman.reproduction.alqr.sources import PAPER, QUOTED
from steersman.reproduction.bench import Bench
from steersman.reproduction.found import Found, Line
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.published import Published
from steersman.reproduction.sources import PROMPTS
from steersman.reproduction.statistics import exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIMILARITY, CHANCE, MISSED, IDENTITY = "similarity", "chance", "missed", "identity"
_SOME = "several models"
_BLOCKS = ("all blocks", "early blocks", "middle blocks", "late blocks")
_NUMBERS = "linearity.json"


def _measured(bench: Bench) -> Found:
    kept = bench.out / _NUMBERS
    if kept.exists():
        report = LinearityReport.from_json(kept)
    else:
        prompts = bench.sources.prompts(bench.sizes.count)
        report = linearity(
            *(bench.model, bench.tokenizer, prompts), chunk=bench.chunk, progress=bench.progress
        )
        report.to_json(kept)
    lines = [
        Line(name, name, _values(report, blocks))
        for name, blocks in zip(_BLOCKS, _parts(report), strict=True)
        if len(blocks)
    ]
    told = (
        f"{len(report.domains)} prompts of {len(set(report.domains))} domains that end in "
        f"{len(set(report.last))} different tokens; the {report.jacobian.rank} leading of "
        f"{report.n} directions are compared.",
        f"Missed: the share of a block's answer to a step of "
        f"{float(report.remainders.scales[report.shown_scale()]):g} of the state's length that "
        "the linear plant does not foretell.",
    )
    return Found(tuple(lines), told, {"similarity": _curves(report)})


def _parts(report: LinearityReport) -> tuple[range, ...]:
    """All blocks after the first, which reads the embedding, and their thirds."""
    start, end = report.start, report.blocks
    third = (end - start) / 3
    cuts = [start, start + round(third), start + round(2 * third), end]
    return (range(start, end), *(range(a, b) for a, b in zip(cuts, cuts[1:], strict=False)))


def _values(report: LinearityReport, blocks: range) -> dict[str, Score]:
    chosen = list(blocks)
    different = ~torch.eye(len(report.domains), dtype=torch.bool)
    alike = over_pairs(report.jacobian.similarity[chosen].mean(dim=0), different)
    found, scale = report.remainders, report.shown_scale()
    own, identity = (
        mean(values[found.kinds.index(RANDOM), :, chosen, scale].nanmean(dim=1).tolist())
        for values in (found.own, found.identity)
    )
    return {
        SIMILARITY: exact(float(alike.mean), float(alike.se), len(report.domains)),
        CHANCE: exact(float(report.jacobian.chance[chosen].mean())),
        MISSED: own,
        IDENTITY: identity,
    }


def _curves(report: LinearityReport) -> dict[str, Any]:
    """By group of pairs the similarity at every block, and what chance makes of it."""
    groups = report.similarity(report.jacobian).items()
    return {
        "groups": {name: [one.mean.tolist(), one.se.tolist()] for name, one in groups},
        "chance": report.jacobian.chance.tolist(),
    }


def _figure(found: Found) -> "Figure":
    from steersman.plots import similarity_figure

    known = found.more["similarity"]
    groups = {name: (mean, se) for name, (mean, se) in known["groups"].items()}
    return similarity_figure({"A": (groups, known["chance"])})


ITEM = Item(
    name="local-linearity",
    title="Local linearity",
    shows=(
        "How alike the leading left singular directions of two prompts' Jacobians are, block by "
        "block, within and across kinds of text: one plant for many prompts."
    ),
    needs=((PROMPTS,),),
    sizes=Sizes(50),
    work="the Jacobians of every block at 50 prompts, and 21 steps from each",
    measures=(
        Measure(SIMILARITY, "similarity", 1.0, 2),
        Measure(CHANCE, "by chance", 1.0, 2),
        Measure(MISSED, "missed by the own Jacobian, %", 100.0, 1),
        Measure(IDENTITY, "missed by the identity, %", 100.0, 1),
    ),
    measure=_measured,
    published=(
        Published(SIMILARITY, _BLOCKS[0], _SOME, 0.5, QUOTED, True, 0.8),
        Published(SIMILARITY, _BLOCKS[1], _SOME, 0.8, QUOTED, True),
        Published(SIMILARITY, _BLOCKS[2], _SOME, 0.5, QUOTED, True),
        Published(SIMILARITY, _BLOCKS[3], _SOME, 0.8, QUOTED, True),
    ),
    unknown=(
        "The maps themselves, and which models these numbers are of; they are told as typical."
    ),
    differs=(
        "Without prompts of your own (--data prompts=FILE) they are of the wind tunnel, or short "
        "English texts of four domains; the paper's are of five data sets.",
        f"Chance, and what the identity misses, are ours: {PAPER} compares with Gaussian "
        "directions of equal weight.",
        "Early, middle and late blocks are thirds of those after the first.",
    ),
    sized=(),
    figure=_figure,
    caption=(
        "Similarity of the leading directions of two prompts' Jacobians, block by block, with "
        "jackknife standard errors over prompts, and what chance makes of the same spectra."
    ),
)
"""The figure of local linearity."""

"""The findings in words and numbers, for a terminal and for a page."""

from collections.abc import Iterable
from math import floor, isfinite, log10
from typing import TYPE_CHECKING

from torch import Tensor

from steersman.control import linear_range
from steersman.local_linearity.means import Mean, over_pairs, over_prompts
from steersman.local_linearity.steps import FEATURE, RANDOM

if TYPE_CHECKING:
    from steersman.local_linearity.result import LinearityReport
    from steersman.local_linearity.spectra import Spectra

MATRICES = ("A", "A − I")
"""What the two matrices are called on the page."""
HEADINGS = {
    "own": "own A_t",
    "by_domain": "mean of domain",
    "by_token": "mean of token",
    "identity": "identity",
    "increment": "own, of increment",
}
"""What the columns of the summary are called."""

_TENTH = 0.1


def missed(report: "LinearityReport") -> dict[str, dict[str, Mean]]:
    """By kind of step and plant, the share of a change that is missed at about a tenth of |x|.

    The mean over the blocks after the first and over prompts. "increment" is what the prompt's own
    Jacobian misses of what the block itself adds.
    """
    scale = report.shown_scale()
    found = report.remainders.at(scale)
    found["increment"] = report.remainders.own_of_increment[..., scale]
    means = {name: report.later(values) for name, values in found.items()}
    return {
        kind: {name: Mean(mean.mean[k], mean.se[k]) for name, mean in means.items()}
        for k, kind in enumerate(report.remainders.kinds)
    }


def alike(report: "LinearityReport", spectra: "Spectra") -> dict[str, Mean]:
    """The similarity of each group of pairs, its mean over the blocks after the first."""
    later = spectra.similarity[report.start :].mean(dim=0)
    return {name: over_pairs(later, pairs) for name, pairs in report.groups().items()}


def by_chance(report: "LinearityReport", spectra: "Spectra") -> float:
    """What chance makes of the spectra, its mean over the blocks after the first."""
    return float(spectra.chance[report.start :].mean())


def blocks_meant(report: "LinearityReport") -> str:
    """Which blocks the means are over."""
    last = report.blocks - 1
    return f"blocks {report.start} to {last}" if last > report.start else f"block {last}"


def said(value: float | Tensor) -> str:
    """A number with two digits."""
    number = float(value)
    if not isfinite(number):
        return "not known"
    return f"{number:.2f}" if abs(number) >= _TENTH else f"{number:.2g}"


def said_with_error(mean: Mean, sign: str = "+-") -> str:
    """A mean with its standard error, to the first digit of that, where it is known."""
    value, error = float(mean.mean), float(mean.se)
    if not isfinite(value) or not isfinite(error) or error <= 0:
        return said(value)
    digits = max(0, -floor(log10(error)))
    return f"{value:.{digits}f} {sign} {error:.{digits}f}"


def summary(report: "LinearityReport") -> str:
    """The findings in a few lines for a person."""
    return "\n".join([_about(report), *_remainders(report), *_spectra(report), *_alike(report)])


def findings(report: "LinearityReport") -> tuple[str, ...]:
    """The findings in sentences, a paragraph each."""
    kinds = missed(report)
    kind = FEATURE if FEATURE in kinds else RANDOM
    found, scale = kinds[kind], float(report.remainders.scales[report.shown_scale()])
    step = "along the feature" if kind == FEATURE else "in a random direction"
    linear = (
        f"After a step {step}, {scale:g} of the state's length, a block's own Jacobian misses "
        f"{_percent(found['own'])} of the block's answer. The identity, which is the residual "
        f"connection alone, misses {_percent(found['identity'])}; so of what the blocks themselves "
        f"add, the Jacobian misses {_percent(found['increment'])}."
    )
    others = [
        f"{_percent(found[name])} averaged over {over}"
        for name, over in (
            ("by_domain", "the other prompts of the domain"),
            ("by_token", "those that end in the same token, where there are any"),
        )
        if isfinite(float(found[name].mean))
    ]
    carried = f"The Jacobians of other prompts in its place miss {' and '.join(others)}."
    return (linear, carried, _likeness(report)) if others else (linear, _likeness(report))


def table(report: "LinearityReport") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings, and what is known of each block, as texts."""
    found, scale = report.remainders, report.shown_scale()
    own = over_prompts(found.own[..., scale], axis=1).mean
    increment = over_prompts(found.own_of_increment, axis=1).mean[found.kinds.index(RANDOM)]
    ranges = linear_range(found.scales, increment, _TENTH)
    shown = f"{float(found.scales[scale]):g}"
    headings = (
        "block",
        "|x|",
        "|A|",
        "radius of A",
        "|A − I|",
        *(f"{kind}, {shown}" for kind in found.kinds),
        "tenth missed at",
    )
    columns = (
        found.size.mean(dim=0),
        report.jacobian.norm.mean(dim=0),
        report.jacobian.radius.mean(dim=0),
        report.increment.norm.mean(dim=0),
    )
    rows = [
        (
            str(t),
            *(f"{float(column[t]):.3g}" for column in columns),
            *(said(values[t]) for values in own),
            _range(float(ranges[t]), found.scales),
        )
        for t in range(report.blocks)
    ]
    return headings, rows


def facts(report: "LinearityReport") -> list[tuple[str, str]]:
    """What was measured on what."""
    domains = list(dict.fromkeys(report.domains))
    counted = ", ".join(f"{name} ({report.domains.count(name)})" for name in domains)
    spectra = report.jacobian
    return [
        ("model", f"{report.model}, {report.blocks} blocks, n = {report.n}"),
        ("prompts", counted),
        ("last tokens", f"{len(set(report.last))} different"),
        ("directions compared", f"{spectra.rank} of {report.n}"),
        ("chance, flat spectra", f"{report.flat_chance:.3f} in closed form"),
        ("time", f"{report.seconds:.0f} s"),
    ]


def _about(report: "LinearityReport") -> str:
    domains, ends = len(set(report.domains)), len(set(report.last))
    return (
        f"{report.model}: {report.blocks} blocks, n = {report.n}; {len(report.domains)} prompts "
        f"of {domains} {'domain' if domains == 1 else 'domains'}, ending in {ends} different "
        f"{'token' if ends == 1 else 'tokens'}"
    )


def _remainders(report: "LinearityReport") -> list[str]:
    scale = float(report.remainders.scales[report.shown_scale()])
    lines = [
        f"share missed of a block's answer to a step |d| = {scale:g} |x|, {blocks_meant(report)}:",
        _row("", HEADINGS.values()),
    ]
    for kind, found in missed(report).items():
        lines.append(_row(kind, (said_with_error(found[name]) for name in HEADINGS)))
    if report.blocks > 1:
        lines.append(f"  first block, which reads the embedding: {_first_block(report)}")
    return lines


def _row(name: str, cells: Iterable[str]) -> str:
    return f"  {name:<16}" + "".join(f"{cell:>18}" for cell in cells)


def _first_block(report: "LinearityReport") -> str:
    own = report.remainders.own[:, :, 0, report.shown_scale()].nanmean(dim=1)
    named = zip(report.remainders.kinds, own, strict=True)
    return ", ".join(f"{kind} {said(value)}" for kind, value in named)


def _spectra(report: "LinearityReport") -> list[str]:
    lines = []
    for name, spectra in (("A_t", report.jacobian), ("A_t - I", report.increment)):
        norm = spectra.norm.mean(dim=0)[report.start :]
        radius = spectra.radius.mean(dim=0)[report.start :]
        lines.append(
            f"{name}: spectral norm {float(norm.min()):.3g} to {float(norm.max()):.3g}, spectral "
            f"radius {float(radius.min()):.3g} to {float(radius.max()):.3g}"
        )
    return lines


def _alike(report: "LinearityReport") -> list[str]:
    spectra = (report.jacobian, report.increment)
    found = [alike(report, part) for part in spectra]
    lines = [
        f"similarity of two prompts' {report.jacobian.rank} leading directions, "
        f"{blocks_meant(report)}:",
        _wide("", ("A_t", "A_t - I")),
    ]
    for name in found[0]:
        lines.append(_wide(name, (said_with_error(part[name]) for part in found)))
    return [*lines, _wide("by chance", (said(by_chance(report, part)) for part in spectra))]


def _wide(name: str, cells: Iterable[str]) -> str:
    return f"  {name:<32}" + "".join(f"{cell:>18}" for cell in cells)


def _likeness(report: "LinearityReport") -> str:
    found = alike(report, report.jacobian)
    named = ", ".join(f"{said_with_error(mean, '±')} ({name})" for name, mean in found.items())
    return (
        f"The leading directions of two prompts' Jacobians have a similarity of {named}; chance "
        f"makes it {said(by_chance(report, report.jacobian))}."
    )


def _percent(mean: Mean) -> str:
    return f"{said_with_error(Mean(100 * mean.mean, 100 * mean.se), '±')} %"


def _range(value: float, scales: Tensor) -> str:
    if value == 0:
        return f"< {float(scales[0]):g}"
    return f"{value:.2g}" if isfinite(value) else f"> {float(scales[-1]):g}"

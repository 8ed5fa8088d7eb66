"""From examples to a steering: read the directions, identify the plant, solve."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from steersman.control import LTVSystem
from steersman.data import AlignedPairs, ContrastivePairs, Example
from steersman.directions import ALONE, Features, Observer, listed
from steersman.errors import InputError
from steersman.gathering import Gathering
from steersman.methods import METHODS, Method, coupling, method_named
from steersman.methods.choosing import with_blocks
from steersman.plant import CHUNK, Positions, Processes, ProcessGroup, StateCache
from steersman.provenance import Provenance
from steersman.reading import Examples
from steersman.reading_directions import Pairs, rules_of, told
from steersman.steering import Steering


def fit(
    model: nn.Module,
    tokenizer: Any,
    pairs: Pairs | Mapping[str, Pairs],
    *,
    method: str | Method = "a-lqr",
    direction: str | Observer | None = None,
    observer: str | Observer | None = None,
    jacobian_prompts: Sequence[Example] | LTVSystem | None = None,
    q: float | None = None,
    r: float | None = None,
    qf: float | None = None,
    positions: str | Positions | None = None,
    batch_size: int = 16,
    chunk: int = CHUNK,
    checkpoint: str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    group: ProcessGroup | None = None,
) -> Steering:
    """Fit a steering from pairs of examples, of one feature or of several to steer together.

    Called in every process of an initialised `torch.distributed` group, it shares out the prompts
    that the plant is averaged over. The states are read by every process.

    Args:
        model: the loaded model; it is not changed.
        tokenizer: its tokenizer.
        pairs: examples of what is desired and what is not, contrastive or aligned; of several
            features by their names.
        method: a name from `steersman.methods.METHODS`, or a method with its own settings.
        direction: along what a feature is pushed: "mean", the contrast itself; "pca", "lda",
            "raptor" or another rule of `steersman.directions.observer_named`; or one of your own.
            One unit of target remains what the sides differ by on the feature. None leaves it to
            the method, which mostly takes the contrast.
        observer: along what a feature is observed, by the same names: "whitened", the contrast
            where states vary little otherwise; "probe", a logistic regression. None is along the
            direction.
        jacobian_prompts: what the plant is averaged over, or a plant identified before; None takes
            the first desired examples, as many of each feature.
        q: weight of the error at each block input, for the LQR methods; None leaves it to the
            method, and so for the others: A-LQR has q = 0.1, r = 1, qf = 0.1.
        r: weight of the input.
        qf: weight of the error after the last block.
        positions: which tokens the direction is read at: "last", "all", "response",
            "first-response", "written", "marker:TEXT" or "regex:PATTERN". None is the continuation
            of aligned pairs; else what the method says, mostly the last one.
        batch_size: prompts at a time while states are read.
        chunk: cotangents at a time while the plant is identified.
        checkpoint: where to keep the identification's running mean.
        cache: a folder to keep the examples' states in, where another fit of the same model and
            examples finds them; None keeps nothing.
        progress: say what is going on.
        group: the processes that share the plant's prompts; None is the default group, where one
            is initialised. A process that shall work alone passes a group of itself.

    Returns:
        The steering.

    Raises:
        InputError: pairs that cannot be used, weights that are not above zero, prompts too long,
            several features for a method that steers one, or features that cannot be told apart.
        UnknownNameError: no such method, direction, observer or position rule.
        MismatchError: the processes were not given the same model and prompts.
        ProcessError: another process failed, died, or was silent for the group's timeout.
        NumericalError: states, Jacobians or gains that are not finite, or demands on the features
            that cannot be met together.
    """
    progress = progress and Processes.of(model, group).first
    chosen = _method(method, q, r, qf)
    along, rule = rules_of(chosen.direction if direction is None else direction, observer)
    named = _named(pairs, chosen)
    examples = {
        name: Examples.of(one, _positions(one, chosen) if positions is None else positions)
        for name, one in named.items()
    }
    gathering = Gathering(model, tokenizer, chosen, examples, batch_size, progress)
    shown = gathering.shown(None if cache is None else StateCache(Path(cache)))
    features = Features({name: told(one, along, rule) for name, one in shown.sides.items()})
    features.require_independent(features.blocks)
    prompts = gathering.plant_prompts(jacobian_prompts)
    plant = gathering.plant(prompts, chunk=chunk, checkpoint=checkpoint, group=group)
    if isinstance(jacobian_prompts, LTVSystem):
        plant = jacobian_prompts
    made = Provenance.of(
        model,
        tokenizer,
        pairs_hash={name: one.fingerprint() for name, one in named.items()},
        pairs={
            name: (len(one.pairs.desired), len(one.pairs.undesired))
            for name, one in examples.items()
        },
        positions=", ".join(dict.fromkeys(str(one.positions) for one in examples.values())),
        direction=str(along),
        observer=str(rule),
        jacobian_prompts=len(prompts),
        decision_tokens=gathering.decision_tokens(),
    )
    evidence = gathering.evidence(features, plant, shown, made)
    found = with_blocks(chosen, evidence).settled(evidence)
    settled, controller = found.method, found.solved(evidence)
    histories = () if evidence.bench is None else evidence.bench.histories
    pull = coupling(settled, evidence, controller)
    for doubt in pull.doubts() if pull else ():
        warnings.warn(doubt, stacklevel=2)
    return Steering(
        *(features, controller, settled, made, pull),
        evidence.natural,
        (*found.diagnostics, *(one.diagnostic() for one in histories)),
        settled.gated(evidence),
    )


def _positions(pairs: Pairs, method: Method) -> str | None:
    """Where the method reads examples; aligned pairs are read where they go on alike."""
    return None if isinstance(pairs, AlignedPairs) else method.positions


def _named(pairs: Pairs | Mapping[str, Pairs], method: Method) -> Mapping[str, Pairs]:
    """The pairs of each feature by its name.

    Raises:
        InputError: no feature, one without a name, or several for a method that steers one.
    """
    if isinstance(pairs, ContrastivePairs | AlignedPairs):
        return {ALONE: pairs}
    if not pairs or not all(isinstance(name, str) and name.strip() for name in pairs):
        raise InputError("give pairs of one feature, or of several by their names.")
    if len(pairs) > 1 and not method.several:
        able = [name for name, kind in METHODS.items() if kind.several]
        raise InputError(
            f"{method.name} steers one feature at a time, and here are {listed(list(pairs))}; for "
            f"several together use {', '.join(able[:-1])} or {able[-1]}."
        )
    return pairs


def _method(method: str | Method, q: float | None, r: float | None, qf: float | None) -> Method:
    if isinstance(method, Method):
        return method
    kind = method_named(method)
    weights = {k: value for k, value in (("q", q), ("r", r), ("qf", qf)) if value is not None}
    for name, value in weights.items():
        if not value > 0:
            raise InputError(f"{name} is {value}; the weights of the cost must be above zero.")
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in weights.items() if name in known})

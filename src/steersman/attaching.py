"""From what is asked of a steering to the channel that the engine runs."""

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from torch import Tensor, nn

from steersman.artifact import Parts
from steersman.control import (
    Absolute,
    AffineLaw,
    DisturbanceObserver,
    Law,
    Paper,
    Readout,
    Reference,
    Relative,
    Softly,
    Units,
)
from steersman.directions import Features
from steersman.engines import AtPrompt, Channel, Made, TokenRule, tokens_named
from steersman.errors import InputError
from steersman.methods import ExecutionName, Method, ReferenceName
from steersman.rehearsing import Rehearsal
from steersman.relinearizing import at_prompt, limited
from steersman.request import RelinearizeName, Request, Rows

_One = TypeVar("_One")


def channel_of(parts: Parts, request: Request, model: nn.Module, rows: Rows = None) -> Channel:
    """The law of a steering with its reference, as the engine takes it.

        plan:      u_t = plan_t target                 a schedule, made before the model runs
        feedback:  u_t = G_t (s_t - H_t' x_t)          with s_t as in `Request`

    Args:
        parts: what the steering is made of.
        request: what is asked of it; its strengths are those of `rows`.
        model: the model that is about to run.
        rows: which prompts of a batch; None is all.

    Returns:
        The channel; the trace shows the features `V_t' x_t`, whatever the law observes, up to what
        comes out of the last block.

    Raises:
        InputError: an unknown choice, choices that contradict each other, or a choice that this
            steering does not have.
    """
    controller, features = parts.controller, parts.features
    against, how = _choices(parts, request)
    tokens = _tokens(parts, request, against)
    planned, natural = how == "plan", units_of(features)
    held = 0.0 if against == "relative" else None
    targets = request.targets(features.names, held).to(features.norm)
    final = Readout(features.vectors[-1], features.norm[-1], features.origin[-1])
    law: Law[Any]
    if planned:
        law = AffineLaw.schedule(controller.plan, controller.active)
    else:
        law = parts.method.law(controller)

    def asked(targets: Tensor) -> tuple[Reference, Units]:
        if planned:
            return Absolute(targets), Units.plain(law.blocks)
        return _measured(targets, request, against, natural, parts)

    setpoint, units = asked(targets)
    rehearsal = None
    if not request.paper and parts.method.in_units:
        counted = Relative if planned else lambda targets: asked(targets)[0]
        rehearsal = Rehearsal(targets, lambda targets: asked(targets)[0], counted, final)
    anew = _anew(parts, request, model, how, rehearsal)
    return Channel(
        law=limited(_softened(law, parts), request.cap),
        reference=setpoint,
        units=units,
        watch=features.vectors,
        scale=natural,
        tokens=tokens,
        rows=rows,
        tracks=not planned and parts.method.site == "block" and controller.observes(features),
        at_prompt=anew,
        at_token=anew if request.relinearize == "token" else None,
        names=features.names,
        final=final,
        observer=_observer(parts.method, request, how),
        condition=parts.gate.condition,
        site=parts.method.site,
    )


def units_of(features: Features) -> Units:
    """Natural units of the features at the input of each block: `v_t'c_t` and `origin_t`."""
    return Units(features.norm[:-1], features.origin[:-1])


def grouped(steerings: Sequence[_One | None]) -> list[tuple[_One, Rows]]:
    """Each different steering with the prompts it has.

    Args:
        steerings: one for every prompt, or one a prompt, None for a prompt that is left alone.

    Raises:
        InputError: there is none.
    """
    if len(steerings) == 1 and steerings[0] is not None:
        return [(steerings[0], None)]
    unique: list[_One] = []
    for steering in steerings:
        if steering is not None and not any(steering is other for other in unique):
            unique.append(steering)
    if not unique:
        raise InputError("there is no steering to attach: every prompt was given None.")
    return [(one, tuple(i for i, s in enumerate(steerings) if s is one)) for one in unique]


def _measured(
    targets: Tensor, request: Request, against: ReferenceName, natural: Units, parts: Parts
) -> tuple[Reference, Units]:
    """Where feedback wants what it observes, and in which units."""
    method, controller = parts.method, parts.controller
    if request.paper:
        return Paper(targets), natural
    if against == "relative":
        return method.relative(targets, controller)
    if request.relinearize == "fit":
        return method.absolute(targets, controller, parts.features)
    return method.held(targets, controller)


def _tokens(parts: Parts, request: Request, against: ReferenceName) -> TokenRule:
    """What is asked for, what the steering's gate says, or what goes with its method."""
    usual = "matching" if parts.matches and against == "relative" else parts.method.tokens
    rule = tokens_named(request.tokens or parts.gate.tokens or usual)
    return rule.with_ids(parts.provenance.decision_tokens)


def _anew(
    parts: Parts,
    request: Request,
    model: nn.Module,
    how: ExecutionName,
    rehearsal: Rehearsal | None,
) -> AtPrompt | None:
    """What solves the law again at each prompt, where that was asked for."""
    if request.relinearize not in get_args(RelinearizeName):
        raise InputError(f"relinearize is {request.relinearize!r}; choose fit, prompt or token.")
    if request.relinearize == "fit":
        return None
    if parts.gate.soft is not None:
        raise InputError(
            "a soft gate is of the law that was fitted: use relinearize='fit', or take it off with "
            "steering.softly(None)."
        )
    make = at_prompt(model, parts, how == "plan", request.cap, rehearsal)
    # lambda_ is a value of the feature itself, whose units no trajectory changes.
    fixed = units_of(parts.features) if request.paper else None

    def in_those(prompts: tuple[Tensor, ...], owner: object) -> Made:
        made = make(prompts, owner)
        return made if fixed is None else made._replace(units=fixed)

    return in_those


def _softened(law: Law[Any], parts: Parts) -> Law[Any]:
    """The law, as much of it as the steering's soft gate says, read where the law reads."""
    gate = parts.gate.soft
    if gate is None:
        return law
    first = 1 if law.reads == "output" else 0
    w, b = (tensor[first : first + law.blocks].to(law.dtype) for tensor in (gate.w, gate.b))
    return Softly(law, w, b)


def _observer(method: Method, request: Request, how: ExecutionName) -> DisturbanceObserver | None:
    """What makes up for the last token's miss, where that was asked for."""
    if request.correction == 0:
        return None
    if not method.in_units:
        raise InputError(
            f"a target of {method.name} is no value of the feature, so what was missed of it is "
            "not known: leave correction out."
        )
    if how == "plan" or request.paper:
        raise InputError(
            "a correction is of what was missed, which "
            + ("a plan does not measure" if how == "plan" else "lambda_ does not say")
            + ": use target= and execution='feedback'."
        )
    return DisturbanceObserver(float(request.correction))


def _choices(parts: Parts, request: Request) -> tuple[ReferenceName, ExecutionName]:
    """The reference and the execution, where they go with each other and with the steering."""
    method = parts.method
    if request.paper and request.reference == "relative":
        raise InputError("lambda_ is an absolute setpoint; use target= with a relative one.")
    against = request.reference or ("absolute" if request.paper else method.reference)
    # What a method is set to may leave it without a plan: it then measures, unless told otherwise.
    planned = bool(parts.controller.plan.any()) or not parts.controller.own
    usual: ExecutionName = method.execution if planned else "feedback"
    how = request.execution or ("feedback" if against == "absolute" else usual)
    if against not in ("relative", "absolute"):
        raise InputError(f"reference is {against!r}; choose relative or absolute.")
    if how not in ("plan", "feedback"):
        raise InputError(f"execution is {how!r}; choose plan or feedback.")
    if how == "plan" and against == "absolute":
        raise InputError(
            "a plan is made before the model runs and cannot hold an absolute setpoint; use "
            "execution='feedback' or reference='relative'."
        )
    if how == "feedback" and not (parts.controller.own or bool(parts.controller.H.any())):
        raise InputError(f"{method.name} observes nothing; it only runs as a plan.")
    if how == "plan" and not bool(parts.controller.plan.any()):
        raise InputError(
            f"{method.name} has no plan: what it adds depends on the state; use "
            "execution='feedback'."
        )
    if request.paper and not parts.controller.observes(parts.features):
        raise InputError(
            f"{method.name} does not observe the feature itself, and lambda_ is a value of that; "
            "use target=."
        )
    return against, how

"""From what is asked of a steering to the channel that the engine runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from steersman.artifact import Parts
from steersman.control import Absolute, AffineLaw, Capped, Law, Paper, Reference, Units
from steersman.directions import Direction
from steersman.engines import AtPrompt, Channel, Tokens
from steersman.errors import InputError
from steersman.methods import ExecutionName, ReferenceName
from steersman.relinearizing import at_prompt

RelinearizeName = Literal["fit", "prompt"]
Strength = float | Sequence[float] | Tensor
Rows = tuple[int, ...] | None
"""Which prompts of a batch; None is all of them."""

_One = TypeVar("_One")


@dataclass(frozen=True, eq=False)
class Request:
    """How strongly a steering is to act, against what, how, and where.

        s_t = H_t' xbar_t + target shift_t    relative to what the token shows unsteered
        s_t = origin_t + target |c_t|         absolute
        s_t = lambda |c_t|                    as the paper has it, absolute too

    `|c_t|` and `origin_t` are the natural units, `shift_t` is the controller's.

    Args:
        strength: target in natural units, or the paper's lambda where `paper`; one number, or one
            a prompt.
        paper: which of the two `strength` is.
        tokens: which tokens; None leaves it to the steering.
        reference: which reference; None leaves it to the method.
        execution: plan or feedback; None leaves it to the method.
        relinearize: at which trajectory the plant is linear: the fit's average, or each prompt's.
        cap: the longest input relative to the state, `|u_t| <= cap |x_t|`; None is no cap.
    """

    strength: Strength
    paper: bool = False
    tokens: Tokens | None = None
    reference: ReferenceName | None = None
    execution: ExecutionName | None = None
    relinearize: RelinearizeName = "fit"
    cap: float | None = None

    @classmethod
    def of(
        cls,
        target: Strength | None = None,
        lambda_: Strength | None = None,
        *,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        relinearize: RelinearizeName = "fit",
        cap: float | None = None,
    ) -> "Request":
        """A request by either of the two strengths; target 1 by default.

        Args:
            target: strength in natural units.
            lambda_: strength as the paper has it.
            tokens: which tokens.
            reference: which reference.
            execution: plan or feedback.
            relinearize: at the fit's average or at each prompt.
            cap: the longest input relative to the state.

        Raises:
            InputError: both strengths, or a list of none.
        """
        if target is not None and lambda_ is not None:
            raise InputError("give target (natural units) or lambda_ (the paper's), not both.")
        paper = lambda_ is not None
        given = lambda_ if paper else target
        if isinstance(given, Sequence | Tensor) and not torch.as_tensor(given).numel():
            raise InputError("there is no strength: give one number, or one a prompt.")
        strength = 1.0 if given is None else given
        return cls(strength, paper, tokens, reference, execution, relinearize, cap)

    @property
    def strengths(self) -> list[float]:
        """One strength a prompt, or nothing where one number is for all."""
        if isinstance(self.strength, Tensor):
            return [float(value) for value in self.strength.flatten()] if self.strength.ndim else []
        return [float(v) for v in self.strength] if isinstance(self.strength, Sequence) else []

    @property
    def value(self) -> float | Tensor:
        """The strength as a reference takes it: a number, or `(prompts,)`."""
        values = self.strengths
        return torch.tensor(values) if values else float(self.strength)  # type: ignore[arg-type]

    def prompts(self, steerings: int) -> int | None:
        """How many prompts a batch holds; None where any number will do.

        Args:
            steerings: how many there are; 1 is for every prompt, more are one a prompt.

        Raises:
            InputError: there are not as many strengths as steerings.
        """
        shared = steerings == 1
        prompts = len(self.strengths) or (0 if shared else steerings)
        if not shared and prompts != steerings:
            raise InputError(f"{steerings} steerings and {prompts} strengths: give one a prompt.")
        return prompts or None

    def for_rows(self, rows: Rows) -> "Request":
        """The same request with the strengths of these prompts only."""
        values = self.strengths
        if rows is None or not values:
            return self
        return replace(self, strength=[values[row] for row in rows])


def channel_of(parts: Parts, request: Request, model: nn.Module, rows: Rows = None) -> Channel:
    """The law of a steering with its reference, as the engine takes it.

        plan:      u_t = target * plan_t               a schedule, made before the model runs
        feedback:  u_t = G_t (s_t - H_t' x_t)          with s_t as in `Request`

    Args:
        parts: what the steering is made of.
        request: what is asked of it; its strengths are those of `rows`.
        model: the model that is about to run.
        rows: which prompts of a batch; None is all.

    Returns:
        The channel; the trace shows the feature `v_t' x_t`, whatever the law observes.

    Raises:
        InputError: an unknown choice, choices that contradict each other, or a choice that this
            steering does not have.
    """
    controller, direction = parts.controller, parts.direction
    against, how = _choices(parts, request)
    tokens = _tokens(parts, request, against)
    planned, anew = how == "plan", _at_prompt(request, against)
    natural = units_of(direction)
    law: Law[Any]
    setpoint: Reference
    if planned:
        law = AffineLaw.schedule(controller.plan, controller.active)
        setpoint, units = Absolute(request.value), Units.plain(law.blocks)
    else:
        law = parts.method.law(controller)
        setpoint, units = _measured(request, against, natural, parts)
    return Channel(
        law=_held(law, request.cap),
        reference=setpoint,
        units=units,
        watch=direction.vectors[:-1],
        scale=natural,
        tokens=tokens,
        rows=rows,
        tracks=not planned and controller.observes(direction),
        matching=parts.provenance.decision_tokens if tokens == "matching" else (),
        at_prompt=_held_at_prompt(at_prompt(model, parts, planned), request.cap) if anew else None,
    )


def units_of(direction: Direction) -> Units:
    """Natural units of the feature at the input of each block: `|c_t|` and `origin_t`."""
    return Units(direction.norm[:-1], direction.origin[:-1])


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


def _held(law: Law[Any], cap: float | None) -> Law[Any]:
    return law if cap is None else Capped(law, cap)


def _held_at_prompt(make: AtPrompt, cap: float | None) -> AtPrompt:
    def held(prompts: tuple[Tensor, ...], owner: object) -> tuple[Law[Any], Units]:
        law, units = make(prompts, owner)
        return _held(law, cap), units

    return held


def _measured(
    request: Request, against: ReferenceName, natural: Units, parts: Parts
) -> tuple[Reference, Units]:
    """Where feedback wants what it observes, and in which units."""
    if request.paper:
        return Paper(request.value), natural
    if against == "absolute":
        return parts.method.absolute(request.value, parts.controller, parts.direction)
    return parts.method.relative(request.value, parts.controller)


def _tokens(parts: Parts, request: Request, against: ReferenceName) -> Tokens:
    known = parts.provenance.decision_tokens
    if request.tokens == "matching" and not known:
        raise InputError(
            "this steering was read at too many kinds of token to match them; use "
            "tokens='last' or 'all'."
        )
    if request.tokens is not None:
        return request.tokens
    return "matching" if known and against == "relative" else parts.method.tokens


def _at_prompt(request: Request, against: ReferenceName) -> bool:
    """Whether the law is solved again at each prompt."""
    if request.relinearize not in get_args(RelinearizeName):
        raise InputError(f"relinearize is {request.relinearize!r}; choose fit or prompt.")
    if request.relinearize == "prompt" and against == "absolute":
        raise InputError("relinearize='prompt' goes with reference='relative'.")
    return request.relinearize == "prompt"


def _choices(parts: Parts, request: Request) -> tuple[ReferenceName, ExecutionName]:
    """The reference and the execution, where they go with each other and with the steering."""
    method = parts.method
    if request.paper and request.reference == "relative":
        raise InputError("lambda_ is an absolute setpoint; use target= with a relative one.")
    against = request.reference or ("absolute" if request.paper else method.reference)
    how = request.execution or ("feedback" if against == "absolute" else method.execution)
    if against not in ("relative", "absolute"):
        raise InputError(f"reference is {against!r}; choose relative or absolute.")
    if how not in ("plan", "feedback"):
        raise InputError(f"execution is {how!r}; choose plan or feedback.")
    if how == "plan" and against == "absolute":
        raise InputError(
            "a plan is made before the model runs and cannot hold an absolute setpoint; use "
            "execution='feedback' or reference='relative'."
        )
    if how == "feedback" and not bool(parts.controller.H.any()):
        raise InputError(f"{method.name} observes nothing; it only runs as a plan.")
    if how == "plan" and not bool(parts.controller.plan.any()):
        raise InputError(
            f"{method.name} has no plan: what it adds depends on the state; use "
            "execution='feedback'."
        )
    if request.paper and not parts.controller.observes(parts.direction):
        raise InputError(
            f"{method.name} does not observe the feature itself, and lambda_ is a value of that; "
            "use target=."
        )
    return against, how

"""What is asked of a steering: how strongly, against what, how and where."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.directions import listed
from steersman.engines import Tokens
from steersman.errors import InputError
from steersman.methods import ExecutionName, ReferenceName

RelinearizeName = Literal["fit", "prompt", "token"]
Amount = float | Sequence[float] | Tensor
"""One number, or one a prompt."""
Strength = Amount | Mapping[str, Amount]
"""Of the only feature, or of each by its name."""
Rows = tuple[int, ...] | None
"""Which prompts of a batch; None is all of them."""


@dataclass(frozen=True, eq=False)
class Request:
    """How strongly a steering is to act, against what, how, and where.

        s_t = H_t' xbar_t + shifts_t target   relative to what the token shows unsteered
        s_t = origin_t + target v_t'c_t       absolute
        s_t = lambda v_t'c_t                  as the paper has it, absolute too

    `v_t'c_t`, which is `|c_t|` along the contrast, and `origin_t` are the natural units, `shifts_t`
    is the controller's; every feature has a target of its own.

    Args:
        amounts: target in natural units, or the paper's lambda where `paper`, of each feature by
            its name, or of the only one, called None: one number, or one a prompt.
        paper: which of the two the amounts are.
        tokens: which tokens; None leaves it to the steering.
        reference: which reference; None leaves it to the method.
        execution: plan or feedback; None leaves it to the method.
        relinearize: at which trajectory the plant is linear: the fit's average, each prompt's, or
            each token's.
        correction: the share of what a token missed that is made up for at the next; 0 is none.
        cap: the longest input relative to the state, `|u_t| <= cap |x_t|`; None is no cap.
    """

    amounts: Mapping[str | None, float | tuple[float, ...]]
    paper: bool = False
    tokens: Tokens | None = None
    reference: ReferenceName | None = None
    execution: ExecutionName | None = None
    relinearize: RelinearizeName = "fit"
    correction: float = 0.0
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
        correction: float = 0.0,
        cap: float | None = None,
    ) -> "Request":
        """A request by either of the two strengths; target 1 by default.

        Args:
            target: strength in natural units.
            lambda_: strength as the paper has it.
            tokens: which tokens.
            reference: which reference.
            execution: plan or feedback.
            relinearize: at the fit's average, at each prompt or at each token.
            correction: the share of what a token missed that is made up for at the next.
            cap: the longest input relative to the state.

        Raises:
            InputError: both strengths, none in a list or a mapping, one that is not finite, or
                lists for different numbers of prompts.
        """
        if target is not None and lambda_ is not None:
            raise InputError("give target (natural units) or lambda_ (the paper's), not both.")
        paper = lambda_ is not None
        given = lambda_ if paper else target
        amounts = _amounts(1.0 if given is None else given, "lambda_" if paper else "target")
        return cls(amounts, paper, tokens, reference, execution, relinearize, correction, cap)

    @property
    def count(self) -> int:
        """For how many prompts there are strengths; 0 where one is for all."""
        each = [amount for amount in self.amounts.values() if isinstance(amount, tuple)]
        return len(each[0]) if each else 0

    def prompts(self, steerings: int) -> int | None:
        """How many prompts a batch holds; None where any number will do.

        Args:
            steerings: how many there are; 1 is for every prompt, more are one a prompt.

        Raises:
            InputError: there are not as many strengths as steerings.
        """
        shared = steerings == 1
        prompts = self.count or (0 if shared else steerings)
        if not shared and prompts != steerings:
            raise InputError(f"{steerings} steerings and {prompts} strengths: give one a prompt.")
        return prompts or None

    def for_rows(self, rows: Rows) -> "Request":
        """The same request with the strengths of these prompts only."""
        if rows is None or not self.count:
            return self
        some = {
            name: tuple(amount[row] for row in rows) if isinstance(amount, tuple) else amount
            for name, amount in self.amounts.items()
        }
        return replace(self, amounts=some)

    def targets(
        self, names: Sequence[str], held: float | None = 0.0
    ) -> Float[Tensor, "prompts_or_1 features"]:
        """The strengths as a reference takes them.

        Args:
            names: of the steering's features, in order.
            held: the strength of a feature that is not named; None where none leaves it alone.

        Raises:
            InputError: a plain number for several features, a name that there is not, or one that
                is missing.
        """
        amounts = {names[0] if k is None else k: one for k, one in self.amounts.items()}
        what = "lambda_" if self.paper else "target"
        if None in self.amounts and len(names) > 1:
            some = ", ".join(f"{name!r}: 0.0" for name in names)
            raise InputError(
                f"this steering has {len(names)} features, {listed(names)}: give the strength of "
                f"each by its name, as in {what}={{{some}}}."
            )
        unknown = [name for name in amounts if name not in names]
        if unknown:
            raise InputError(f"{what} names {listed(unknown)}; this steering has {listed(names)}.")
        missing = [name for name in names if name not in amounts]
        if missing and held is None:
            raise InputError(
                f"{what} says nothing of {listed(missing)}, and no absolute setpoint leaves a "
                "feature alone: name every feature, or use reference='relative'."
            )
        rows = self.count or 1
        found = [amounts.get(name, held or 0.0) for name in names]
        columns = [one if isinstance(one, tuple) else (one,) * rows for one in found]
        return torch.tensor(columns, dtype=torch.float64).T.contiguous()


def _amounts(strength: Strength, what: str) -> dict[str | None, float | tuple[float, ...]]:
    """Plain numbers, checked.

    Raises:
        InputError: there is none, one is not finite, or the lists differ in length.
    """
    given = strength if isinstance(strength, Mapping) else {None: strength}
    found = {name: _amount(one, _called(what, name)) for name, one in given.items()}
    if not found:
        raise InputError(f"{what} names no feature.")
    lengths = {
        _called(what, name): len(one) for name, one in found.items() if isinstance(one, tuple)
    }
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} is for {count}" for name, count in lengths.items())
        raise InputError(f"the strengths are for different numbers of prompts: {counts}.")
    return found


def _amount(given: Amount, what: str) -> float | tuple[float, ...]:
    if isinstance(given, Tensor) and given.ndim > 1:
        raise InputError(
            f"{what} has shape {tuple(given.shape)}: give one number, or one a prompt."
        )
    plain: Any = given.tolist() if isinstance(given, Tensor) else given
    many = isinstance(plain, Sequence)
    try:
        if isinstance(plain, str):
            raise TypeError("a text is no list of numbers")
        values = tuple(float(value) for value in (plain if many else (plain,)))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} is {given!r}: give one number, or a list of one a prompt."
        ) from error
    if not values:
        raise InputError("there is no strength: give one number, or one a prompt.")
    wrong = [one for one in values if not math.isfinite(one)]
    if wrong:
        raise InputError(f"{what} is {wrong[0]}; it must be finite.")
    return values if many else values[0]


def _called(what: str, name: str | None) -> str:
    return what if name is None else f"{what} of {name!r}"

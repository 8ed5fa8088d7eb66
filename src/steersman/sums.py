"""Sums of steerings that are schedules: `u_t = target p_t`, so that `a p + b q` is one too."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from jaxtyping import Float
from torch import Tensor

from steersman.artifact import Parts
from steersman.diagnostics import Cell, Diagnostic
from steersman.engines import tokens_named
from steersman.errors import InputError, MismatchError
from steersman.methods import GivenVectors
from steersman.provenance import Provenance
from steersman.schedules import inputs_of, scheduled

TERMS = "Sum of steerings"
"""What the table of a sum's terms is called."""
_COLUMNS = ("factor", "method", "model", "from", "SHA-256")
_SAME = ("model_type", "blocks", "n", "vocab_size", "tokenizer_hash")


_Sum = TypeVar("_Sum", bound="Summable")


class Term(NamedTuple):
    """One steering of a weighed sum.

    Attributes:
        factor: by what it is multiplied.
        parts: what it is made of.
    """

    factor: float
    parts: Parts


class Summable(ABC):
    """`2.0 * a + b`, `-a` and `a - b` of steerings that are schedules; of method `vectors`.

        u_t = target sum_i a_i p_t^i

    Every one of them raises `InputError` where a steering is no schedule, has several features or
    acts at other tokens, or where nothing is left; and `MismatchError` for different models.
    """

    @abstractmethod
    def to_parts(self) -> Parts:
        """What it is made of."""

    @classmethod
    @abstractmethod
    def of_parts(cls: type[_Sum], parts: Parts) -> _Sum:
        """One that is made of these."""

    def __mul__(self: _Sum, factor: int | float) -> _Sum:
        """`factor p_t`."""
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        return self.of_parts(combined([Term(float(factor), self.to_parts())]))

    __rmul__ = __mul__

    def __neg__(self: _Sum) -> _Sum:
        """`-p_t`."""
        return -1.0 * self

    def __add__(self: _Sum, other: _Sum) -> _Sum:
        """`p_t + q_t`."""
        if not isinstance(other, Summable):
            return NotImplemented
        return self.of_parts(combined([Term(1.0, self.to_parts()), Term(1.0, other.to_parts())]))

    def __sub__(self: _Sum, other: _Sum) -> _Sum:
        """`p_t - q_t`."""
        if not isinstance(other, Summable):
            return NotImplemented
        return self.of_parts(combined([Term(1.0, self.to_parts()), Term(-1.0, other.to_parts())]))


def combined(terms: Sequence[Term]) -> Parts:
    """`sum_i a_i p_i` as a steering of its own.

    Args:
        terms: one or more.

    Raises:
        InputError: one is no schedule or has several features, they act at different tokens, or
            nothing is left.
        MismatchError: they were made for different models.
    """
    first = terms[0].parts
    inputs = [inputs_of(term.parts) for term in terms]
    for term in terms[1:]:
        _require_same_model(first.provenance, term.parts.provenance)
        _require_same_tokens(first, term.parts)
    total = weighed([(term.factor, one) for term, one in zip(terms, inputs, strict=True)])
    rows = tuple(row for term in terms for row in _rows(term))
    headline = " + ".join(f"{row[0]:g} x {row[1]}" for row in rows)
    made = replace(first.provenance, positions="nowhere", decision_tokens=first.matches)
    method = GivenVectors(tokens=first.method.tokens if first.matches else _rule(first))
    return scheduled(total, made, Diagnostic(TERMS, headline, _COLUMNS, rows), method)


def weighed(
    terms: Sequence[tuple[float, Float[Tensor, "blocks n"]]],
) -> Float[Tensor, "blocks n"]:
    """`sum_i a_i p_i`, in the order given; a factor of one changes no bit.

    Args:
        terms: factors and inputs.
    """
    total = terms[0][0] * terms[0][1]
    for factor, inputs in terms[1:]:
        total = total + factor * inputs.to(total)
    return total


def _rows(term: Term) -> list[tuple[Cell, ...]]:
    """A line for the term, or one for each of its own terms where it is a sum itself."""
    for found in term.parts.diagnostics:
        if found.name == TERMS:
            return [(term.factor * float(row[0] or 0), *row[1:]) for row in found.rows]
    name, made = term.parts.features.names[0], term.parts.provenance
    desired, undesired = made.pairs[name]
    source = f"{desired} desired and {undesired} undesired examples"
    if not desired + undesired:
        source = made.positions
    return [(term.factor, term.parts.method.name, made.model, source, made.pairs_hash[name])]


def _require_same_model(one: Provenance, other: Provenance) -> None:
    wrong = [name for name in _SAME if getattr(one, name) != getattr(other, name)]
    if wrong:
        details = ", ".join(f"{k}: {getattr(one, k)} and {getattr(other, k)}" for k in wrong)
        raise MismatchError(
            f"these steerings were made for different models ({details}), so that what they add "
            "cannot be summed. Fit both on one model."
        )


def _require_same_tokens(one: Parts, other: Parts) -> None:
    if _where(one) != _where(other):
        raise InputError(
            f"{one.method.name} acts at {_where(one)} and {other.method.name} at {_where(other)}, "
            "so that no one schedule does what both do: run them side by side with "
            "steersman.together."
        )


def _where(parts: Parts) -> str:
    known = parts.matches
    if known:
        return f"the token ids {', '.join(map(str, known))}"
    rule = _rule(parts)
    said = {"all": "every token", "last": "the prompt's last token and later"}
    return said.get(rule, f"tokens={rule!r}")


def _rule(parts: Parts) -> str:
    """The name of the rule for tokens that goes with the method, with the ids that it asks for."""
    return tokens_named(parts.method.tokens).with_ids(parts.provenance.decision_tokens).name

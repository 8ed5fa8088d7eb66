"""From what the blocks observed of a request to what its steerings did, in natural units.

    e_t = s_t - H_t' x_t      what the law observed, and so    |u_t|^2 = e_t' (G_t' G_t) e_t
    z_t = V_t' x_t            the features, of every block's input and of the last one's output

There is no unsteered run inside vLLM, so what the features would have been is not known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from steersman.engines import Last, Trace
from steersman.errors import InputError
from steersman.methods import ReferenceName
from steersman.serving.readings import Readings, readings_of
from steersman.serving.recording import Recording
from steersman.steering import Steering
from steersman.vllm.asking import AskedLaw, request_of
from steersman.vllm.served import Served

RECORD = "steersman_record"
"""What the workers call the reading of a record; it takes a name and two places."""


class Seen(NamedTuple):
    """What was observed of some tokens of a request.

    Attributes:
        places: where in the request they are, ascending.
        states: of every block's input and of the last one's output, what each column showed.
        acting: which laws acted on each.
    """

    places: tuple[int, ...]
    states: Float[Tensor, "states tokens columns"]
    acting: Bool[Tensor, "tokens laws"]


@dataclass(frozen=True, eq=False)
class Told:
    """One steering of a request of which is told what it does.

    Args:
        served: the steering.
        law: what was asked of it.
        strengths: the target of each feature that was named; of the others nothing is told.
        reference: what the targets are against.
    """

    served: Served
    law: AskedLaw
    strengths: Mapping[str, float]
    reference: ReferenceName

    @classmethod
    def of(cls, served: Served, law: AskedLaw, options: Mapping[str, Any]) -> "Told":
        """From what a request says.

        Raises:
            InputError: it does not ask in natural units.
        """
        request = request_of(served, options, None)
        if request.paper:
            raise InputError(
                f"a report is in natural units: ask {served.name!r} for a target, not for lambda_."
            )
        names = served.parts.features.names
        targets = dict(zip(names, request.targets(names)[0].tolist(), strict=True))
        named = [names[0] if name is None else name for name in request.amounts]
        strengths = {name: targets[name] for name in named}
        return cls(served, law, strengths, request.reference or served.parts.method.reference)

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.served.name

    @cached_property
    def steering(self) -> Steering:
        """The steering itself."""
        return Steering.of_parts(self.served.parts)

    @property
    def observed(self) -> int:
        """How many numbers the law observes."""
        return len(self.law.setpoints[0])

    @property
    def columns(self) -> int:
        """How many columns of a record are its own."""
        return self.observed + len(self.served.parts.features.names)

    def traces(
        self,
        states: Float[Tensor, "states tokens columns"],
        acting: Bool[Tensor, " tokens"],
    ) -> Iterator[Trace]:
        """What it did to each feature, as one row.

        Args:
            states: its columns of a record.
            acting: on which tokens it did.
        """
        errors, features = states[:-1, :, : self.observed], -states[..., self.observed :]
        parts = self.served.parts
        norm, origin = (one[:-1].float() for one in (parts.features.norm, parts.features.origin))
        effort = self._effort(errors).where(acting, 0.0)
        for name in self.strengths:
            index = parts.features.names.index(name)
            setpoint = torch.full_like(effort, torch.nan)
            if self._tracks:
                setpoint = self._setpoints[:, None, index].expand_as(effort)
            yield Trace(
                feature=features[None, :-1, :, index],
                setpoint=setpoint[None],
                effort=effort[None],
                steered=acting[None],
                ids=None,
                norm=norm[:, index],
                origin=origin[:, index],
                name=name,
                final=features[None, -1, :, index],
            )

    def last(self, states: Float[Tensor, "states columns"], acting: bool) -> Last:
        """Where the features are after the last block, at one token."""
        return Last(-states[-1:, self.observed :], None, torch.tensor([acting]))

    @cached_property
    def _setpoints(self) -> Float[Tensor, "blocks k"]:
        return torch.tensor(self.law.setpoints)

    @cached_property
    def _gains(self) -> Tensor:
        laws = self.served.laws
        return next(laws[one].G for one in laws if self.served.key(one) == self.law.key)

    @property
    def _tracks(self) -> bool:
        """Whether the law's setpoints are of the features themselves."""
        parts = self.served.parts
        planned = self.law.key == self.served.key("plan")
        return not planned and parts.controller.observes(parts.features)

    def _effort(self, errors: Float[Tensor, "blocks tokens k"]) -> Float[Tensor, "blocks tokens"]:
        squares = self._gains.mT @ self._gains
        return torch.einsum("btk,bkl,btl->bt", errors, squares, errors).clamp(min=0.0).sqrt()


@dataclass(frozen=True, eq=False)
class Watching:
    """The steerings of a request of which is told what they do.

    Args:
        each: one by one, in the order of the columns of a record.
    """

    each: tuple[Told, ...]

    def report(self, seen: Seen) -> list[dict[str, Any]]:
        """What each feature was asked for and what it did, as `Recording.report` tells it."""
        recording = Recording({told: told.strengths for told in self.each})
        if seen.places:
            for index, (told, states) in enumerate(self._split(seen.states)):
                for trace in told.traces(states, seen.acting[:, index]):
                    recording.add(told, trace, 0)
        return recording.report()

    def readings(self, seen: Seen) -> dict[int, Readings]:
        """Where the features were after the last block, by the places of the tokens."""
        found: dict[int, Readings] = {}
        for at, place in enumerate(seen.places):
            parts = enumerate(self._split(seen.states[:, at]))
            found[place] = tuple(
                reading
                for index, (told, states) in parts
                for reading in readings_of(
                    told, told.strengths, told.last(states, bool(seen.acting[at, index])), 0
                )
            )
        return found

    def joined(self, answers: Sequence[Sequence[Any]]) -> Seen | None:
        """What all workers have of a record; None where one has nothing.

        Args:
            answers: of each worker, as `Records.read` gives them. Where the blocks are spread over
                them, each tells of its own.
        """
        if not answers or not all(answers):
            return None
        columns = sum(told.columns for told in self.each)
        blocks = len(self.each[0].law.setpoints)
        places = sorted(set.intersection(*(set(answer[1]) for answer in answers)))
        states = torch.full((blocks + 1, len(places), columns), torch.nan)
        acting = torch.zeros(len(places), len(self.each), dtype=torch.bool)
        for local, here, raw, gates in answers:
            at = {place: index for index, place in enumerate(here)}
            order = [at[place] for place in places]
            every = _array(raw, np.float32, (len(here), blocks + 1, columns))[order]
            mine = [*local, *([blocks] if blocks - 1 in local else [])]
            states[mine] = every[:, mine].transpose(0, 1)
            acting = _array(gates, np.bool_, (len(here), len(self.each)))[order]
        return Seen(tuple(places), states, acting)

    def _split(self, states: Tensor) -> Iterator[tuple[Told, Tensor]]:
        parts = torch.split(states, [told.columns for told in self.each], dim=-1)
        return zip(self.each, parts, strict=True)


def _array(raw: bytes, dtype: Any, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.frombuffer(raw, dtype).reshape(shape).copy())

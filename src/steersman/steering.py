"""A steering: direction, controller and provenance, frozen; attached to a model or saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman import store
from steersman.artifact import Parts, artifact_of, parts_of
from steersman.control import Absolute, AffineLaw, Paper, Reference, Relative, Units
from steersman.directions import Direction
from steersman.engines import Channel, Run, Tokens
from steersman.errors import InputError
from steersman.methods import Controller, ExecutionName, Method, ReferenceName
from steersman.plant import locate
from steersman.provenance import Provenance

Strength = float | Sequence[float] | Tensor


@dataclass(frozen=True, eq=False)
class Steering:
    """Everything that steers one feature of one model.

    Args:
        direction: the feature at every state `x_0 .. x_T`, with its natural units.
        controller: the law's tensors and the plan.
        method: the method and its hyper-parameters.
        provenance: where all of it comes from.
    """

    direction: Direction
    controller: Controller
    method: Method
    provenance: Provenance

    @property
    def directions(self) -> Float[Tensor, "blocks n"]:
        """`v_t`: the unit direction at the input of each block."""
        return self.direction.vectors[:-1]

    @property
    def contrast(self) -> Float[Tensor, "blocks n"]:
        """`c_t = mean desired - mean undesired` at the input of each block."""
        return self.direction.contrast[:-1]

    @property
    def gains(self) -> Float[Tensor, "blocks n"]:
        """`g_t = K_t v_t`: what a unit of error adds at the output of each block."""
        return self.controller.G[..., 0]

    @property
    def plan(self) -> Float[Tensor, "blocks n"]:
        """The fixed schedule that relative target 1 amounts to on the averaged plant."""
        return self.controller.plan

    @property
    def units(self) -> Units:
        """Natural units of the feature at the input of each block."""
        return Units(self.direction.norm[:-1], self.direction.origin[:-1])

    def attach(
        self,
        model: nn.Module,
        target: Strength | None = None,
        *,
        lambda_: Strength | None = None,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        prompt_length: int | None = None,
        trace: bool = True,
    ) -> Run:
        """Steer `model` inside a `with` block.

            u_t = G_t (s_t - v_t' x_t),   added at the output of block t

        Args:
            model: the loaded model that this steering was made for; it is not changed.
            target: strength in natural units, one number or one a prompt. With a relative
                reference 0 leaves the feature alone and 1 moves it by the whole contrast, from
                where undesired examples sit to where desired ones do. With an absolute one 0 is
                where undesired examples sit and 1 where desired ones do. Default 1.
            lambda_: strength as the paper has it, `s_t = lambda_ |c_t|`; an absolute reference.
            tokens: "matching" steers the tokens at which the examples were read, "last" from the
                prompt's last token on, "all" every token. By default "matching" with a relative
                reference, where the examples were read at few kinds of token; else what the
                method says.
            reference: "relative" to the token's own unsteered feature, or "absolute".
            execution: "plan" adds the schedule that the closed loop amounts to on the averaged
                plant; "feedback" measures. A relative reference needs, for feedback, a second
                pass of the bare model over the same tokens.
            prompt_length: columns of the prompt, where it arrives in chunks and tokens is "last".
            trace: record features, setpoints and efforts.

        Returns:
            A `Run`, to be used in a `with` block.

        Raises:
            MismatchError: the model is another one.
            InputError: both or contradictory strengths.
            AttachedError: on entering, where the model already carries a steering.
        """
        return attach(
            model,
            [self],
            target,
            lambda_=lambda_,
            tokens=tokens,
            reference=reference,
            execution=execution,
            prompt_length=prompt_length,
            trace=trace,
        )

    def channel(
        self,
        strength: Strength,
        *,
        paper: bool,
        tokens: Tokens | None,
        reference: ReferenceName | None,
        execution: ExecutionName | None,
        rows: tuple[int, ...] | None = None,
    ) -> Channel:
        """The law of this steering with its reference, as the engine takes it.

        Args:
            strength: target, or the paper's lambda where `paper`.
            paper: which of the two `strength` is.
            tokens: which tokens; None leaves it to the method.
            reference: which reference; None leaves it to the method.
            execution: plan or feedback; None leaves it to the method.
            rows: which prompts of a batch; None is all.

        Raises:
            InputError: an unknown choice, or a plan with an absolute reference.
        """
        against, how = self._choices(reference, execution, paper)
        where = self._tokens(tokens, against)
        value = _number_or_rows(strength)
        planned = how == "plan"
        units = self.units
        law = AffineLaw.schedule(self.plan) if planned else self._law()
        setpoint: Reference
        if planned:
            setpoint, law_units = Absolute(value), Units.plain(law.blocks)
        elif paper:
            setpoint, law_units = Paper(value), units
        elif against == "absolute":
            setpoint, law_units = Absolute(value), units
        else:
            scaled = Units(self.controller.prefilter * units.norm, units.origin)
            setpoint, law_units = Relative(value), scaled
        return Channel(
            law=law,
            reference=setpoint,
            units=law_units,
            watch=self.directions,
            scale=units,
            tokens=where,
            rows=rows,
            tracks=not planned,
            matching=self.provenance.decision_tokens if where == "matching" else (),
        )

    def save_pretrained(self, path: str | Path) -> Path:
        """Write `steering.safetensors`, `steering.json` and a card into the folder `path`.

        Raises:
            ArtifactError: the folder cannot be written; nothing is left half done.
        """
        return store.save(self.to_artifact(), Path(path))

    def push_to_hub(self, repo: str, *, private: bool = False, token: str | None = None) -> str:
        """Save and upload to the Hugging Face hub.

        Args:
            repo: "owner/name"; made where it does not exist.
            private: make it private.
            token: access token; the one logged in with by default.

        Returns:
            The address of the commit.
        """
        return store.push(self.to_artifact(), repo, private=private, token=token)

    @classmethod
    def from_pretrained(
        cls, path_or_repo: str | Path, *, revision: str | None = None
    ) -> "Steering":
        """Load from a folder, or from the hub.

        Raises:
            ArtifactError: truncated, malformed, of a newer format, with NaN or wrong shapes, or
                holding anything but tensors and JSON. Nothing is ever executed.
        """
        return cls(*parts_of(store.load(path_or_repo, revision=revision)))

    def to_artifact(self) -> store.Artifact:
        """Tensors and plain data, as they are saved."""
        return artifact_of(Parts(self.direction, self.controller, self.method, self.provenance))

    def summary(self) -> str:
        """A few lines for a person: method, model, separation by block."""
        # Before block 0 a state holds nothing but its own token.
        best = 1 + int(self.direction.separation[1:].argmax())
        made = self.provenance
        return (
            f"{self.method.name} for {made.model or made.model_type} ({made.blocks} blocks, "
            f"n = {made.n}); separation d' = {float(self.direction.separation[best]):.2f} "
            f"+- {float(self.direction.separation_se[best]):.2f} at state {best}, read at "
            f"{made.positions}; {made.pairs[0]} desired and {made.pairs[1]} undesired examples"
        )

    def _law(self) -> AffineLaw:
        return AffineLaw(self.controller.H, self.controller.G)

    def _tokens(self, tokens: Tokens | None, against: ReferenceName) -> Tokens:
        known = self.provenance.decision_tokens
        if tokens == "matching" and not known:
            raise InputError(
                "this steering was read at too many kinds of token to match them; use "
                "tokens='last' or 'all'."
            )
        if tokens is not None:
            return tokens
        return "matching" if known and against == "relative" else self.method.tokens

    def _choices(
        self, reference: ReferenceName | None, execution: ExecutionName | None, paper: bool
    ) -> tuple[ReferenceName, ExecutionName]:
        if paper and reference == "relative":
            raise InputError("lambda_ is an absolute setpoint; use target= with a relative one.")
        against = reference or ("absolute" if paper else self.method.reference)
        how = execution or ("feedback" if against == "absolute" else self.method.execution)
        if against not in ("relative", "absolute"):
            raise InputError(f"reference is {against!r}; choose relative or absolute.")
        if how not in ("plan", "feedback"):
            raise InputError(f"execution is {how!r}; choose plan or feedback.")
        if how == "plan" and against == "absolute":
            raise InputError(
                "a plan is made before the model runs and cannot hold an absolute setpoint; use "
                "execution='feedback' or reference='relative'."
            )
        if how == "feedback" and not bool(self.controller.H.any()):
            raise InputError(f"{self.method.name} observes nothing; it only runs as a plan.")
        return against, how


def attach(
    model: nn.Module,
    steerings: Sequence[Steering | None],
    target: Strength | None = None,
    *,
    lambda_: Strength | None = None,
    tokens: Tokens | None = None,
    reference: ReferenceName | None = None,
    execution: ExecutionName | None = None,
    prompt_length: int | None = None,
    trace: bool = True,
) -> Run:
    """Steer a batch: one steering for all of it, or one a prompt.

    Args:
        model: the loaded model; it is not changed.
        steerings: one steering for every row, or one for each prompt of the batch, None for a
            prompt that is left alone.
        target: strength in natural units, one number or one a prompt. Default 1.
        lambda_: strength as the paper has it instead.
        tokens: as in `Steering.attach`, and so are the others.
        reference: see there.
        execution: see there.
        prompt_length: see there.
        trace: see there.

    Raises:
        MismatchError: a steering was made for another model.
        InputError: no steering, both strengths, or strengths that do not go with the prompts.
    """
    strength, paper = _one_strength(target, lambda_)
    blocks = locate(model)
    for steering in steerings:
        if steering is not None:
            steering.provenance.require_model(model, blocks)
    shared = len(steerings) == 1
    prompts = len(_rows_of(strength)) or (0 if shared else len(steerings))
    if not shared and prompts != len(steerings):
        raise InputError(f"{len(steerings)} steerings and {prompts} strengths: give one a prompt.")
    channels = []
    for steering, rows in _grouped(steerings):
        values = _rows_of(strength)
        mine = [values[row] for row in rows] if values and rows is not None else strength
        channels.append(
            steering.channel(
                mine,
                paper=paper,
                tokens=tokens,
                reference=reference,
                execution=execution,
                rows=rows,
            )
        )
    return Run(
        model,
        blocks,
        tuple(channels),
        prompts=prompts or None,
        prompt_length=prompt_length,
        trace=trace,
    )


def _grouped(
    steerings: Sequence[Steering | None],
) -> list[tuple[Steering, tuple[int, ...] | None]]:
    """Each different steering with the prompts it has; None stands for all of them."""
    if len(steerings) == 1 and steerings[0] is not None:
        return [(steerings[0], None)]
    unique: list[Steering] = []
    for steering in steerings:
        if steering is not None and not any(steering is other for other in unique):
            unique.append(steering)
    if not unique:
        raise InputError("there is no steering to attach: every prompt was given None.")
    return [(one, tuple(i for i, s in enumerate(steerings) if s is one)) for one in unique]


def _one_strength(target: Strength | None, lambda_: Strength | None) -> tuple[Strength, bool]:
    if target is not None and lambda_ is not None:
        raise InputError("give target (natural units) or lambda_ (the paper's), not both.")
    if lambda_ is not None:
        return lambda_, True
    return (1.0 if target is None else target), False


def _rows_of(strength: Strength) -> list[float]:
    """One strength a prompt, or nothing where one number is for all."""
    if isinstance(strength, Tensor):
        return [float(value) for value in strength.flatten()] if strength.ndim else []
    return [float(value) for value in strength] if isinstance(strength, Sequence) else []


def _number_or_rows(strength: Strength) -> float | Tensor:
    values = _rows_of(strength)
    return torch.tensor(values) if values else float(strength)  # type: ignore[arg-type]

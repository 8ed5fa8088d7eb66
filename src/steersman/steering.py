"""A steering: directions, controller and provenance, frozen; attached to a model or saved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from steersman import store
from steersman.artifact import Parts, artifact_of, parts_of
from steersman.attachable import Attachable
from steersman.attaching import channel_of, units_of
from steersman.batches import attach
from steersman.compiling import Verdict, WeightDelta, check, fold
from steersman.control import Units
from steersman.diagnostics import Diagnostic
from steersman.directions import Direction, Features, Natural
from steersman.engines import Channel, Run, Tokens, tokens_named
from steersman.errors import InputError
from steersman.gating import Gate, PromptCondition, SoftGate
from steersman.methods import Controller, Coupling, ExecutionName, Method, ReferenceName
from steersman.plant import Blocks, Example, locate
from steersman.provenance import Provenance
from steersman.request import RelinearizeName, Request, Rows, Strength
from steersman.sums import Summable


@dataclass(frozen=True, eq=False)
class Steering(Summable, Attachable):
    """Everything that steers the features of one model, one or several.

        u_t = G_t (s_t - H_t' x_t),   H_t, G_t and the plan from the controller

    The tensors of a steering of one feature are `(blocks, n)`; of several they have an axis more at
    the end, in the order of `features.names`.

    Args:
        features: each feature's direction at every state `x_0 .. x_T`, with its natural units.
        controller: the law's tensors and the plan.
        method: the method and its hyper-parameters.
        provenance: where all of it comes from.
        coupling: how the features pull on each other; None where the method knows no plant.
        natural: how states differ naturally, where the method has to know.
        diagnostics: tables of what the method found out while it was fitted.
        gate: at which tokens and for which prompts it acts, unless it is asked otherwise.
    """

    features: Features
    controller: Controller
    method: Method
    provenance: Provenance
    coupling: Coupling | None = None
    natural: Natural | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    gate: Gate = Gate()

    @property
    def direction(self) -> Direction:
        """The direction of the only feature.

        Raises:
            InputError: there are several; `features.directions` has them by name.
        """
        return self.features.one

    @property
    def directions(self) -> Float[Tensor, "blocks n *features"]:
        """`v_t`: along what the feature is observed at the input of each block, of length one."""
        return self._shown(self.features.vectors[:-1])

    @property
    def contrast(self) -> Float[Tensor, "blocks n *features"]:
        """`c_t = mean desired - mean undesired` at the input of each block."""
        return self._shown(self.features.contrast[:-1])

    @property
    def gains(self) -> Float[Tensor, "blocks n *features"]:
        """`g_t`: what a unit of a feature's error adds at the output of each block."""
        return self._shown(self.controller.G[..., : len(self.features)])

    @property
    def plan(self) -> Float[Tensor, "blocks n *features"]:
        """The fixed schedule that relative target 1 amounts to on the averaged plant."""
        return self._shown(self.controller.plan)

    @property
    def units(self) -> Units:
        """Natural units at the input of each block, `(blocks,)` or `(blocks, features)`."""
        units = units_of(self.features)
        return Units(self._shown(units.norm), self._shown(units.origin))

    def when(self, condition: PromptCondition | None) -> "Steering":
        """The same steering for prompts that meet a condition, and no others.

        Whether one does is decided once, on the unsteered prompt, and holds for all that is written
        behind it; each row of a batch has its own decision, which the trace shows as `fired`.

        Args:
            condition: as `fit_condition` makes them, combined by `&`, `|` and `~`; None is every
                prompt.

        Raises:
            MismatchError: the condition was made for another model.
        """
        if condition is not None:
            condition.require(self.provenance.blocks, self.provenance.n)
        return replace(self, gate=replace(self.gate, condition=condition))

    def softly(self, gate: SoftGate | None) -> "Steering":
        """The same steering, at each token as much as a probe of its state says.

            u_t = sigma(w_t' x + b_t) u_t'          x what the law reads, u' what it would add

        Args:
            gate: as `fit_soft_gate` makes it; None acts wholly.

        Raises:
            MismatchError: the gate was made for another model.
        """
        if gate is not None:
            gate.require(self.provenance.blocks, self.provenance.n)
        return replace(self, gate=replace(self.gate, soft=gate))

    def at(self, tokens: Tokens | None, tokenizer: Any = None) -> "Steering":
        """The same steering at other tokens, where `attach` does not name any.

        Args:
            tokens: as `attach` takes them; "text:TEXT" for those that contain a text; None leaves
                them to the method.
            tokenizer: turns a text into token ids; the one that the steering was fitted with.

        Raises:
            InputError: no such rule, a text without a tokenizer, or one that no token contains.
        """
        if tokens is None:
            return replace(self, gate=replace(self.gate, tokens=None))
        rule = tokens_named(tokens)
        if tokenizer is not None:
            rule = rule.with_tokenizer(tokenizer)
        rule = rule.with_ids(self.provenance.decision_tokens)
        if rule.lacks:
            raise InputError(rule.lacks)
        return replace(self, gate=replace(self.gate, tokens=rule.name))

    def attach(
        self,
        model: nn.Module,
        target: Strength | None = None,
        *,
        lambda_: Strength | None = None,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        relinearize: RelinearizeName = "fit",
        correction: float = 0.0,
        cap: float | None = None,
        prompt_length: int | None = None,
        trace: bool = True,
    ) -> Run:
        """Steer `model` inside a `with` block.

            u_t = G_t (s_t - H_t' x_t),   added at the output of block t

        Args:
            model: the loaded model that this steering was made for; it is not changed.
            target: strength in natural units, one number or one a prompt; of several features by
                name, as `{"truth": 1.0, "toxicity": 0.0}`. With a relative reference 0 leaves the
                feature alone and 1 moves it by the whole contrast, from where undesired examples
                sit to where desired ones do; a feature that is not named is held put, as with 0.
                With an absolute one 0 is where undesired examples sit and 1 where desired ones do,
                and every feature has to be named. Default 1, for one feature.
            lambda_: strength as the paper has it, `s_t = lambda_ |c_t|` along the contrast; an
                absolute reference.
            tokens: "matching" steers the tokens at which the examples were read, "last" from the
                prompt's last token on, "all" every token, "generated" generated ones alone,
                "prompt", "prompt:first:K", "prompt:last:M" and "prompt:first:K+last:M" those of the
                prompt, "ids:ID,ID" those with these ids; "generated&ids:ID" what both choose. By
                default what `at` was given, or "matching" with a relative
                reference, where the examples were read at few kinds of token; else what the
                method says.
            reference: "relative" to the token's own unsteered feature, or "absolute".
            execution: "plan" adds the schedule that the closed loop amounts to on the averaged
                plant; "feedback" measures. A relative reference needs, for feedback, a second
                pass of the bare model over the same tokens.
            relinearize: "fit" steers by the plant averaged over the fit's prompts; "prompt" solves
                again at the trajectory of each prompt of the batch, as it arrives, for methods that
                know the plant by its products; "token" at that of every token too, as it is
                generated. The law is tried out at that token first, and what it misses, as long
                pushes bend the blocks, moves its target. A prompt must then come in one pass, and
                tokens one by one.
            correction: the share of what a token's final feature missed that the next token is
                asked for in addition, below 2: integral action from token to token, which makes
                tracking offset-free where what disturbs it lasts. Feedback only; 0 is none.
            cap: the longest input relative to the state at the block's input, `|u_t| <= cap |x_t|`,
                for any method, or to what a block holds where a method acts inside it; a longer
                one keeps its direction. None is no cap.
            prompt_length: columns of the prompt, where it arrives in chunks and tokens is "last".
            trace: record features, setpoints and efforts.

        Returns:
            A `Run`, to be used in a `with` block.

        Raises:
            MismatchError: the model is another one.
            InputError: both or contradictory strengths, not finite, or not of these features; or a
                cap that is not above zero.
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
            relinearize=relinearize,
            correction=correction,
            cap=cap,
            prompt_length=prompt_length,
            trace=trace,
        )

    def compile(
        self,
        model: nn.Module,
        target: Strength | None = None,
        *,
        lambda_: Strength | None = None,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        approximate: bool = False,
    ) -> WeightDelta:
        """This steering as a change of the weights, for where no hook can run.

            b_t <- b_t + u_t        the bias of the last map that writes into block t's output

        Exact, up to rounding, for a schedule at every token: `execution="plan", tokens="all"`.

        Args:
            model: the loaded model that this steering was made for; it is not changed.
            target: strength, one number for all prompts, and so are the others as in `attach`.
            lambda_: see there.
            tokens: see there.
            reference: see there.
            execution: see there.
            approximate: take the nearest change of weights where none is exact: a schedule that
                is for some tokens acts at all of them.

        Raises:
            CompilationError: no change of weights does it, or only approximately; says why, and
                what is nearest.
            MismatchError: the model is another one.
        """
        request = Request.of(
            target, lambda_, tokens=tokens, reference=reference, execution=execution
        )
        self.provenance.require_model(model, locate(model))
        return fold(self.to_parts(), request, model, approximate=approximate)

    def compilable(
        self,
        model: nn.Module,
        target: Strength | None = None,
        *,
        lambda_: Strength | None = None,
        tokens: Tokens | None = None,
        reference: ReferenceName | None = None,
        execution: ExecutionName | None = None,
        relinearize: RelinearizeName = "fit",
        correction: float = 0.0,
        cap: float | None = None,
        tokenizer: Any = None,
        prompts: Sequence[Example] = (),
    ) -> Verdict:
        """Whether a change of weights does what `attach` does with the same words, and why.

        Args:
            model: the model, as for `compile`.
            target: as in `attach`, and so are the others.
            lambda_: see there.
            tokens: see there.
            reference: see there.
            execution: see there.
            relinearize: see there.
            correction: see there.
            cap: see there.
            tokenizer: the model's, where there are prompts.
            prompts: where to measure how far the logits of both are apart.

        Raises:
            MismatchError: the model is another one.
            InputError: choices that contradict each other.
        """
        request = Request.of(
            target,
            lambda_,
            tokens=tokens,
            reference=reference,
            execution=execution,
            relinearize=relinearize,
            correction=correction,
            cap=cap,
        )
        blocks = locate(model)
        self.provenance.require_model(model, blocks)

        def attached() -> Run:
            return Run(model, blocks, (self.channel(request, model),), trace=False)

        return check(self.to_parts(), request, model, attached, tokenizer, prompts)

    def channel(self, request: Request, model: nn.Module, rows: Rows = None) -> Channel:
        """The law of this steering with its reference, as the engine takes it.

        Args:
            request: strength, reference, execution and tokens; None leaves them to the steering.
            model: the model that is about to run.
            rows: which prompts of a batch; None is all.

        Raises:
            InputError: an unknown choice, or a plan with an absolute reference.
        """
        return channel_of(self.to_parts(), request, model, rows)

    def channels(
        self, request: Request, model: nn.Module, rows: Rows = None
    ) -> tuple[Channel, ...]:
        """The law alone, as `channel` makes it."""
        return (self.channel(request, model, rows),)

    def require_model(self, model: nn.Module, blocks: Blocks) -> None:
        """Refuse a model that it was not made for."""
        self.provenance.require_model(model, blocks)

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
        return artifact_of(self.to_parts())

    def summary(self) -> str:
        """A few lines for a person: method, model, separation, what the method found out."""
        made = self.provenance
        each = [self._separation(name) for name in self.features.names if any(made.pairs[name])]
        read = [f", read at {made.positions}", *(f"; {one}" for one in each)] if each else []
        return (
            f"{self.method.name} for {made.model or made.model_type} ({made.blocks} blocks, "
            f"n = {made.n})"
            + "".join([*read, *(f"; {one.headline}" for one in self.diagnostics)])
            + (f"; acts at {self.gate.sentence}" if self.gate.sentence else "")
        )

    def _separation(self, name: str) -> str:
        """How well one feature is separated, and by what it was read."""
        direction, (desired, undesired) = (
            self.features.directions[name],
            self.provenance.pairs[name],
        )
        # Before block 0 a state holds nothing but its own token.
        best = 1 + int(direction.separation[1:].argmax())
        called = f"{name!r}: " if len(self.features) > 1 else ""
        return (
            f"{called}separation d' = {float(direction.separation[best]):.2f} "
            f"+- {float(direction.separation_se[best]):.2f} at state {best}, "
            f"{desired} desired and {undesired} undesired examples"
        )

    def _shown(self, tensor: Float[Tensor, "*axes features"]) -> Float[Tensor, "..."]:
        """As it is told to people: one feature has no axis of its own."""
        return tensor[..., 0] if len(self.features) == 1 else tensor

    @classmethod
    def of_parts(cls, parts: Parts) -> "Steering":
        """One that is made of these."""
        return cls(*parts)

    def to_parts(self) -> Parts:
        """What it is made of."""
        return Parts(
            self.features,
            self.controller,
            self.method,
            self.provenance,
            self.coupling,
            self.natural,
            self.diagnostics,
            self.gate,
        )

"""Nothing happens that was not asked for: zero strength, hooks, the model's own tensors."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.control import Absolute, AffineLaw, Relative
from steersman.engines import Channel
from steersman.invariants.check import Check
from steersman.invariants.trial import Trial, difference
from steersman.plant import hooked


def zero_strength(trial: Trial) -> Check:
    """At strength zero, with every block's gate closed, and afterwards: the same bits."""
    bare, again = trial.logits(trial.batch()), trial.logits(trial.batch())
    relative, absolute = trial.channels["relative"], trial.channels["absolute"]
    cases = {
        "plan at 0": (replace(trial.channels["plan"], reference=Absolute(0.0)),),
        "relative feedback at 0": (replace(relative, reference=Relative(0.0)),),
        "gate closed at every block": (
            replace(absolute, law=replace(_affine(absolute), active=())),
        ),
        "nothing attached any more": (),
    }
    apart = {}
    for name, channels in cases.items():
        with trial.steered(*channels):
            apart[name] = difference(trial.logits(trial.batch()), bare)
    return Check.below(
        "zero strength leaves the logits bit-identical",
        max(apart.values()),
        difference(again, bare),
        "; ".join(apart) + "; the tolerance is what the bare model differs from itself",
    )


def full_strength(trial: Trial) -> Check:
    """Each form of the random steering really changes something, or the rest would be vacuous."""
    bare = trial.logits(trial.batch())
    moved = {}
    for name, channel in trial.channels.items():
        with trial.steered(channel):
            moved[name] = difference(trial.logits(trial.batch()), bare)
    least = min(moved.values())
    return Check(
        "a steering moves the logits",
        least > trial.tolerance,
        least,
        trial.tolerance,
        "must exceed the tolerance; " + ", ".join(f"{k} {v:.2g}" for k, v in moved.items()),
    )


def earlier_tokens(trial: Trial) -> Check:
    """Steering from the prompt's last token on leaves the tokens before it alone."""
    bare = [row[:-1] for row in trial.logits(trial.batch()) if len(row) > 1]
    with trial.steered(trial.channels["plan"]):
        steered = [row[:-1] for row in trial.logits(trial.batch()) if len(row) > 1]
    return Check.below(
        "tokens before the gate opens are left alone",
        difference(steered, bare),
        trial.tolerance,
        f"{sum(map(len, bare))} prompt tokens before the last, in a padded batch",
    )


def no_hooks_left(trial: Trial) -> Check:
    """After the end, an exception in a block, and a cancelled pass, no hook of ours is left."""
    counts = {}
    with trial.steered(trial.channels["relative"]):
        trial.logits(trial.single(0))
    counts["after the end"] = _hooks(trial.model)
    for name, error in (("an exception", _Broken), ("a cancelled pass", _Cancelled)):
        try:
            with trial.steered(_failing(trial.channels["relative"], error)):
                trial.logits(trial.single(0))
        except error:
            counts[f"after {name}"] = _hooks(trial.model)
    expected = 3
    return Check(
        "no hook is left",
        len(counts) == expected and not any(counts.values()),
        float(sum(counts.values())),
        0.0,
        ", ".join(f"{count} {when}" for when, count in counts.items()),
    )


def fingerprint(model: nn.Module) -> dict[str, object]:
    """What a model is: bytes, place and flags of its tensors, types and flags of its modules."""
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        found[f"module {name}"] = (type(module), module.training, module.forward)
    for name, parameter in model.named_parameters():
        found[f"flag {name}"] = (id(parameter), parameter.requires_grad, parameter.grad is None)
    hashed: dict[tuple[int, object], str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        place = (tensor.dtype, tensor.device, tuple(tensor.shape))
        key = (tensor.data_ptr(), place)
        if key not in hashed:  # tied weights are read once
            hashed[key] = _digest(tensor)
        found[f"tensor {name}"] = (*place, hashed[key])
    return found


def not_changed(before: dict[str, object], after: dict[str, object]) -> Check:
    """The model is what it was before all other checks."""
    names = sorted(before.keys() | after.keys())
    changed = [name for name in names if before.get(name) != after.get(name)]
    tensors = sum(name.startswith("tensor ") for name in names)
    detail = f"SHA-256, dtype, device, flags of {tensors} tensors; types and flags of modules"
    return Check.below(
        "the model is not changed",
        float(len(changed)),
        0.0,
        f"changed: {', '.join(changed[:5])}" if changed else detail,
    )


class _Broken(Exception):
    """What goes wrong in a block."""


class _Cancelled(BaseException):
    """What a cancelled stream is like: no `Exception`."""


@dataclass(frozen=True, eq=False)
class _FailingLaw(AffineLaw):
    """Raises `error` in the middle block."""

    error: type[BaseException] = _Broken

    def to(self, device: torch.device | str) -> "_FailingLaw":
        return replace(self, H=self.H.to(device), G=self.G.to(device))

    def input(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        if block == self.blocks // 2:
            raise self.error
        return super().input(state, x, reference, block)

    def added(
        self,
        state: None,
        x: Float[Tensor, "rows n"],
        reference: Float[Tensor, "rows k"],
        block: int,
        y: Float[Tensor, "rows n"],
    ) -> tuple[None, Float[Tensor, "rows n"]]:
        _, u = self.input(state, x, reference, block)
        return None, y + u


def _failing(channel: Channel, error: type[BaseException]) -> Channel:
    law = _affine(channel)
    return replace(channel, law=_FailingLaw(law.H, law.G, error=error))


def _affine(channel: Channel) -> AffineLaw:
    assert isinstance(channel.law, AffineLaw)
    return channel.law


def _hooks(model: nn.Module) -> int:
    return sum(hooked(module) for module in model.modules())


def _digest(tensor: Tensor) -> str:
    digest = hashlib.sha256()
    for part in _dense_parts(tensor):
        if part.device.type != "meta":  # offloaded weights are not here to be read
            flat = part.detach().reshape(-1).cpu().contiguous()
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _dense_parts(tensor: Tensor) -> Iterator[Tensor]:
    """The plain tensors that a quantised one is made of, or itself."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    for name in flatten()[0]:
        yield from _dense_parts(getattr(tensor, name))

"""The one place that registers forward hooks, and the one that opens a block's arguments.

A hook never writes into a tensor: it returns new arguments or a new output. Every hook is an
object of this module, so that a module can be asked who holds it, without any global state.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from steersman.errors import ArchitectureError, AttachedError

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
BeforeHook = Callable[[Args, Kwargs], tuple[Args, Kwargs] | None]
AfterHook = Callable[[Args, Kwargs, Any], Any]

# What the residual stream is called when a block receives it by keyword.
_RESIDUAL_KEYS = ("hidden_states", "hidden_state", "x")


class _Before:
    """A forward pre-hook of ours, and who holds it."""

    def __init__(self, call: BeforeHook, owner: object) -> None:
        self.call = call
        self.owner = owner

    def __call__(self, module: nn.Module, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs] | None:
        return self.call(args, kwargs)


class _After:
    """A forward hook of ours, and who holds it."""

    def __init__(self, call: AfterHook, owner: object) -> None:
        self.call = call
        self.owner = owner

    def __call__(self, module: nn.Module, args: Args, kwargs: Kwargs, output: Any) -> Any:
        return self.call(args, kwargs, output)


class HookSet:
    """Forward hooks that live together and go together.

    Use it in a `with` block: every hook is gone when the block is left, by whatever way. Without
    one, call `close`; closing twice does no harm.

    Args:
        owner: found again by `owners(module)`; None when the hooks only look.
    """

    def __init__(self, owner: object = None) -> None:
        """Start with no hook."""
        self._owner = owner
        self._handles: list[RemovableHandle] = []
        self._closed = False

    def before(self, module: nn.Module, call: BeforeHook) -> None:
        """Call `call(args, kwargs)` before `module`; it may return new ones, or None to only look.

        Raises:
            AttachedError: the set is closed.
        """
        self._require_open()
        hook = _Before(call, self._owner)
        self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def after(self, module: nn.Module, call: AfterHook) -> None:
        """Call `call(args, kwargs, output)` after `module`; it may return a new output, or None.

        Raises:
            AttachedError: the set is closed.
        """
        self._require_open()
        hook = _After(call, self._owner)
        self._handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def close(self) -> None:
        """Remove every hook of the set."""
        self._closed = True
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> "HookSet":
        """Return the set itself."""
        self._require_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove every hook, also after an exception."""
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise AttachedError("this HookSet is closed: make a new one to hook a module again")


def hooked(module: nn.Module) -> bool:
    """Whether `module` carries any hook of this package."""
    return bool(_ours(module))


def owners(module: nn.Module) -> tuple[object, ...]:
    """Who holds hooks of this package on `module`, each once; hooks that only look have none."""
    found: list[object] = []
    for hook in _ours(module):
        if hook.owner is not None and not any(hook.owner is other for other in found):
            found.append(hook.owner)
    return tuple(found)


def _ours(module: nn.Module) -> list[_Before | _After]:
    registered = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    return [hook for hook in registered if isinstance(hook, _Before | _After)]


def hidden_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The residual stream among the arguments of a block: the first, or the one named so.

    Raises:
        ArchitectureError: there is none.
    """
    if args and isinstance(args[0], Tensor):
        return args[0]
    for key in _RESIDUAL_KEYS:
        if isinstance(kwargs.get(key), Tensor):
            return torch.as_tensor(kwargs[key])
    raise ArchitectureError(
        "a decoder block was called without a residual stream that can be recognised: "
        f"{len(args)} positional arguments and {sorted(kwargs)}; expected a tensor first, "
        f"or one named {' or '.join(_RESIDUAL_KEYS)}"
    )


def with_hidden_in(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], new: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same arguments with the residual stream replaced by `new`; nothing is written in place.

    Raises:
        ArchitectureError: there is no residual stream to replace.
    """
    if args and isinstance(args[0], Tensor):
        return (new, *args[1:]), dict(kwargs)
    old = hidden_in(args, kwargs)
    return args, {key: new if value is old else value for key, value in kwargs.items()}


def hidden_out(output: Any) -> Tensor:
    """The residual stream in the output of a block: a tensor, or the first entry of a sequence.

    Raises:
        ArchitectureError: there is none.
    """
    if isinstance(output, Tensor):
        return output
    first = None
    if isinstance(output, Mapping):
        first = next(iter(output.values()), None)
    elif isinstance(output, tuple | list):
        first = output[0] if output else None
    if isinstance(first, Tensor):
        return first
    raise ArchitectureError(
        f"a decoder block returned {type(output).__name__} that does not start with a tensor"
    )


def with_hidden(output: Any, new: Tensor) -> Any:
    """The same output with the residual stream replaced by `new`: same type, nothing in place.

    Raises:
        ArchitectureError: there is no residual stream to replace.
    """
    if isinstance(output, Tensor):
        return new
    old = hidden_out(output)
    if isinstance(output, Mapping):
        build: Any = type(output)
        return build(**{key: new if value is old else value for key, value in output.items()})
    rest = list(output)[1:]
    if isinstance(output, tuple) and hasattr(output, "_make"):
        return output._make((new, *rest))
    return type(output)((new, *rest))

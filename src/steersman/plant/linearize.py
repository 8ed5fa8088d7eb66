"""Frozen-prefix linearisation: Jacobians of the blocks at one token of one prompt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from steersman.errors import ArchitectureError, InputError, NumericalError, ShapeError
from steersman.plant.blocks import Blocks, locate
from steersman.plant.calls import Call, record_calls, require_bare
from steersman.plant.forward import input_device, require_evaluation
from steersman.plant.hooks import hidden_out, with_hidden_in


@dataclass(frozen=True, eq=False)
class Linearization:
    """The blocks of a model around the last token of one prompt.

        A_t = d f_t(x_t) / d x_t        keys and values of all earlier tokens held fixed

    Products take as many columns at a time as the model was run with rows.

    Args:
        blocks: the blocks.
        rows: columns that are differentiated at a time.
        states: x_0 .. x_T of the last token.
    """

    blocks: Blocks
    rows: int
    states: Float[Tensor, "states n"]
    _calls: tuple[Call, ...]

    def jacobian(self, block: int) -> Float[Tensor, "n n"]:
        """The matrix A_t of one block.

        Args:
            block: t, from 0.

        Returns:
            A_t, on the device of the block, in float32 (float64 when the model is).
        """
        with _differentiable():
            x, y = self._apply(block)
            return torch.cat([_pull(x, y, rows) for rows in _unit_rows(y)])

    def vjp(self, block: int, w: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t' w` for a vector or the columns of a matrix, without forming A_t.

        Args:
            block: t, from 0.
            w: cotangents at the output of the block.

        Returns:
            Cotangents at its input, on the device of the block, in float32 (float64 when the model
            is).

        Raises:
            ShapeError: w does not have n rows.
        """
        self._require_width(w)
        with _differentiable():
            x, y = self._apply(block)
            return _as_columns([_pull(x, y, rows) for rows in self._as_rows(w, y)], w)

    def jvp(self, block: int, v: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`A_t v` for a vector or the columns of a matrix: how w -> A_t' w changes along v.

        Args:
            block: t, from 0.
            v: tangents at the input of the block.

        Returns:
            Tangents at its output, on the device of the block, in float32 (float64 when the model
            is).

        Raises:
            ShapeError: v does not have n rows.
        """
        self._require_width(v)
        # Fused attention kernels have no second derivative.
        with _differentiable(), sdpa_kernel([SDPBackend.MATH]):
            x, y = self._apply(block)
            w = torch.zeros_like(y, requires_grad=True)
            (pulled,) = torch.autograd.grad(y, x, w, create_graph=True)
            return _as_columns([_pull(w, pulled, rows) for rows in self._as_rows(v, y)], v)

    def _apply(self, block: int) -> tuple[Tensor, Tensor]:
        """`rows` copies of the last token's state as a leaf, and the block's outputs for them."""
        call = self._calls[block]
        x = call.x[:, -1].repeat(self.rows, 1).requires_grad_()
        earlier = call.x[:, :-1].expand(self.rows, -1, -1)
        args, kwargs = with_hidden_in(call.args, call.kwargs, torch.cat([earlier, x[:, None]], 1))
        y = hidden_out(self.blocks.modules[block](*args, **kwargs))[:, -1]
        self._require_same(block, y)
        return x, y

    def _require_same(self, block: int, y: Tensor) -> None:
        expected = self.states[block + 1].to(y.device)
        found = y.detach()[0].to(expected.dtype)
        if not found.isfinite().all():
            raise NumericalError(f"the output of block {block} is not finite")
        if (found - expected).norm() > _tolerance(y.dtype) * expected.norm():
            raise ArchitectureError(
                f"block {block} ({type(self.blocks.modules[block]).__name__}) gave another output "
                "when it was called again with the same arguments: it keeps a state of its own, "
                "and cannot be linearised"
            )

    def _as_rows(self, columns: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        rows = columns.reshape(self.blocks.n, -1).T.to(device=y.device, dtype=y.dtype)
        return torch.split(rows, self.rows)

    def _require_width(self, columns: Tensor) -> None:
        n = self.blocks.n
        if columns.ndim not in (1, 2) or columns.shape[0] != n:
            raise ShapeError(
                f"columns of shape {tuple(columns.shape)} do not fit blocks of n = {n}: expected "
                f"({n},) or ({n}, k)"
            )


def linearize(
    model: nn.Module, input_ids: Int[Tensor, "1 length"], *, chunk: int = 64
) -> Linearization:
    """Run a prompt once and keep what it takes to differentiate its last token's path.

    The prefix is run into a cache; then the last token is decoded in `chunk` equal rows on a cache
    that answers with the prefix and never grows, and each block's call is recorded. A model whose
    cache holds more than keys and values, or that has none, is run over the whole prompt instead:
    the same derivatives, for more time and memory.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        input_ids: one prompt without padding, at least one token.
        chunk: columns differentiated at a time.

    Returns:
        The linearisation at the last token.

    Raises:
        InputError: no token, no column at a time, or a model in training mode.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or cannot be called again.
    """
    if input_ids.shape[1] < 1 or chunk < 1:
        raise InputError(f"{input_ids.shape[1]} tokens, chunk = {chunk}: both must be at least 1")
    require_evaluation(model)
    blocks = locate(model)
    require_bare(blocks)
    rows = min(chunk, blocks.n)
    ids = input_ids.to(input_device(blocks))
    calls, last = record_calls(model, blocks, ids, rows)
    states = [call.x[0, -1] for call in calls] + [last]
    dtype = torch.promote_types(last.dtype, torch.float32)
    return Linearization(
        blocks=blocks,
        rows=rows,
        states=torch.stack([x.to(device="cpu", dtype=dtype) for x in states]),
        _calls=calls,
    )


def jacobians(
    model: nn.Module, input_ids: Int[Tensor, "1 length"], *, chunk: int = 64
) -> Float[Tensor, "blocks n n"]:
    """The Jacobians A_t of every block at the last token of one prompt, earlier tokens fixed.

        A_t = d f_t(x_t) / d x_t

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        input_ids: one prompt without padding, at least one token.
        chunk: rows of A_t computed at a time; bounds the memory.

    Returns:
        A of shape (T, n, n) on the CPU, in float32 (float64 when the model is).

    Raises:
        InputError: no token, no row at a time, or a model in training mode.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or cannot be called again.
        NumericalError: a Jacobian is not finite.
    """
    found = linearize(model, input_ids, chunk=chunk)
    return torch.stack([finite_jacobian(found, t).cpu() for t in range(len(found.blocks))])


def finite_jacobian(found: Linearization, block: int) -> Float[Tensor, "n n"]:
    """`found.jacobian(block)`, refused when it is not finite.

    Raises:
        NumericalError: NaN or infinity; the message names the block.
    """
    matrix = found.jacobian(block)
    if not matrix.isfinite().all():
        raise NumericalError(
            f"the Jacobian of block {block} is not finite: load the model in bfloat16 or float32 "
            "if it is in float16"
        )
    return matrix


@contextmanager
def _differentiable() -> Iterator[None]:
    """Gradients, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _unit_rows(y: Tensor) -> tuple[Tensor, ...]:
    return torch.split(torch.eye(y.shape[-1], device=y.device, dtype=y.dtype), y.shape[0])


def _tolerance(dtype: torch.dtype) -> float:
    # Half of the digits: rounding is far below, a state kept between calls far above.
    return float(max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) ** 0.5)


def _as_columns(rows: list[Tensor], like: Tensor) -> Tensor:
    return torch.cat(rows).T.reshape(like.shape)


def _pull(x: Tensor, y: Tensor, cotangents: Tensor) -> Tensor:
    """Row i: the gradient of y_i . cotangent_i; the last chunk may be short."""
    count = cotangents.shape[0]
    full = torch.zeros_like(y)
    full[:count] = cotangents
    (gradient,) = torch.autograd.grad(y, x, full, retain_graph=True)
    return gradient[:count].to(torch.promote_types(gradient.dtype, torch.float32))

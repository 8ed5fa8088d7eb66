"""Frozen-prefix linearisation: products with the blocks' Jacobians at one token of one prompt."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from steersman.errors import ArchitectureError, ShapeError
from steersman.plant.blocks import Blocks
from steersman.plant.calls import Call, Graph, record_calls
from steersman.plant.frozen_run import CHUNK, FrozenRun, pull, require_finite_output
from steersman.plant.hooks import hidden_out, with_hidden_in

_EXPONENT = 100  # of two: far from the ends of float32's range


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
    _graphs: tuple[Graph, ...] = ()

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
            x, y = self._graphs[block] if self._graphs else self._apply(block)
            scaled, size = _to_unit_size(w)
            found = [pull(x, y, rows) for rows in self._as_rows(scaled, y)]
            return _as_columns(found, w, size)

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
            scaled, size = _to_unit_size(v)
            found = [pull(w, pulled, rows) for rows in self._as_rows(scaled, y)]
            return _as_columns(found, v, size)

    def outputs(self, block: int, x: Float[Tensor, " n *k"]) -> Float[Tensor, " n *k"]:
        """`f_t(x)` for other states of the last token, its prefix as it was.

        Args:
            block: t, from 0.
            x: states at the input of the block, one a column.

        Returns:
            States at its output, on the device of the block, in float32 (float64 when the model
            is).

        Raises:
            ShapeError: x does not have n rows.
        """
        self._require_width(x)
        like = self._calls[block].x
        given = x.reshape(self.blocks.n, -1).T.to(device=like.device, dtype=like.dtype)
        found = []
        with torch.inference_mode(False), torch.no_grad():
            for rows in torch.split(given, self.rows):
                # The cache answers for `rows` rows, so the last ones are filled up.
                filled = torch.cat([rows, rows[-1:].expand(self.rows - len(rows), -1)])
                found.append(self._called(block, filled)[: len(rows)])
        dtype = torch.promote_types(like.dtype, torch.float32)
        return _as_columns([rows.to(dtype) for rows in found], x)

    def _apply(self, block: int) -> tuple[Tensor, Tensor]:
        """`rows` copies of the last token's state as a leaf, and the block's outputs for them."""
        x = self._calls[block].x[:, -1].repeat(self.rows, 1).requires_grad_()
        y = self._called(block, x)
        self._require_same(block, y)
        return x, y

    def _called(self, block: int, x: Float[Tensor, "rows n"]) -> Float[Tensor, "rows n"]:
        """The block's output at the last token, where `x` are the states that it is given there."""
        call = self._calls[block]
        earlier = call.x[:, :-1].expand(self.rows, -1, -1)
        args, kwargs = with_hidden_in(call.args, call.kwargs, torch.cat([earlier, x[:, None]], 1))
        return hidden_out(self.blocks.modules[block](*args, **kwargs))[:, -1]

    def _require_same(self, block: int, y: Tensor) -> None:
        expected = self.states[block + 1].to(y.device)
        found = y.detach()[0].to(expected.dtype)
        require_finite_output(block, found)
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
    model: nn.Module,
    input_ids: Int[Tensor, "1 length"],
    *,
    chunk: int = CHUNK,
    asleep: object = None,
    keep: bool = False,
) -> Linearization:
    """Run a prompt once and keep what it takes to differentiate its last token's path.

    The last token runs in `chunk` equal rows, its prefix held fixed, and each block's call is
    recorded.

    Args:
        model: a transformers model in evaluation mode, with no steering attached; only read.
        input_ids: one prompt without padding, at least one token.
        chunk: columns differentiated at a time.
        asleep: whoever holds hooks on the model that do nothing meanwhile.
        keep: keep each block's graph of that run, so that products `A_t' w` do not call the blocks
            again; it holds `chunk` rows of all blocks in memory as long as the linearisation lives.

    Returns:
        The linearisation at the last token.

    Raises:
        InputError: no token, no column at a time, or a model in training mode.
        AttachedError: a steering is attached.
        ArchitectureError: the blocks are not found, or cannot be called again.
    """
    run = FrozenRun.of(model, input_ids, chunk, asleep)
    calls, last, graphs = record_calls(run, keep=keep and run.frozen)
    states = [call.x[0, -1] for call in calls] + [last]
    for block, state in enumerate(states[1:] if graphs else ()):
        require_finite_output(block, state)
    dtype = torch.promote_types(last.dtype, torch.float32)
    return Linearization(
        blocks=run.blocks,
        rows=run.rows,
        states=torch.stack([x.to(device="cpu", dtype=dtype) for x in states]),
        _calls=calls,
        _graphs=graphs,
    )


@contextmanager
def _differentiable() -> Iterator[None]:
    """Gradients, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _tolerance(dtype: torch.dtype) -> float:
    # Half of the digits: rounding is far below, a state kept between calls far above.
    return float(max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) ** 0.5)


def _to_unit_size(columns: Tensor) -> tuple[Tensor, Tensor]:
    """The columns with their largest entries near 1, and the powers of two that make them so.

    Products are linear, so this changes no digit; but float16 has none for numbers below 1e-7.
    """
    wide = columns.to(torch.promote_types(columns.dtype, torch.float32))
    exponent = torch.frexp(wide.abs().amax(dim=0)).exponent.clamp(-_EXPONENT, _EXPONENT)
    size = torch.ldexp(torch.ones_like(exponent, dtype=wide.dtype), exponent)
    return wide / size, size


def _as_columns(rows: list[Tensor], like: Tensor, size: Tensor | None = None) -> Tensor:
    columns = torch.cat(rows).T.reshape(like.shape)
    return columns if size is None else columns * size.to(columns)

"""A model on the test bench: forwards over a few prompts, with and without a random steering."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from steersman.control import Absolute, AffineLaw, Relative, Units
from steersman.engines import Channel, Run
from steersman.errors import InputError
from steersman.plant import Blocks, Encoded, Tokens, capture_batch, locate, pad, pad_id, tokenize
from steersman.plant.forward import accepts, input_device, require_evaluation

PROMPTS = (
    "the cat sat on the mat and the dog ran",
    "one",
    "two birds were in the red tree and one said : the house is cold",
)


@dataclass(frozen=True)
class Precision:
    """What can be asked of a model's number format.

    Args:
        tolerance: on differences between logits, relative to the largest of them.
        share: length of the random steering's inputs, as a share of the residual stream's; it
            has to stand out from the tolerance.
    """

    tolerance: float
    share: float

    @classmethod
    def of(cls, model: nn.Module) -> "Precision":
        """That of the model's first floating-point weight."""
        formats = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
        dtype = next(formats, torch.float32)
        if dtype in (torch.float16, torch.bfloat16):
            # Rounding alone may send a token to another expert, which moves a logit this much.
            return cls(tolerance=16 * torch.finfo(dtype).eps, share=0.2)
        return cls(tolerance=1e-4, share=0.05)


@dataclass(frozen=True, eq=False)
class Trial:
    """A model, a few prompts of different lengths, and random steerings in each form there is.

    Args:
        model: the model under test, in evaluation mode.
        blocks: its decoder blocks.
        tokens: the prompts.
        filler: the id that pads them.
        channels: "plan" from the last prompt token on; "absolute" and "relative" feedback at all
            tokens.
        tolerance: on differences relative to the largest logit, for the model's precision.
    """

    model: nn.Module
    blocks: Blocks
    tokens: tuple[Tokens, ...]
    filler: int
    channels: dict[str, Channel]
    tolerance: float

    def batch(self, side: Literal["left", "right"] = "left") -> Encoded:
        """All prompts in one padded batch."""
        return pad(self.tokens, self.filler, device=input_device(self.blocks), side=side)

    def single(self, row: int) -> Encoded:
        """One prompt, unpadded."""
        return pad([self.tokens[row]], self.filler, device=input_device(self.blocks))

    @property
    def longest(self) -> int:
        """The row of the longest prompt."""
        return max(range(len(self.tokens)), key=lambda row: len(self.tokens[row]))

    def steered(
        self, *channels: Channel, prompt_length: int | None = None
    ) -> AbstractContextManager[Any]:
        """The channels in force inside a `with` block; nothing where there are none."""
        if not channels:
            return nullcontext()
        named = any(channel.rows is not None for channel in channels)
        return Run(
            self.model,
            self.blocks,
            channels,
            prompts=len(self.tokens) if named else None,
            prompt_length=prompt_length,
            trace=False,
        )

    def logits(self, encoded: Encoded) -> list[Float[Tensor, "tokens vocabulary"]]:
        """One pass without a cache: for each row the logits of its real tokens, on the CPU."""
        output = self.call(encoded.input_ids, encoded.attention_mask, encoded.position_ids)
        mask = encoded.attention_mask.bool().cpu()
        return [row[real] for row, real in zip(_plain(output.logits), mask, strict=True)]

    def alone(self) -> list[Float[Tensor, "tokens vocabulary"]]:
        """The same, one prompt at a time."""
        return [self.logits(self.single(row))[0] for row in range(len(self.tokens))]

    def in_pieces(
        self, ids: Int[Tensor, "1 length"], sizes: Sequence[int]
    ) -> list[Float[Tensor, "tokens vocabulary"]]:
        """One sequence through the model in consecutive passes over a key-value cache.

        Raises:
            InputError: the model has no cache.
        """
        cache, done, parts = None, 0, []
        for size in sizes:
            mask = torch.ones_like(ids[:, : done + size])
            positions = torch.arange(done, done + size, device=ids.device)[None]
            output = self.call(ids[:, done : done + size], mask, positions, cache, cached=True)
            cache = getattr(output, "past_key_values", None)
            if cache is None:
                raise InputError("the model keeps no key-value cache")
            parts.append(_plain(output.logits)[0])
            done += size
        return [torch.cat(parts)]

    def call(
        self,
        ids: Int[Tensor, "rows length"],
        mask: Int[Tensor, "rows columns"],
        positions: Int[Tensor, "rows length"],
        cache: Any = None,
        cached: bool = False,
    ) -> Any:
        """One forward, with the arguments that the model takes."""
        given = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": cached,
        }
        known = {k: v for k, v in given.items() if v is not None and accepts(self.model, k)}
        with torch.no_grad():
            return self.model(**known)


def prepare(model: nn.Module, tokenizer: Any, seed: int = 0) -> Trial:
    """Put a model on the bench.

    Raises:
        ArchitectureError: its blocks are not found.
        InputError: it is in training mode.
    """
    require_evaluation(model)
    blocks = locate(model)
    tokens = tuple(tokenize(tokenizer, PROMPTS, max_length=blocks.context))
    filler = pad_id(tokenizer)
    device, precision = input_device(blocks), Precision.of(model)
    states = [
        capture_batch(model, blocks, pad([one], filler, device=device), [(len(one) - 1,)])
        for one in tokens
    ]
    return Trial(
        model=model,
        blocks=blocks,
        tokens=tokens,
        filler=filler,
        channels=random_channels(torch.cat(states).float(), precision.share, seed),
        tolerance=precision.tolerance,
    )


def random_channels(
    states: Float[Tensor, "examples states n"], share: float, seed: int
) -> dict[str, Channel]:
    """A steering in each form, along random directions, scaled to the residual stream.

    Args:
        states: x_0 .. x_T of a few examples.
        share: length of its inputs, as a share of the states'.
        seed: of the directions.
    """
    generator = torch.Generator().manual_seed(seed)
    count, n = states.shape[1] - 1, states.shape[2]
    v = nn.functional.normalize(torch.randn(count, n, 1, generator=generator), dim=1)
    # The median, because the state of a first token can be a hundred times longer than others.
    length = states.norm(dim=-1).median(dim=0).values
    features = torch.einsum("etn,tnk->et", states[:, :-1], v)
    units = Units(2 * share * length[:-1], features.median(dim=0).values)
    schedule = AffineLaw.schedule(share * length[1:, None, None] * v)
    feedback = AffineLaw(v, 0.5 * v)
    plain = Units.plain(count)
    return {
        "plan": Channel(schedule, Absolute(1.0), plain, v, units, "last", tracks=False),
        "absolute": Channel(feedback, Absolute(1.0), units, v, units, "all"),
        "relative": Channel(feedback, Relative(1.0), units, v, units, "all"),
    }


def difference(
    found: Sequence[Float[Tensor, "..."]], expected: Sequence[Float[Tensor, "..."]]
) -> float:
    """The largest difference, relative to the largest entry that was expected."""
    largest = max(float(row.abs().max()) for row in expected)
    apart = [float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)]
    # max() passes over a NaN that is not first; a NaN must show.
    worst = float("nan") if any(value != value for value in apart) else max(apart)
    return worst / largest if largest > 0 else worst


def _plain(logits: Tensor) -> Float[Tensor, "rows tokens vocabulary"]:
    """On the CPU, in a precision that differences can be taken in."""
    return logits.detach().to("cpu", torch.promote_types(logits.dtype, torch.float32))

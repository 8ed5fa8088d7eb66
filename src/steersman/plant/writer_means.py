"""Mean inputs and outputs of the maps that write into the residual stream, over examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from steersman.errors import ArchitectureError, NumericalError
from steersman.plant.blocks import locate
from steersman.plant.capturing import CaptureJob, Pool
from steersman.plant.chat import Example
from steersman.plant.forward import forward_arguments, require_evaluation
from steersman.plant.hooks import HookSet, hidden_in, hidden_out
from steersman.plant.positions import LastToken, Positions
from steersman.plant.writers import Writer


@dataclass(frozen=True, eq=False)
class WriterMeans:
    """What the writers of a model take in and put out on average, by the names of their weights.

    Args:
        inputs: mean `h`, `(in,)`.
        outputs: mean `W h + b`, `(n,)`.
        states: mean input of every block, `(blocks, n)`.
    """

    inputs: dict[str, Float[Tensor, " inputs"]]
    outputs: dict[str, Float[Tensor, " n"]]
    states: Float[Tensor, "blocks n"]


def capture_writer_means(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    writers: Sequence[Writer],
    texts: Sequence[Example],
    positions: Positions | None = None,
    *,
    batch_size: int = 16,
    prompts: Sequence[str] | None = None,
    progress: bool = False,
) -> WriterMeans:
    """Mean over the examples of each one's mean over the tokens that a rule selects.

    Args:
        model: a transformers model in evaluation mode; only read.
        tokenizer: its tokenizer; only read.
        writers: of the model; linear maps, not experts.
        texts: texts or conversations.
        positions: where to read; the last token when None.
        batch_size: examples in one forward.
        prompts: for plain texts, the beginning of each that is not yet the response.
        progress: show a progress bar.

    Returns:
        The means, in float64 on the CPU.

    Raises:
        InputError: an example cannot be used, or the rule selects none of its tokens.
        NumericalError: a mean is not finite.
        ArchitectureError: a writer did not run, or takes in something else than one state a token.
    """
    require_evaluation(model)
    job = CaptureJob(model, tokenizer, texts, positions or LastToken(), prompts, None)
    blocks = locate(model)
    totals: dict[tuple[str, str], Tensor] = {}
    for batch, encoded in job.batches(batch_size, progress):
        add = _Adder(totals, Pool.mean(encoded, [job.chosen[i] for i in batch]), encoded.input_ids)
        with HookSet() as hooks, torch.no_grad():
            for t, block in enumerate(blocks.modules):
                hooks.before(block, partial(add.before, "state", str(t)))
            for writer in writers:
                hooks.before(writer.module, partial(add.before, "input", writer.name))
                hooks.after(writer.module, partial(add.after, "output", writer.name))
            model(**forward_arguments(model, encoded))
    means = {key: total / len(job.tokens) for key, total in totals.items()}
    bad = [name for (_, name), mean in means.items() if not bool(mean.isfinite().all())]
    if bad:
        raise NumericalError(f"a mean of {bad[0]} is not finite: load the model in float32.")
    try:
        return WriterMeans(
            {writer.name: means["input", writer.name] for writer in writers},
            {writer.name: means["output", writer.name] for writer in writers},
            torch.stack([means["state", str(t)] for t in range(len(blocks))]),
        )
    except KeyError as error:
        raise ArchitectureError(f"{error} was not seen in a forward.") from error


class _Adder:
    """Adds what passes, averaged over the chosen tokens of each example, to running totals."""

    def __init__(self, totals: dict[tuple[str, str], Tensor], pool: Pool, ids: Tensor) -> None:
        self._totals, self._pool, self._shape = totals, pool, tuple(ids.shape)

    def before(self, kind: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._add(kind, name, hidden_in(args, kwargs))

    def after(
        self, kind: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        self._add(kind, name, hidden_out(output))

    def _add(self, kind: str, name: str, x: Tensor) -> None:
        if x.shape[:-1].numel() != self._shape[0] * self._shape[1]:
            raise ArchitectureError(
                f"{name} got a tensor of shape {tuple(x.shape)} for {self._shape} tokens: it is "
                "not run once on each."
            )
        found = self._pool(x.reshape(*self._shape, -1)).sum(dim=0).to("cpu", torch.float64)
        before = self._totals.get((kind, name))
        self._totals[kind, name] = found if before is None else before + found

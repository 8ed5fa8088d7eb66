"""Let a model go on from the same prompts at any strength, and note what that cost."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steersman.data import Example
from steersman.engines import Run, Trace
from steersman.plant import HookSet, hidden_out, locate
from steersman.sampling import Sampled, Verdict, sample, verdicts


@dataclass(frozen=True, eq=False)
class Written:
    """What a model wrote after the prompts, and what the bare model says of it.

    Args:
        prompts: texts or conversations.
        texts: what followed each.
        loss: mean loss of each text under the bare model, nats per token.
        divergence: KL from the bare model along each text, nats per token.
        inputs: mean length `|u_t|` of what each block was given, over the steered tokens of each
            prompt and its text; NaN where none was steered.
        lengths: median length `|x_{t+1}|` of the bare model's states at the output of each block,
            over the tokens of all prompts and texts.
    """

    prompts: tuple[Example, ...]
    texts: tuple[str, ...]
    loss: Float[Tensor, " prompts"]
    divergence: Float[Tensor, " prompts"]
    inputs: Float[Tensor, "prompts blocks"]
    lengths: Float[Tensor, " blocks"]


@dataclass(frozen=True, eq=False)
class Writer:
    """Goes on from the prompts with the same random numbers whatever the strength.

    A token is drawn as the largest of `log p_i + g_i`, with Gumbel noise `g` that is the same for
    the same seed. It changes with the strength only where its distribution changes enough, so that
    values at two strengths differ by what steering does and little by chance.

    Args:
        model: the model, with nothing attached.
        tokenizer: its tokenizer.
        prompts: texts or conversations, at least one.
        attach: makes a run at a strength, with a trace.
        new_tokens: how many tokens at most.
        seed: of the sampling; each batch has its own, whatever was drawn for the ones before.
        batch_size: prompts at a time.
        wrote: told after each batch how many prompts it had.
    """

    model: nn.Module
    tokenizer: Any
    prompts: tuple[Example, ...]
    attach: Callable[[float], Run]
    new_tokens: int
    seed: int
    batch_size: int
    wrote: Callable[[int], None]

    def write(self, strength: float | None) -> Written:
        """Go on from every prompt.

        Args:
            strength: of the steering; None leaves the model bare.

        Raises:
            InputError: a prompt cannot be used, or there is no room for the answer.
            NumericalError: the model's logits are not finite.
        """
        texts: list[str] = []
        judged: list[Verdict] = []
        inputs, lengths = [], []
        for drawn, run in self._batches(strength):
            found, states = self._seen_by_the_bare_model(drawn)
            texts += drawn.texts
            judged += found
            lengths.append(states)
            idle = torch.zeros(len(found), len(states))
            inputs.append(idle if run is None else _mean_inputs(run.trace, drawn))
        return Written(
            prompts=self.prompts,
            texts=tuple(texts),
            loss=torch.tensor([one.loss for one in judged]),
            divergence=torch.tensor([one.divergence for one in judged]),
            inputs=torch.cat(inputs),
            lengths=torch.cat(lengths, dim=1).median(dim=1).values,
        )

    def _batches(self, strength: float | None) -> Iterator[tuple[Sampled, Run | None]]:
        """Every batch with the run that steered it, which is over."""
        for start in range(0, len(self.prompts), self.batch_size):
            prompts = self.prompts[start : start + self.batch_size]
            run = None if strength is None else self.attach(strength)
            with nullcontext() if run is None else run:
                (drawn,) = sample(
                    self.model,
                    self.tokenizer,
                    prompts,
                    new_tokens=self.new_tokens,
                    seed=self.seed + start,
                    batch_size=len(prompts),
                )
            yield drawn, run
            self.wrote(len(prompts))

    def _seen_by_the_bare_model(
        self, drawn: Sampled
    ) -> tuple[list[Verdict], Float[Tensor, "blocks tokens"]]:
        """Its verdicts, and the lengths of its states, from one pass."""
        real, lengths = drawn.mask.bool(), []

        def look(args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            x = hidden_out(output)
            lengths.append(x[real.to(x.device)].float().norm(dim=-1).cpu())

        with HookSet() as hooks:
            for module in locate(self.model).modules:
                hooks.after(module, look)
            judged = list(verdicts(self.model, [drawn]))
        return judged, torch.stack(lengths)


def _mean_inputs(trace: Trace, drawn: Sampled) -> Float[Tensor, "prompts blocks"]:
    """Mean `|u_t|` over real steered tokens; the last one drawn is never run."""
    real = drawn.mask[:, : trace.steered.shape[1]].bool().cpu()
    steered = (trace.steered & real)[:, None]
    total = trace.effort.where(steered, 0.0).sum(-1)
    return total / steered.sum(-1)

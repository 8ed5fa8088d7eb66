"""States that were captured before, on disk, found again by what they are states of."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from steersman.errors import InputError
from steersman.files import write_whole
from steersman.plant.blocks import Blocks, locate
from steersman.plant.capture import (
    TokenStates,
    capture_states,
    capture_tokens,
    capture_with_sites,
)
from steersman.plant.chat import Example
from steersman.plant.fingerprint import fingerprint
from steersman.plant.hooks import hooked
from steersman.plant.positions import LastToken, Positions
from steersman.plant.sites import Sites
from steersman.plant.tokens import tokenize

_FORMAT = "steersman-states-1"


class _Asked(NamedTuple):
    """The names of both kinds of file, and which tokens of each example they are states of."""

    tokens: Path
    means: Path
    chosen: list[tuple[int, ...]]
    shape: tuple[int, int]

    def keep(self, captured: Float[Tensor, "examples states n"]) -> None:
        """Write the mean states of every example; of one token each they are those of tokens."""
        single = all(count == 1 for count in self.counts)
        _write(captured, self.tokens if single else self.means)

    def of_site(self, sites: Sites) -> Path:
        """The file of what the blocks hold at a site."""
        return self.means.with_name(self.means.name.replace("-means", f"-{sites.site}"))

    @property
    def counts(self) -> list[int]:
        """How many tokens of each example are read."""
        return [len(some) for some in self.chosen]


@dataclass(frozen=True)
class StateCache:
    """A folder of captured states, one safetensors file for one list of examples.

        name = SHA-256 of (the model's fingerprint, token ids, which tokens are read, of which kind)

    The fingerprint knows the dtype. How examples are batched, and on which device, is not in the
    name: it changes states by rounding alone. What the fingerprint does not see must not change
    between two uses of one folder: an adapter that is switched off, or hooks that are not ours.
    While a steering is attached the folder is neither read nor written.

    A file that is truncated, altered or of another shape is made anew, with a warning. Files are
    written whole; any of them may be deleted at any time.

    Args:
        folder: where; made when it is first written to.

    Raises:
        InputError: there is something there that is no folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Check the folder before anything is run for it."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"the cache {self.folder} is no folder: name another one.")

    def states(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[Example],
        positions: Positions | None = None,
        *,
        batch_size: int = 16,
        prompts: Sequence[str] | None = None,
        progress: bool = False,
    ) -> Float[Tensor, "examples states n"]:
        """As `capture_states`, without a forward pass where the states are there.

        Where one token of each example is read, the states of tokens are the same ones; where
        several are, their mean is taken from those if they are there.

        Args:
            model: as there, and so are the others.
            tokenizer: see there.
            texts: see there.
            positions: see there.
            batch_size: see there.
            prompts: see there.
            progress: see there.
        """
        rule, blocks = positions or LastToken(), locate(model)
        asked = self._asked(model, blocks, tokenizer, texts, rule, prompts)
        found = None
        if asked is not None:
            found = _means_of(asked)
        if found is not None:
            return found
        captured = capture_states(
            model,
            tokenizer,
            texts,
            rule,
            batch_size=batch_size,
            prompts=prompts,
            progress=progress,
        )
        if asked is not None:
            asked.keep(captured)
        return captured

    def with_sites(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[Example],
        positions: Positions | None,
        sites: Sites,
        *,
        batch_size: int = 16,
        prompts: Sequence[str] | None = None,
        progress: bool = False,
    ) -> tuple[Float[Tensor, "examples states n"], Float[Tensor, "examples blocks width"]]:
        """As `capture_with_sites`, without a forward pass where both are there.

        Args:
            model: as there, and so are the others.
            tokenizer: see there.
            texts: see there.
            positions: see there.
            sites: see there.
            batch_size: see there.
            prompts: see there.
            progress: see there.
        """
        rule, blocks = positions or LastToken(), locate(model)
        asked = self._asked(model, blocks, tokenizer, texts, rule, prompts)
        if asked is not None:
            shape = len(blocks), sites.width
            states = _means_of(asked)
            parts = _loaded(asked.of_site(sites), len(asked.chosen), shape)
            if states is not None and parts is not None:
                return states, parts
        states, parts = capture_with_sites(
            *(model, tokenizer, texts, rule, sites),
            batch_size=batch_size,
            prompts=prompts,
            progress=progress,
        )
        if asked is not None:
            asked.keep(states)
            _write(parts, asked.of_site(sites))
        return states, parts

    def tokens(
        self,
        model: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[Example],
        positions: Positions | None = None,
        *,
        batch_size: int = 16,
        prompts: Sequence[str] | None = None,
        progress: bool = False,
    ) -> TokenStates:
        """As `capture_tokens`, without a forward pass where the states are there.

        Args:
            model: as there, and so are the others.
            tokenizer: see there.
            texts: see there.
            positions: see there.
            batch_size: see there.
            prompts: see there.
            progress: see there.
        """
        rule, blocks = positions or LastToken(), locate(model)
        asked = self._asked(model, blocks, tokenizer, texts, rule, prompts)
        rows = None if asked is None else _tokens_of(asked)
        if asked is not None and rows is not None:
            return TokenStates(
                states=rows,
                example=torch.tensor([i for i, some in enumerate(asked.chosen) for _ in some]),
                position=torch.tensor([place for some in asked.chosen for place in some]),
            )
        captured = capture_tokens(
            model,
            tokenizer,
            texts,
            rule,
            batch_size=batch_size,
            prompts=prompts,
            progress=progress,
        )
        if asked is not None:
            _write(captured.states, asked.tokens)
        return captured

    def _asked(
        self,
        model: nn.Module,
        blocks: Blocks,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[Example],
        rule: Positions,
        prompts: Sequence[str] | None,
    ) -> _Asked | None:
        """Where the states would be; None where they are not to be had from here."""
        if any(hooked(module) for module in blocks.modules):
            return None
        ids, chosen = _chosen(blocks, tokenizer, texts, rule, prompts)
        if not all(chosen):
            return None  # capturing them says what is wrong
        content = json.dumps([_FORMAT, fingerprint(model), ids, chosen])
        name = hashlib.sha256(content.encode()).hexdigest()
        tokens, means = (self.folder / f"{name}-{kind}.safetensors" for kind in ("tokens", "means"))
        return _Asked(tokens, means, chosen, (len(blocks) + 1, blocks.n))


def _chosen(
    blocks: Blocks,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Example],
    rule: Positions,
    prompts: Sequence[str] | None,
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The token ids of each example, and which of them are read."""
    tokens = tokenize(tokenizer, texts, max_length=blocks.context, prompts=prompts)
    return [one.ids for one in tokens], [rule.select(one) for one in tokens]


def _tokens_of(asked: _Asked) -> Float[Tensor, "tokens states n"] | None:
    return _loaded(asked.tokens, sum(asked.counts), asked.shape)


def _means_of(asked: _Asked) -> Float[Tensor, "examples states n"] | None:
    found = _loaded(asked.means, len(asked.chosen), asked.shape)
    if found is not None:
        return found
    rows = _tokens_of(asked)
    return None if rows is None else _averaged(rows, asked.counts)


def _averaged(rows: Tensor, counts: list[int]) -> Float[Tensor, "examples states n"]:
    number = torch.tensor(counts)
    groups = torch.arange(len(counts)).repeat_interleave(number)
    total = rows.new_zeros(len(counts), *rows.shape[1:]).index_add_(0, groups, rows)
    return total / number[:, None, None]


def _write(states: Tensor, path: Path) -> None:
    states = states.contiguous()
    # One entry: the order of several is drawn anew each time, and equal content makes equal files.
    header = {"content": _digest(states)}
    write_whole(save({"states": states}, metadata=header), path, "states")


def _loaded(path: Path, rows: int, shape: tuple[int, int]) -> Tensor | None:
    """What the file holds; None, and a warning, where it is not what it should be."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header, states = dict(file.metadata() or {}), file.get_tensor("states")
    except (SafetensorError, OSError, ValueError) as error:
        _warn(path, str(error))
        return None
    if tuple(states.shape) != (rows, *shape):
        _warn(path, f"states {tuple(states.shape)}, expected {(rows, *shape)}")
        return None
    if header.get("content") != _digest(states):
        _warn(path, "its content is not what was written")
        return None
    return torch.as_tensor(states)


def _warn(path: Path, why: str) -> None:
    warnings.warn(f"{path} is damaged ({why}); it is made anew.", stacklevel=6)


def _digest(states: Tensor) -> str:
    content = hashlib.sha256(states.contiguous().numpy().tobytes()).hexdigest()
    return f"{_FORMAT} {states.dtype} {content}"

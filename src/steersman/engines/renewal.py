"""Laws that are made anew: for the prompts of a batch, or for every generated token."""

from dataclasses import replace

from jaxtyping import Bool, Int
from torch import Tensor

from steersman.engines.channel import AtPrompt, Channel
from steersman.engines.rows import copies_of, rows_of
from steersman.engines.window import Window
from steersman.errors import InputError


def made_for(channel: Channel, window: Window, prompts: int | None, owner: object) -> Channel:
    """The channel with its law for the prompts of this batch, where it is made for them."""
    if channel.at_prompt is None:
        return channel
    if window.ids is None or window.cached:
        raise InputError(
            "a law that is made for each prompt needs the token ids of the whole prompt: call the "
            "model with input_ids and without an earlier cache, or attach with relinearize='fit'"
        )
    rows = rows_of(channel.rows, copies_of(window.batch, prompts), window)
    return _made(channel, channel.at_prompt, window.ids, window.valid, rows, owner)


def remade_for(
    channel: Channel,
    window: Window,
    known: Int[Tensor, "rows columns 2"] | None,
    prompts: int | None,
    owner: object,
) -> Channel:
    """The channel with its law for the token that is about to pass, where it is made for each.

    Args:
        channel: the steering.
        window: the token, one a row, behind a cache.
        known: ids of the whole sequence so far, this token's included, and which are real.
        prompts: how many prompts a batch holds, where that is known.
        owner: who holds hooks on the model meanwhile.

    Raises:
        InputError: more than one token passes, or there is no cache: then tokens that had laws of
            their own would be run again.
    """
    if channel.at_token is None:
        return channel
    if known is None or not window.cached or window.length != 1:
        raise InputError(
            "a law that is made for each token needs one token at a time behind a cache: generate "
            "with use_cache=True from input_ids, or attach with relinearize='prompt'"
        )
    rows = rows_of(channel.rows, copies_of(window.batch, prompts), window)
    return _made(channel, channel.at_token, known[..., 0], known[..., 1].bool(), rows, owner)


def _made(
    channel: Channel,
    make: AtPrompt,
    ids: Int[Tensor, "rows columns"],
    valid: Bool[Tensor, "rows columns"],
    rows: Tensor | None,
    owner: object,
) -> Channel:
    chosen = range(len(ids)) if rows is None else rows.tolist()
    made = make(tuple(ids[row][valid[row]] for row in chosen), owner)
    return replace(channel, law=made.law, units=made.units, moved=made.moved)

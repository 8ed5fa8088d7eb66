"""However the tokens reach the model, the same ones are steered in the same way."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.engines import Channel
from steersman.invariants.check import Check
from steersman.invariants.trial import Trial, difference

Compared = tuple[list[Float[Tensor, "..."]], list[Float[Tensor, "..."]]]
"""What was found, and what was expected."""

SLACK = 4
"""A steered model may disagree so many times as much with itself as the bare one does."""


def left_padding(trial: Trial) -> Check:
    """A left-padded batch gives what its prompts give one at a time."""

    def compare(*channels: Channel) -> Compared:
        with trial.steered(*channels):
            batched = trial.logits(trial.batch("left"))
        with trial.steered(*channels):
            return batched, trial.alone()

    return _agree(trial, "batched with left padding = one at a time", compare)


def right_padding(trial: Trial) -> Check:
    """A right-padded batch gives what its prompts give one at a time."""

    def compare(*channels: Channel) -> Compared:
        with trial.steered(*channels):
            batched = trial.logits(trial.batch("right"))
        with trial.steered(*channels):
            return batched, trial.alone()

    return _agree(trial, "batched with right padding = one at a time", compare)


def cache(trial: Trial) -> Check:
    """A prompt and then token by token over a cache gives what one pass gives."""
    encoded = trial.single(trial.longest)
    length = encoded.input_ids.shape[1]
    prompt = (length + 1) // 2

    def compare(*channels: Channel) -> Compared:
        with trial.steered(*channels):  # the first pass is the prompt
            stepped = trial.in_pieces(encoded.input_ids, [prompt, *[1] * (length - prompt)])
        with trial.steered(*channels, prompt_length=prompt):
            return stepped, trial.logits(encoded)

    return _agree(trial, "key-value cache = no cache", compare)


def chunked_prefill(trial: Trial) -> Check:
    """A prompt that arrives in chunks gives what one pass gives."""
    encoded = trial.single(trial.longest)
    length = encoded.input_ids.shape[1]
    sizes = [min(3, length - start) for start in range(0, length, 3)]

    def compare(*channels: Channel) -> Compared:
        with trial.steered(*channels, prompt_length=length - 1):
            chunked = trial.in_pieces(encoded.input_ids, sizes)
        with trial.steered(*channels, prompt_length=length - 1):
            return chunked, trial.logits(encoded)

    return _agree(trial, "chunked prefill = one pass", compare)


def generation(trial: Trial, new_tokens: int = 4) -> Check:
    """What `generate` computed for a padded batch is what one pass over its text computes."""
    batch = trial.batch("left")
    width = batch.input_ids.shape[1]

    def compare(*channels: Channel) -> Compared:
        with trial.steered(*channels):
            written = trial.model.generate(  # type: ignore[operator]
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=trial.filler,
                return_dict_in_generate=True,
                output_logits=True,
            )
        ids = written.sequences[:, :-1]
        fresh = batch.attention_mask.new_ones(len(ids), ids.shape[1] - width)
        mask = torch.cat([batch.attention_mask, fresh], dim=1)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with trial.steered(*channels, prompt_length=width):
            whole = trial.call(ids, mask, positions).logits[:, width - 1 :]
        return [torch.stack(written.logits, dim=1).float().cpu()], [whole.float().cpu()]

    name = "generation = one pass over what it wrote"
    if not getattr(trial.model, "can_generate", lambda: False)():
        return Check.not_applicable(name, "the model does not generate")
    return _agree(trial, name, compare)


def rows(trial: Trial) -> Check:
    """Rows of one batch under different steerings, or none, do not touch each other."""
    batch = trial.batch()
    plan, feedback = trial.channels["plan"], trial.channels["absolute"]
    bare = trial.logits(batch)
    with trial.steered(plan):
        planned = trial.logits(batch)
    with trial.steered(feedback):
        fed_back = trial.logits(batch)
    with trial.steered(replace(plan, rows=(0,)), replace(feedback, rows=(2,))):
        mixed = trial.logits(batch)
    return Check.below(
        "rows of one batch do not touch each other",
        difference(mixed, [planned[0], bare[1], fed_back[2]]),
        trial.tolerance,
        f"row 0 a plan, row 1 not steered ({difference(mixed[1:2], bare[1:2]):.2g} from the bare "
        "model), row 2 feedback",
    )


def _agree(trial: Trial, name: str, compare: Callable[..., Compared]) -> Check:
    """Judge every form of steering against the bare model's own disagreement."""
    try:
        bare = difference(*compare())
    except Exception as error:  # whatever the bare model cannot do is no fault of a steering
        return Check.not_applicable(name, f"unsteered, {type(error).__name__}: {error}")
    if bare != bare:
        return Check.not_applicable(name, "unsteered, the model gives NaN")
    apart = {form: difference(*compare(channel)) for form, channel in trial.channels.items()}
    worst = max(apart.values(), key=lambda value: (value != value, value))
    detail = ", ".join(f"{form} {value:.1e}" for form, value in apart.items())
    tolerance = max(trial.tolerance, SLACK * bare)
    return Check.below(name, worst, tolerance, f"{detail}; unsteered {bare:.1e}")

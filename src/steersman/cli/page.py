"""What the page of `steersman report` holds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from steersman.engines import Trace
from steersman.estimates import mean_over
from steersman.plots import separation_figure
from steersman.report import BehaviourReport, Report, Table

if TYPE_CHECKING:
    from steersman.steering import Steering


class Written(NamedTuple):
    """A prompt and what followed it, steered or not.

    Attributes:
        prompt: the prompt.
        length: its tokens.
        text: what followed.
        traces: of that run, one for each feature.
    """

    prompt: str
    length: int
    text: str
    traces: tuple[Trace, ...]


def compose(
    steering: "Steering",
    model: str,
    strength: str,
    unsteered: Sequence[Written],
    steered: Sequence[Written],
) -> Report:
    """A section for each feature, and how they pull on each other where there are several.

    Args:
        steering: what steered.
        model: the model's name.
        strength: what was asked of it, in words.
        unsteered: every prompt without steering.
        steered: the same with it.
    """
    made, names = steering.provenance, steering.features.names
    return Report(
        title=f"{steering.method.name} on {model}",
        subtitle=f"What a steering does to {len(steered)} "
        f"{'prompt' if len(steered) == 1 else 'prompts'}, at {strength}.",
        behaviours=[
            _section(steering, index, strength, unsteered, steered) for index in range(len(names))
        ],
        figures=[
            (
                f"How well each state separates the examples{_of(names, index)}, out of sample.",
                separation_figure(direction.separation, direction.separation_se),
            )
            for index, direction in enumerate(steering.features.directions.values())
        ],
        tables=[
            *_coupling(steering),
            *(
                (found.sentence, [list(found.columns), *found.texts()])
                for found in steering.diagnostics
            ),
        ],
        facts=[
            ("model", f"{made.model or made.model_type}, {made.blocks} blocks, n = {made.n}"),
            ("method", steering.method.name),
            *((name, _shown(v)) for name, v in steering.method.hyperparameters().items()),
            *(
                (f"examples{_of(names, index)}", f"{pairs[0]} desired, {pairs[1]} undesired")
                for index, pairs in enumerate(made.pairs[name] for name in names)
            ),
            ("positions", made.positions),
            ("direction", made.direction),
            ("observer", made.observer),
            ("plant averaged over", f"{made.jacobian_prompts} prompts"),
            *((name, found) for name, found in made.libraries.items()),
        ],
    )


def _section(
    steering: "Steering",
    index: int,
    strength: str,
    unsteered: Sequence[Written],
    steered: Sequence[Written],
) -> BehaviourReport:
    names, made = steering.features.names, steering.provenance
    direction = steering.features.directions[names[index]]
    # Not block 0: what goes into it, no input has reached yet.
    block = 1 + int(direction.separation[1:-1].argmax()) if made.blocks > 1 else 0
    before, after = (
        mean_over(torch.tensor([_feature(one.traces[index], block, one.length) for one in side]))
        for side in (unsteered, steered)
    )
    both = zip(unsteered, steered, strict=True)
    return BehaviourReport(
        name=strength if len(names) == 1 else names[index],
        description=(
            f"The mean feature at the input of block {block}, where the examples are separated "
            "best, from the prompt's last token on, in natural units: 0 where undesired examples "
            "sit, 1 where desired ones do. The standard error is over prompts."
        ),
        method=steering.summary(),
        score_name=f"feature at block {block}, natural units",
        before=before.value,
        before_se=before.se,
        after=after.value,
        after_se=after.se,
        samples=[(a.prompt, a.text, b.text) for a, b in both] if index == 0 else (),
        figures=[
            (f"The steered run of {one.prompt!r}.", one.traces[index].plot()) for one in steered
        ],
    )


def _coupling(steering: "Steering") -> list[Table]:
    if steering.coupling is None or len(steering.features) == 1:
        return []
    caption = (
        "How the features pull on each other on the averaged plant: how far each moves, in natural "
        "units, where one of them alone is steered by one unit; and the effort of that unit, in "
        "contrasts, alone and with the others held put."
    )
    return [(caption, steering.coupling.table())]


def _feature(trace: Trace, block: int, prompt_length: int) -> float:
    """The mean feature from the prompt's last token on, natural units."""
    return float(trace.natural(trace.feature)[0, block, prompt_length - 1 :].nanmean())


def _of(names: Sequence[str], index: int) -> str:
    return "" if len(names) == 1 else f" of {names[index]}"


def _shown(setting: object) -> str:
    return f"{setting:g}" if isinstance(setting, int | float) else str(setting)

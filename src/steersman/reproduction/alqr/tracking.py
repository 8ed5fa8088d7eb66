"""Does the feature come to its setpoint, block by block, at the prompt's last token?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.data import Example
from steersman.errors import SteersmanError
from steersman.evaluation import Task
from steersman.evaluation.items import Prompt
from steersman.evaluation.task import Split
from steersman.methods import FeatureLQR
from steersman.plant import encode, input_device, locate
from steersman.plant.forward import forward_arguments
from steersman.reproduction.alqr.sources import NO_SPLIT, PAPER
from steersman.reproduction.bench import Bench, Fitting, fitting_in
from steersman.reproduction.found import Found, Line
from steersman.reproduction.item import Item, Measure, Sizes
from steersman.reproduction.scripts import settings_of
from steersman.reproduction.statistics import exact, mean, root_mean_square
from steersman.reproduction.ways import Way, default, paper_form
from steersman.request import RelinearizeName
from steersman.steering import Steering

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASKED, OBTAINED, ERROR = "asked", "obtained", "error"
TRACKED = ("truthfulness", "toxicity", "refusal", "concepts")
_LAMBDAS = (1.5, 3.0)
"""At which the paper's figure is drawn, besides 0."""


class Profile(NamedTuple):
    """A feature over the states, in units of the contrast there.

    Attributes:
        values: of each prompt at `x_0 .. x_T`.
        asked: where the last of them should be.
    """

    values: Float[Tensor, "prompts states"]
    asked: float


def _measured(bench: Bench) -> Found:
    task = bench.sources.first(TRACKED)
    prompts, fitting = prompts_of(bench, task, "test", bench.sizes.count), bench.fitting(task)
    settings = settings_of("truthfulness", bench.name, bench.lambdas or _LAMBDAS)
    lines: list[Line] = []
    panels: dict[str, dict[str, Any]] = {}
    solved = Way("feature LQR solved at the prompt, target 1", FeatureLQR(), "", 1.0)
    planned = Way("feature LQR, plan, target 1", FeatureLQR(), "", 1.0)
    for way in (*paper_form(settings), default(0.5), default(), planned, solved):
        relinearize: RelinearizeName = "prompt" if way is solved else "fit"
        try:
            found = _profile(bench, way, fitting, prompts, relinearize)
        except SteersmanError as error:
            lines.append(Line(way.label, way.published, failed=str(error)))
            continue
        lines.append(_line(way, found))
        spread = found.values.std(dim=0) if len(found.values) > 1 else found.values[0] * torch.nan
        panels[way.label] = {
            "mean": found.values.mean(dim=0).tolist(),
            "sd": spread.tolist(),
            "asked": found.asked,
        }
    told = (
        f"Steered for {task.name}, at the last token of {len(prompts)} prompts of the test split."
    )
    return Found(tuple(lines), (told, *fitting.notes), {"task": task.name, "profiles": panels})


def prompts_of(bench: Bench, task: Task, split: Split, count: int) -> list[Example]:
    """Different prompts of a split of a task, of those that the model has room for.

    Args:
        bench: whose model.
        task: which task.
        split: which split.
        count: how many at most.

    Raises:
        InputError: there is none.
    """
    items = task.items(split, 0, count)
    found = {str(one.prompt): one.prompt for one in items if isinstance(one, Prompt)}
    return fitting_in(bench.model, bench.tokenizer, list(found.values()))


def _line(way: Way, found: Profile) -> Line:
    final = found.values[:, -1]
    values = {
        ASKED: exact(found.asked),
        OBTAINED: mean(final.tolist()),
        ERROR: root_mean_square((final - found.asked).tolist()),
    }
    return Line(way.label, way.published, values)


def _profile(
    bench: Bench,
    way: Way,
    fitting: Fitting,
    prompts: Sequence[Example],
    relinearize: RelinearizeName,
) -> Profile:
    """The feature at the last token: its value for an absolute setpoint, its change for others."""
    steering = bench.steering(way, fitting)
    seen = features(bench, steering, way, prompts, relinearize)
    norm = steering.direction.norm
    unit = norm.where(norm > 0, torch.nan).double()
    if isinstance(way.lambda_, float):
        return Profile(seen / unit, way.lambda_)
    nothing = Way("unsteered", way.method, target=0.0)
    bare = features(bench, steering, nothing, prompts, "fit")
    assert isinstance(way.target, float)
    return Profile((seen - bare) / unit, way.target)


def features(
    bench: Bench,
    steering: Steering,
    way: Way,
    prompts: Sequence[Example],
    relinearize: RelinearizeName,
) -> Float[Tensor, "prompts states"]:
    """`v_t' x_t` at the last token of every prompt, `t = 0 .. T`, everything added included.

    Args:
        bench: whose model.
        steering: what is attached.
        way: at which strength.
        prompts: texts or conversations.
        relinearize: as in `Steering.attach`.
    """
    blocks, found = locate(bench.model), []
    size = bench.sizes.batch_size
    for start in range(0, len(prompts), size):
        given = encode(
            bench.tokenizer,
            prompts[start : start + size],
            max_length=blocks.context,
            device=input_device(blocks),
        )
        attached = steering.attach(
            bench.model,
            way.target,
            lambda_=way.lambda_,
            tokens="last",
            relinearize=relinearize,
        )
        with attached as run, torch.no_grad():
            bench.model(**forward_arguments(bench.model, given))
        trace = run.trace
        assert trace.final is not None
        states = torch.cat([trace.feature[:, :, -1], trace.final[:, -1:]], dim=1)
        found.append(states.double().cpu())
    return torch.cat(found)


def _figure(found: Found) -> "Figure | None":
    from steersman.plots import setpoint_figure

    panels = {
        label: (one["mean"], one["sd"], one["asked"])
        for label, one in found.more["profiles"].items()
    }
    return setpoint_figure(panels) if panels else None


ITEM = Item(
    name="tracking",
    title="Setpoint tracking",
    shows=(
        "The feature at the input of every block against its setpoint, for lambda 1.5 and 3, and "
        "how trajectories of other prompts are followed."
    ),
    needs=(TRACKED,),
    sizes=Sizes(200, jacobians=35),
    work="200 prompts read once by each of 6 ways",
    measures=(
        Measure(ERROR, "rms error of the final feature", 1.0, 3),
        Measure(ASKED, "asked", 1.0, 2),
        Measure(OBTAINED, "obtained", 1.0, 3),
    ),
    measure=_measured,
    unknown="All of the paper's numbers for this; it is a figure.",
    differs=(
        NO_SPLIT,
        "In units of the contrast at each state. The paper's form asks for a value of the feature, "
        "counted from zero; a relative plan asks for a change from where the prompt has it.",
        f"To follow another prompt's trajectory, as {PAPER} does too, is steersman.track; it is "
        "not measured here.",
    ),
    sized=("pairs", "jacobians"),
    figure=_figure,
    caption=(
        "The feature (paper's form) or its change (relative) at every state, in units of the "
        "contrast there: blue the mean over prompts with one standard deviation either way, orange "
        "what is asked for."
    ),
)
"""The figure of setpoints."""

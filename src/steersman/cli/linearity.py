"""`steersman linearity`: how nearly linear is this model?"""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steersman.cli.console import note, out, require_free_file
from steersman.cli.options import DeviceMap, Dtype, JsonFile, Model, Quiet

_DEFAULT = Path("linearity.html")
_WINDTUNNEL_PAIRS = "windtunnel:toxicity"
_PAIRS = 200

PromptsFile = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="Texts or conversations, perhaps with a column [bold]domain[/bold]; without, some "
        "that come with the package.",
        show_default=False,
    ),
]
PairsFile = Annotated[
    str | None,
    typer.Option(
        "--pairs",
        metavar="FILE",
        help="Contrastive pairs, or windtunnel:BEHAVIOUR: also step along their direction.",
        show_default=False,
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="The page to write. [dim]linearity.html, without --json[/dim]",
        show_default=False,
    ),
]
Count = Annotated[int, typer.Option(min=1, help="Prompts of each domain, where no file is given.")]
Rank = Annotated[
    int | None,
    typer.Option(
        min=1, help="Leading directions compared; a twentieth of the width.", show_default=False
    ),
]
Seed = Annotated[int, typer.Option(help="Of random steps and draws.")]
Chunk = Annotated[int, typer.Option(min=1, help="Rows of a Jacobian at a time; less, less memory.")]


def linearity(
    model: Model,
    prompts: PromptsFile = None,
    pairs: PairsFile = None,
    page: Page = None,
    numbers: JsonFile = None,
    count: Count = 8,
    rank: Rank = None,
    seed: Seed = 0,
    chunk: Chunk = 128,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    quiet: Quiet = False,
) -> None:
    """Measure how nearly linear a model's blocks are, and how alike from prompt to prompt.

    Writes a page with the remainders of steps of many lengths, the Jacobians' spectra, and their
    similarity against chance.
    """
    from steersman.cli.models import WINDTUNNEL, open_domains, open_model, open_pairs
    from steersman.local_linearity import linearity as measure

    page = _DEFAULT if page is None and numbers is None else page
    _refuse_early(page, numbers)
    texts = open_domains(prompts, model, count=count, seed=seed)
    named = _WINDTUNNEL_PAIRS if pairs is None and model == WINDTUNNEL else pairs
    examples = None if named is None else open_pairs(named, count=_PAIRS, seed=seed, chat=False)
    loaded, tokenizer = open_model(model, dtype, device_map)
    found = measure(
        loaded,
        tokenizer,
        texts,
        feature=examples,
        rank=rank,
        seed=seed,
        chunk=chunk,
        progress=not quiet,
    )
    out.print(Text(found.summary()), soft_wrap=True)
    if numbers is not None:
        note(f"written to {found.to_json(numbers)}")
    if page is not None:
        note(f"written to {found.to_html(page)}")


def _refuse_early(page: Path | None, numbers: Path | None) -> None:
    """Refuse before anything is loaded what could not be written in the end.

    Raises:
        InputError: a file is there that is not of this command.
        MissingExtraError: a page is wanted and matplotlib is not installed.
    """
    from steersman.local_linearity.saving import SIGNATURE

    if page is not None:
        from steersman.plots import THEME

        require_free_file(page, THEME)
    if numbers is not None:
        require_free_file(numbers, SIGNATURE)

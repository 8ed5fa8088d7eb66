"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model on the Hugging Face hub, a folder, or [bold]windtunnel[/bold], the small "
        "model that comes with the package.",
        show_default=False,
    ),
]
Dtype = Annotated[
    str, typer.Option(help="auto is as saved; or float32, bfloat16, float16, float64.")
]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="auto, cuda, cuda:1 ...; the CPU by default.", show_default=False),
]
_SAVED = "A folder saved by fit, or owner/name on the hub"
SteeringPath = Annotated[str, typer.Option("--steering", "-s", help=f"{_SAVED}.", metavar="DIR")]
SteeringOrNone = Annotated[
    str | None,
    typer.Option(
        "--steering",
        "-s",
        metavar="DIR",
        help=f"{_SAVED}; the bare model without.",
        show_default=False,
    ),
]
SteeringArgument = Annotated[
    str, typer.Argument(metavar="STEERING", help=f"{_SAVED}.", show_default=False)
]
UnseenPrompts = Annotated[
    str,
    typer.Option(
        "--prompts",
        "-p",
        metavar="FILE",
        help="Prompts that the fit has not seen: a txt, csv, json, jsonl or parquet file, or "
        "[bold]windtunnel:toxicity[/bold] and other behaviours of the wind tunnel.",
    ),
]
PromptCount = Annotated[
    int, typer.Option("--count", min=1, help="Prompts drawn from the wind tunnel.")
]
PositionsName = Annotated[
    str | None,
    typer.Option(
        "--positions",
        help="Where the direction is read: last, all, response, first-response, written, "
        "marker:TEXT or regex:PATTERN; by default the continuation of aligned pairs, else what the "
        "method says, mostly the last token.",
        show_default=False,
    ),
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="[NAME=]NUMBER",
        help="Strength in natural units, from undesired (0) to desired (1); of several features "
        "once for each, by name. [dim]1.0[/dim]",
        show_default=False,
    ),
]
Lambda = Annotated[
    list[str] | None,
    typer.Option(
        "--lambda",
        metavar="[NAME=]NUMBER",
        help="Strength as the paper has it, in place of --target.",
        show_default=False,
    ),
]


def _known_tokens(word: str | None) -> str | None:
    """A rule for tokens as it is typed, with backslash and n for a line break."""
    if word is None:
        return None
    from steersman.engines import tokens_named
    from steersman.errors import InputError

    try:
        return tokens_named(word.replace("\\n", "\n")).name
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


TokensOption = Annotated[
    str | None,
    typer.Option(
        "--tokens",
        metavar="RULE",
        help="At which tokens: last (from the prompt's last one on), all, matching, generated, "
        "prompt, prompt:first:K+last:M, ids:ID,ID, text:TEXT, or several with & between; the "
        "steering decides by default.",
        callback=_known_tokens,
        show_default=False,
    ),
]
ReferenceOption = Annotated[
    Literal["relative", "absolute"] | None,
    typer.Option(
        "--reference",
        help="Set the feature relative to the token's own unsteered one, or absolutely.",
        show_default=False,
    ),
]
ExecutionOption = Annotated[
    Literal["plan", "feedback"] | None,
    typer.Option(
        "--execution",
        help="Add the precomputed schedule, or measure and correct.",
        show_default=False,
    ),
]
RelinearizeOption = Annotated[
    Literal["fit", "prompt", "token"],
    typer.Option(
        "--relinearize",
        help="Steer by the plant averaged over the fit, or solve again at the prompt, or at every "
        "token.",
    ),
]
Correction = Annotated[
    float,
    typer.Option(
        "--correction",
        help="Share of what a token missed that the next is asked for; with --execution feedback.",
    ),
]
Cap = Annotated[
    float | None,
    typer.Option(
        "--cap",
        help="The longest push relative to the residual stream, such as 0.1.",
        show_default=False,
    ),
]
NewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="How much to write.")]
Seed = Annotated[
    int | None,
    typer.Option(help="Sample with this seed; greedy without.", show_default=False),
]
Chat = Annotated[
    bool, typer.Option("--chat", help="Take the prompt for a user's message in a conversation.")
]
QuestionsAsChat = Annotated[
    bool, typer.Option("--chat", help="Take the questions in the file for a user's messages.")
]
Evaluations = Annotated[int, typer.Option(help="How many strengths are tried at most.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples or samples at a time.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
OutFolder = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Where to; nothing of yours is overwritten.",
        show_default=False,
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="FILE", help="Where all numbers go, as JSON.", show_default=False
    ),
]

"""`steersman import`: from the vectors of another tool to a saved steering."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.text import Text

from steersman.cli.blocks import BlocksOption, blocks_of
from steersman.cli.console import out
from steersman.cli.options import DeviceMap, Dtype, OutFolder
from steersman.cli.tasks import ModelName

VectorFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A .gguf of llama.cpp, repeng or EasySteer, a .svec of activation-steering, or a .pt "
        "of CAA or steering-vectors.",
        show_default=False,
    ),
]
ActingTokens = Annotated[
    Literal["all", "last"],
    typer.Option("--tokens", help="Act at every token, or from the prompt's last token on."),
]


def import_(
    file: VectorFile,
    model: ModelName,
    folder: OutFolder,
    blocks: BlocksOption = None,
    tokens: ActingTokens = "all",
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
) -> None:
    """Make a steering of the vectors in another tool's file."""
    from steersman.cli.models import open_model
    from steersman.exchange import import_vectors, read_vectors
    from steersman.store.folder import require_ours

    chosen = blocks_of(blocks)
    # What is wrong with the file or the folder is said before a model is loaded.
    vectors = read_vectors(file, chosen if isinstance(chosen, int) else None)
    if folder.is_dir():
        require_ours((entry.name for entry in folder.iterdir()), str(folder))
    loaded, tokenizer = open_model(model, dtype, device_map)
    steering = import_vectors(vectors, loaded, tokenizer, blocks=chosen, tokens=tokens)
    saved = steering.save_pretrained(folder)
    out.print(Text(steering.summary()), soft_wrap=True)
    out.print(Text(f"saved in {saved}"))

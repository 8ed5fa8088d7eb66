"""`steersman serve`: an OpenAI-compatible server whose requests are steered."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from steersman.cli.console import note
from steersman.cli.options import DeviceMap, Dtype, Model

KEY = "STEERSMAN_API_KEY"


def serve(
    model: Model,
    steering: Annotated[
        list[str] | None,
        typer.Option(
            "--steering",
            "-s",
            metavar="NAME=DIR",
            help="A saved steering and the name by which requests ask for it; once for each.",
            show_default=False,
        ),
    ] = None,
    shelf: Annotated[
        Path | None,
        typer.Option(
            "--steerings",
            metavar="DIR",
            help="A folder of saved steerings, which requests can load by the names of their "
            "folders.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        Literal["transformers", "vllm"], typer.Option(help="What runs the model.")
    ] = "transformers",
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="What requests call the model; its own name by default.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help=f"A file with the API key that requests have to show; or the environment's {KEY}.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Answers written at a time.")] = 16,
    queue: Annotated[int, typer.Option(min=1, help="Answers that may wait to begin.")] = 256,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for an answer, waiting included.")
    ] = 300.0,
    strength: Annotated[
        float, typer.Option("--max-strength", help="The largest strength that may be asked for.")
    ] = 4.0,
    dtype: Dtype = "auto",
    device_map: DeviceMap = None,
    vllm_args: Annotated[
        str | None,
        typer.Option(
            "--vllm-args",
            metavar="JSON",
            help="Arguments of vLLM's engine, with --engine vllm.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a model to any OpenAI client, every request with steerings of its own."""
    from steersman.cli.engines import opened, read_arguments
    from steersman.serving.limits import Limits
    from steersman.serving.registry import Registry
    from steersman.serving.running import open_socket, run
    from steersman.serving.service import Service

    folders, key = _folders(steering or ()), _key(key_file)
    limits = Limits(running=batch_size, waiting=queue, timeout=timeout, strength=strength)
    arguments = read_arguments(engine, vllm_args)
    listening = open_socket(host, port, limits.idle)
    try:
        with opened(engine, model, dtype, device_map, limits, arguments) as made:
            registry = Registry(made, folders, shelf)
            service = Service(made, registry, name or _name(model), limits, key)
            listening.listen()  # who comes from now on waits until the first turn
            where = f"http://{host}:{listening.getsockname()[1]}"
            note(f"serving {service.name} at {where}/v1, {_steered(registry)}")
            note(f"try it in a browser at {where}/")
            if key is None:
                note(f"anyone who reaches {where} may use it: set {KEY} to ask for a key.")
            run(service, listening)
    finally:
        listening.close()


def _folders(words: list[str] | tuple[()]) -> dict[str, Path]:
    """`NAME=DIR`, once for each steering."""
    from steersman.errors import InputError

    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise InputError(f"--steering {word}: write NAME=DIR, as in calm=./calm.")
        if name in found:
            raise InputError(f"--steering names {name!r} twice.")
        if not Path(folder).is_dir():
            raise InputError(f"--steering {word}: {folder} is no folder.")
        found[name] = Path(folder)
    return found


def _key(file: Path | None) -> str | None:
    """The API key; a command line would show it to everybody on the machine."""
    from steersman.errors import InputError

    if file is None:
        return os.environ.get(KEY) or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InputError(f"--key-file {file} cannot be read: {error}.") from error
    if not key:
        raise InputError(f"--key-file {file} is empty.")
    return key


def _name(model: str) -> str:
    """What the model is called; of a folder, only its own name."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _steered(registry: object) -> str:
    names = ", ".join(sorted(getattr(registry, "loaded", {})))
    return f"with {names}" if names else "with no steering loaded"

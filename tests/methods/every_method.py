"""Every registered method by its defaults, as far as these can be fitted in a moment."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from saved_autoencoders import saved

from steersman.methods import METHODS, Method

MOMENT: dict[str, dict[str, Any]] = {
    "langfir": {"consistent": 0.5, "random": 0.95},
    "langfir-ablation": {"consistent": 0.5, "random": 0.95},
    "lf-steering": {"m": 4},
}
"""Settings of methods that random models and a few pairs leave nothing to act on otherwise."""


def usual(name: str, folder: Path, **settings: Any) -> Method:
    """The method of that name; a short training where there is one, a random autoencoder likewise.

    Args:
        name: of the method.
        folder: where an autoencoder is put.
        settings: others than the defaults.
    """
    given = MOMENT.get(name, {}) | settings
    if "epochs" in settings_of(name):
        given = {"epochs": 2} | given
    if METHODS[name].needs_autoencoder:
        given = {"autoencoder": saved(folder, "topk")} | given
    return METHODS[name](**given)


def settings_of(name: str) -> set[str]:
    """What the method of that name can be given."""
    return {field.name for field in fields(METHODS[name])}  # type: ignore[arg-type]

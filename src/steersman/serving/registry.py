"""The steerings of a server, by name: which there are, and which are loaded.

A request names a steering and never a file. Names and their folders are found by looking into the
registry folder that the server was started with.
"""

import threading
from collections.abc import Mapping
from pathlib import Path

from steersman.errors import InputError, SteersmanError
from steersman.serving.errors import NotThereError, RequestError
from steersman.serving.parsing import require_name
from steersman.serving.protocol import Engine, SteeringInfo
from steersman.serving.shelf import lying_on, require_plain


class Registry:
    """Which steerings a server knows.

    Args:
        engine: where they are loaded.
        folders: those that are loaded at the start, by name.
        shelf: a folder with more of them, each in a folder that has its name; None is no more.

    Raises:
        InputError: a name that cannot be served, or a shelf that is no folder.
        ArtifactError: a steering that cannot be read.
        MismatchError: one that was made for another model.
    """

    def __init__(
        self, engine: Engine, folders: Mapping[str, Path], shelf: Path | None = None
    ) -> None:
        """Load what is there from the start."""
        if shelf is not None and not shelf.is_dir():
            raise InputError(f"{shelf} is no folder: give one that holds folders of steerings.")
        self._engine = engine
        self._folders = {require_name(name): folder for name, folder in folders.items()}
        self._shelf = shelf
        self._changing = threading.Lock()
        self._loaded = {name: engine.add(name, path) for name, path in self._folders.items()}

    @property
    def loaded(self) -> Mapping[str, SteeringInfo]:
        """What requests may ask for; what is loaded later is in another mapping."""
        return self._loaded

    def known(self) -> tuple[str, ...]:
        """All names that can be loaded, those that are included."""
        return tuple(sorted(self._found()))

    def add(self, name: str) -> SteeringInfo:
        """Load a steering; loaded already, it is read again.

        Raises:
            NotThereError: there is none of that name.
            RequestError: what is there cannot be used.
        """
        with self._changing:
            folder = self._found().get(name)
            if folder is None:
                names = ", ".join(self.known()) or "none"
                raise NotThereError(
                    f"there is no steering {name[:80]!r} to load; there are: {names}.",
                    "name",
                    "steering_not_found",
                )
            if name not in self._folders:
                require_plain(name, folder)
            try:
                info = self._engine.add(name, folder)
            except SteersmanError as error:
                # The client learns what is wrong with the file, and not where it lies.
                told = str(error).replace(str(folder), name)
                raise RequestError(f"{name!r} cannot be served: {told}", "name") from error
            self._loaded = {**self._loaded, name: info}
            return info

    def remove(self, name: str) -> SteeringInfo:
        """Forget a loaded steering.

        Raises:
            NotThereError: none of that name is loaded.
        """
        with self._changing:
            if name not in self._loaded:
                raise NotThereError(
                    f"no steering {name[:80]!r} is loaded.", "name", "steering_not_found"
                )
            self._engine.remove(name)
            info = self._loaded[name]
            self._loaded = {key: one for key, one in self._loaded.items() if key != name}
            return info

    def _found(self) -> dict[str, Path]:
        """Every name and its folder, from what lies there and from nothing that a client says."""
        return {**lying_on(self._shelf), **self._folders}

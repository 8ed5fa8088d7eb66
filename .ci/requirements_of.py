"""Prints what a wheel needs, without its extras and without the builds of torch."""

import sys
import zipfile
from email.parser import Parser

LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}


def main(wheel: str) -> None:
    """Write one requirement a line."""
    with zipfile.ZipFile(wheel) as files:
        name = next(name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(files.read(name).decode())
    for line in metadata.get_all("Requires-Dist") or []:
        name = "".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0]
        if name not in LEFT_OUT and "extra ==" not in line:
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

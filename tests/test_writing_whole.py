"""Files are there whole or as they were."""

from pathlib import Path

import pytest

from steersman.errors import InputError
from steersman.files import write_whole


def test_a_file_is_written_with_the_folders_it_needs_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "found.txt"
    assert write_whole("größer\n", path) == path
    assert path.read_bytes() == "größer\n".encode()
    write_whole(b"\x00", path)
    assert path.read_bytes() == b"\x00"
    assert [entry.name for entry in path.parent.iterdir()] == ["found.txt"]


def test_what_cannot_be_put_in_its_place_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with pytest.raises(InputError, match="cannot write the page .*folder"):
        write_whole("text", tmp_path / "folder", "the page")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "mine").read_text() == "mine"


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot write"):
        write_whole("text", tmp_path / "file" / "below.txt")

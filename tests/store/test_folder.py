"""Saved steerings on disk."""

import os
import stat
from pathlib import Path

import pytest
import torch
from torch import Tensor

from steersman import store
from steersman.errors import ArtifactError
from steersman.store import FILES, Artifact
from steersman.store.format import MANIFEST, TENSORS


def _same_bits(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first.view(torch.int32), second.view(torch.int32))


def test_what_is_saved_loads_again_bit_for_bit(artifact: Artifact, tmp_path: Path) -> None:
    artifact.tensors["odd"] = torch.tensor([-0.0, 1e-45, 3.4028235e38, 1 / 3])
    loaded = store.load(store.save(artifact, tmp_path / "s"))
    assert loaded.tensors.keys() == artifact.tensors.keys()
    assert all(_same_bits(loaded.tensors[name], t) for name, t in artifact.tensors.items())
    assert (loaded.manifest, loaded.card) == (artifact.manifest, artifact.card)


def test_saving_twice_writes_the_same_bytes(artifact: Artifact, tmp_path: Path) -> None:
    one, two = (store.save(artifact, tmp_path / name) for name in ("one", "two"))
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in FILES)


def test_tensors_are_saved_in_float32_whatever_they_come_in(tmp_path: Path) -> None:
    given = {
        "double": torch.ones(2, 3, dtype=torch.float64) / 3,
        "half": torch.ones(2, dtype=torch.bfloat16),
        "strided": torch.arange(6.0).reshape(2, 3).mT,
        "learnt": torch.ones(2, requires_grad=True),
    }
    loaded = store.load(store.save(Artifact(given, {}, ""), tmp_path / "s")).tensors
    assert all(torch.equal(loaded[name], t.detach().float()) for name, t in given.items())


def test_loaded_tensors_can_be_written_to(artifact: Artifact, tmp_path: Path) -> None:
    store.load(store.save(artifact, tmp_path / "s")).tensors["G"].zero_()


def test_missing_parents_are_made_and_a_home_is_found(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.save(artifact, Path("~/a/b/c")) == tmp_path / "a" / "b" / "c"
    assert store.load("~/a/b/c").manifest == artifact.manifest


def test_a_saved_folder_has_the_usual_permissions(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    folder = store.save(artifact, tmp_path / "s")
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert stat.S_IMODE(folder.stat().st_mode) == usual


def test_an_empty_folder_and_a_fresh_clone_are_taken(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "clone" / ".git").mkdir(parents=True)
    for name in ("empty", "clone"):
        assert store.load(store.save(artifact, tmp_path / name)).manifest == artifact.manifest


def test_a_folder_of_other_things_is_refused_and_left_alone(
    artifact: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "model.safetensors").write_text("mine too")
    with pytest.raises(ArtifactError, match="holds README.md, model.safetensors and no steering"):
        store.save(artifact, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["README.md", "model.safetensors"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_an_earlier_steering_is_replaced_and_its_neighbours_stay(
    artifact: Artifact, tmp_path: Path
) -> None:
    folder = store.save(artifact, tmp_path / "s")
    (folder / "LICENSE").write_text("mine")
    store.save(Artifact({"G": torch.ones(1)}, {"method": "later"}, "later"), folder)
    loaded = store.load(folder)
    assert (loaded.manifest, loaded.card, list(loaded.tensors)) == (
        {"method": "later"},
        "later",
        ["G"],
    )
    assert (folder / "LICENSE").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["s"]


@pytest.mark.parametrize("fails_at", FILES)
@pytest.mark.parametrize("card_was_there", [True, False])
def test_a_replacement_that_fails_leaves_the_earlier_steering_whole(
    artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails_at: str,
    card_was_there: bool,
) -> None:
    folder = store.save(artifact, tmp_path / "s")
    if not card_was_there:
        (folder / "README.md").unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if target.name == fails_at and source.parent.name != "earlier":
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(ArtifactError, match="disk full"):
        store.save(Artifact({"G": torch.ones(1)}, {"method": "later"}, "later"), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(os.listdir(tmp_path)) == ["s"]


def test_a_first_save_that_fails_leaves_nothing(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ArtifactError, match=r"cannot be saved in .*no space left"):
        store.save(artifact, tmp_path / "s")
    assert not os.listdir(tmp_path)


def test_a_file_in_the_way_is_named(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a file")
    with pytest.raises(ArtifactError, match="cannot be saved in"):
        store.save(artifact, tmp_path / "s")
    with pytest.raises(ArtifactError, match="is a file; give the folder"):
        store.load(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "a file"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "steering.pt", "steering.PKL"])
def test_a_folder_with_a_pickle_for_tensors_is_refused_unopened(
    artifact: Artifact, tmp_path: Path, name: str
) -> None:
    folder = store.save(artifact, tmp_path / "s")
    (folder / TENSORS).rename(folder / name)
    with pytest.raises(ArtifactError, match=f"holds {name} and no {TENSORS}.*can run code"):
        store.load(folder)


@pytest.mark.parametrize("name", [TENSORS, MANIFEST])
def test_a_missing_part_is_named(artifact: Artifact, tmp_path: Path, name: str) -> None:
    folder = store.save(artifact, tmp_path / "s")
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"holds no {name}"):
        store.load(folder)


def test_a_part_that_is_a_folder_is_named(artifact: Artifact, tmp_path: Path) -> None:
    folder = store.save(artifact, tmp_path / "s")
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    with pytest.raises(ArtifactError, match=r"README.md in .* cannot be read"):
        store.load(folder)


def test_the_card_may_be_missing(artifact: Artifact, tmp_path: Path) -> None:
    folder = store.save(artifact, tmp_path / "s")
    (folder / "README.md").unlink()
    assert store.load(folder).card == ""

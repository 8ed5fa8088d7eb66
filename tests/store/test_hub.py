"""Saved steerings on the hub, over the real client and a hub in memory."""

from pathlib import Path

import pytest
import torch
from fake_hub import FakeHub, Repository

from steersman import store
from steersman.errors import ArtifactError, InputError
from steersman.store import Artifact


def test_what_is_pushed_loads_again_bit_for_bit(hub: FakeHub, artifact: Artifact) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    loaded = store.load("ada/happy")
    assert loaded.manifest == artifact.manifest
    assert all(
        torch.equal(loaded.tensors[name], artifact.tensors[name]) for name in ["G", "contrast"]
    )


def test_push_returns_the_address_of_the_commit(hub: FakeHub, artifact: Artifact) -> None:
    address = store.push(artifact, "ada/happy", token="hf_x")
    assert (
        address
        == f"https://huggingface.co/ada/happy/commit/{hub.repositories['ada/happy'].revision}"
    )


def test_push_uses_the_token_it_is_given_for_every_request(
    hub: FakeHub, artifact: Artifact
) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    # Other libraries may ask a hub for things of their own at any time.
    ours = ("/api/repos/create", "/api/validate-yaml", "ada/happy")
    asked = zip(hub.requests, hub.tokens, strict=True)
    tokens = [(path, token) for (_, path), token in asked if any(one in path for one in ours)]
    assert len(tokens) >= 3
    assert [path for path, token in tokens if token != "Bearer hf_x"] == []


def test_push_makes_one_commit_of_three_files(hub: FakeHub, artifact: Artifact) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    assert sum("/commit/" in path for _, path in hub.requests) == 1
    assert sorted(hub.repositories["ada/happy"].files) == sorted(store.FILES)


def test_the_pushed_card_names_its_own_repository(hub: FakeHub, artifact: Artifact) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    card = hub.repositories["ada/happy"].files["README.md"].decode()
    assert 'from_pretrained("ada/happy")' in card and "owner/name" not in card


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_as_private_as_asked(
    hub: FakeHub, artifact: Artifact, private: bool
) -> None:
    store.push(artifact, "ada/happy", private=private, token="hf_x")
    assert hub.repositories["ada/happy"].private is private


def test_a_private_steering_is_not_uploaded_to_a_public_repository(
    hub: FakeHub, artifact: Artifact
) -> None:
    hub.repositories["ada/happy"] = Repository(private=False)
    with pytest.raises(ArtifactError, match="is public and was not uploaded to"):
        store.push(artifact, "ada/happy", private=True, token="hf_x")
    assert not hub.repositories["ada/happy"].files


def test_a_repository_of_something_else_is_not_overwritten(
    hub: FakeHub, artifact: Artifact
) -> None:
    files = {".gitattributes": b"", "README.md": b"a model", "model.safetensors": b""}
    hub.repositories["ada/llm"] = Repository(private=False, files=dict(files))
    with pytest.raises(ArtifactError, match=r"README.md, model.safetensors and no steering"):
        store.push(artifact, "ada/llm", token="hf_x")
    assert hub.repositories["ada/llm"].files == files


def test_an_earlier_steering_is_replaced(hub: FakeHub, artifact: Artifact) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    store.push(Artifact(artifact.tensors, {"method": "later"}, ""), "ada/happy", token="hf_x")
    assert store.load("ada/happy").manifest == {"method": "later"}


def test_an_unsound_steering_never_reaches_the_network(hub: FakeHub, artifact: Artifact) -> None:
    broken = Artifact({"G": torch.tensor([float("nan")])}, {}, "")
    with pytest.raises(ArtifactError, match="'G' in this steering holds NaN"):
        store.push(broken, "ada/happy", token="hf_x")
    assert not hub.requests


@pytest.mark.parametrize("repo", ["happy", "ada/happy/more", "", "ada/..", "../happy", "a b/c"])
def test_push_refuses_what_is_no_repository_name(
    hub: FakeHub, artifact: Artifact, repo: str
) -> None:
    with pytest.raises(ArtifactError):
        store.push(artifact, repo, token="hf_x")
    assert not hub.repositories


def test_push_without_network_says_what_to_check(hub: FakeHub, artifact: Artifact) -> None:
    hub.reachable = False
    with pytest.raises(ArtifactError, match=r"could not be uploaded to \(ConnectError.*auth login"):
        store.push(artifact, "ada/happy", token="hf_x")


def test_a_loaded_revision_is_the_one_asked_for(hub: FakeHub, artifact: Artifact) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    revision = hub.repositories["ada/happy"].revision
    assert store.load("ada/happy", revision=revision).manifest == artifact.manifest
    with pytest.raises(ArtifactError, match="ada/happy at gone could not be loaded"):
        store.load("ada/happy", revision="gone")


def test_only_the_three_named_files_are_downloaded(hub: FakeHub, artifact: Artifact) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    hub.repositories["ada/happy"].files["evil.pkl"] = b"\x80\x04."
    hub.repositories["ada/happy"].files["modeling.py"] = b"raise SystemExit"
    store.load("ada/happy")
    fetched = {path.rpartition("/")[2] for _, path in hub.requests if "/resolve/" in path}
    assert fetched == set(store.FILES)


def test_a_repository_that_is_missing_is_named(hub: FakeHub) -> None:
    with pytest.raises(ArtifactError, match="no folder 'ada/none', and ada/none could not be"):
        store.load("ada/none")


def test_a_repository_without_a_steering_says_so(hub: FakeHub) -> None:
    hub.repositories["ada/llm"] = Repository(private=False, files={"model.safetensors": b"x"})
    with pytest.raises(ArtifactError, match=r"ada/llm holds no steering.safetensors"):
        store.load("ada/llm")


def test_loading_without_network_or_cache_names_the_repository(hub: FakeHub) -> None:
    hub.reachable = False
    with pytest.raises(ArtifactError, match="ada/happy could not be loaded from the hub"):
        store.load("ada/happy")


def test_loading_without_network_takes_what_was_downloaded_before(
    hub: FakeHub, artifact: Artifact
) -> None:
    store.push(artifact, "ada/happy", token="hf_x")
    store.load("ada/happy")
    hub.reachable = False
    assert store.load("ada/happy").manifest == artifact.manifest


@pytest.mark.parametrize(
    "name", ["nowhere", "./ada/happy", "/no/such/folder", "a/b/c", "", "a\0/b"]
)
def test_what_is_neither_folder_nor_repository_asks_no_hub(hub: FakeHub, name: str) -> None:
    with pytest.raises(ArtifactError, match="there is no folder"):
        store.load(name)
    with pytest.raises(ArtifactError, match="there is no folder"):
        store.load(Path("ada") / "happy")
    assert not hub.requests


def test_a_folder_comes_before_a_repository_of_its_name(
    hub: FakeHub, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.save(artifact, Path("ada/happy"))
    assert store.load("ada/happy").manifest == artifact.manifest
    with pytest.raises(InputError, match="is a folder here and has no revision 'main'"):
        store.load("ada/happy", revision="main")
    assert not hub.requests

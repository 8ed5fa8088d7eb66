"""Steerings as artifacts and back."""

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_steering import BLOCKS, WIDTH, several_parts, small_parts

from steersman import store
from steersman.artifact import Parts, artifact_of, parts_of
from steersman.diagnostics import Diagnostic
from steersman.directions import Natural
from steersman.errors import ArtifactError, UnknownNameError
from steersman.methods import ALQR, ActivationAddition, ALQRPlus, Controller, Method
from steersman.steering import Steering
from steersman.store import Artifact


def _assert_same(first: Any, second: Any, where: str = "steering") -> None:
    """Equal dataclasses and mappings, tensors bit for bit."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif is_dataclass(first):
        for field in fields(first):
            _assert_same(getattr(first, field.name), getattr(second, field.name), field.name)
    elif isinstance(first, dict):
        assert list(first) == list(second), where
        for key in first:
            _assert_same(first[key], second[key], f"{where} {key}")
    else:
        assert first == second, where


@pytest.fixture(scope="module")
def parts() -> Parts:
    return small_parts()


@pytest.mark.parametrize("method", [ALQR(0.3, 2.0, 0.7), ALQRPlus(), ActivationAddition(block=1)])
def test_every_part_of_a_steering_comes_back_bit_for_bit(method: Method, tmp_path: Path) -> None:
    parts = small_parts(method)
    folder = Steering(*parts).save_pretrained(tmp_path / "s")
    loaded = Steering.from_pretrained(folder)
    for field in fields(Steering):
        _assert_same(getattr(loaded, field.name), getattr(parts, field.name))


def test_a_loaded_steering_saves_the_same_bytes_again(parts: Parts, tmp_path: Path) -> None:
    one = Steering(*parts).save_pretrained(tmp_path / "one")
    two = Steering.from_pretrained(one).save_pretrained(tmp_path / "two")
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in store.FILES)


def test_a_loaded_steering_steers_like_the_fitted_one(
    parts: Parts, tmp_path: Path, tiny_model: Any
) -> None:
    model, ids = tiny_model("llama"), torch.arange(5, 13)[None]
    fitted = Steering(*parts)
    loaded = Steering.from_pretrained(fitted.save_pretrained(tmp_path / "s"))
    logits = []
    for steering in (fitted, loaded):
        for choice in ({"target": 1.0}, {"lambda_": 0.5}):
            with torch.no_grad(), steering.attach(model, **choice):
                logits.append(model(ids).logits)
    assert torch.equal(logits[0], logits[2]) and torch.equal(logits[1], logits[3])
    with torch.no_grad():
        assert not torch.equal(logits[0], model(ids).logits)


def test_an_artifact_that_was_never_saved_gives_its_parts_back(parts: Parts) -> None:
    loaded = parts_of(artifact_of(parts))
    for one, other in zip(loaded, parts, strict=True):
        _assert_same(one, other)


@pytest.mark.parametrize(
    ("method", "observes"), [(ALQR(), "direction"), (ActivationAddition(), "nothing")]
)
def test_an_observer_that_can_be_derived_is_not_stored(method: Method, observes: str) -> None:
    artifact = artifact_of(small_parts(method))
    assert artifact.manifest["observes"] == observes
    assert "H" not in artifact.tensors


def test_any_other_observer_is_stored(parts: Parts) -> None:
    H, G = torch.randn(2, BLOCKS, WIDTH, 2)
    shifts = torch.rand(BLOCKS, 2, 1)
    several = parts._replace(controller=Controller(H, G, parts.controller.plan, shifts))
    loaded = parts_of(artifact_of(several)).controller
    assert torch.equal(loaded.H, H) and torch.equal(loaded.G, G)
    assert torch.equal(loaded.shifts, shifts)


def test_what_a_method_found_out_and_keeps_comes_back(parts: Parts, tmp_path: Path) -> None:
    found = Diagnostic(
        "Shares", "half", ("block", "share", "why"), ((1, 0.5, None), (2, 0.25, "x"))
    )
    factors = torch.rand(BLOCKS + 1, WIDTH, 5)
    full = parts._replace(natural=Natural(factors), diagnostics=(found,))
    folder = Steering(*full).save_pretrained(tmp_path / "s")
    loaded = Steering.from_pretrained(folder)
    assert loaded.diagnostics == (found,)
    assert loaded.natural is not None and torch.equal(loaded.natural.factors, factors)
    assert loaded.summary().endswith("; half")
    card = (folder / "README.md").read_text()
    assert "## Shares\n\nShares: half.\n\n| block | share | why |" in card


def test_several_features_come_back_with_what_was_found_out_and_is_kept(tmp_path: Path) -> None:
    found = Diagnostic("Shares", "half", ("block", "share"), ((1, 0.5), (2, 0.25)))
    natural = Natural(torch.rand(BLOCKS + 1, WIDTH, 5))
    parts = several_parts(ALQR(), ("one", "the other"))
    full = parts._replace(natural=natural, diagnostics=(found,))
    folder = Steering(*full).save_pretrained(tmp_path / "s")
    loaded = Steering.from_pretrained(folder)
    _assert_same(loaded, Steering(*full))
    assert loaded.features.names == ("one", "the other") and loaded.diagnostics == (found,)
    manifest = json.loads((folder / "steering.json").read_text())
    assert manifest["features"] == ["one", "the other"]
    assert [one["headline"] for one in manifest["diagnostics"]] == ["half"]
    card = (folder / "README.md").read_text()
    assert "### the other" in card and "## Shares\n\nShares: half." in card


@pytest.mark.parametrize(
    ("diagnostics", "says"),
    [
        ({"a": 1}, "'diagnostics' of steering.json is no list"),
        ([{"name": "x"}], "a diagnostic lacks 'headline'"),
        ([3], "a diagnostic is 3; expected an object"),
    ],
)
def test_diagnostics_that_are_none_are_refused(parts: Parts, diagnostics: Any, says: str) -> None:
    artifact = _plain(parts)
    with pytest.raises(ArtifactError, match=says):
        parts_of(replace(artifact, manifest={**artifact.manifest, "diagnostics": diagnostics}))


def test_an_artifact_of_before_directions_observers_and_diagnostics_is_read(parts: Parts) -> None:
    artifact = _plain(parts)
    later = ("observer", "direction")
    made = {k: v for k, v in artifact.manifest["provenance"].items() if k not in later}
    manifest = {k: v for k, v in artifact.manifest.items() if k != "diagnostics"}
    loaded = parts_of(replace(artifact, manifest={**manifest, "provenance": made}))
    assert loaded.provenance.observer == loaded.provenance.direction == "mean"
    assert loaded.diagnostics == ()


def test_a_separation_that_was_not_measured_is_kept(tmp_path: Path) -> None:
    parts = small_parts(ActivationAddition(), examples=3)
    assert bool(parts.features.one.separation_se.isinf().all())
    loaded = Steering.from_pretrained(Steering(*parts).save_pretrained(tmp_path / "s"))
    assert bool(loaded.direction.separation_se.isinf().all())


def test_a_steering_of_a_large_model_takes_two_megabytes() -> None:
    blocks, n = 32, 4096
    numbers = 2 * (blocks + 1) * n + 4 * (blocks + 1) + 2 * blocks * n + blocks + 4
    assert 4 * numbers < 2.2e6
    small = artifact_of(small_parts())
    assert sum(t.numel() for t in small.tensors.values()) == (
        2 * (BLOCKS + 1) * WIDTH + 4 * (BLOCKS + 1) + 2 * BLOCKS * WIDTH + BLOCKS + 4
    )


def test_a_method_that_nobody_could_load_is_not_saved(parts: Parts) -> None:
    class Private(ALQR):
        name = "private"

    with pytest.raises(UnknownNameError, match="no method 'private'"):
        artifact_of(parts._replace(method=Private()))


def test_keys_of_a_later_version_are_tolerated_everywhere(parts: Parts) -> None:
    artifact = artifact_of(parts)
    manifest = {
        **artifact.manifest,
        "new": 1,
        "hyperparameters": {"q": 0.25, "rho": 3},
        "provenance": {
            **artifact.manifest["provenance"],
            "pairs": {"feature": [6, 6]},
            "author": "ada",
        },
    }
    tensors = {**artifact.tensors, "new": torch.ones(1)}
    loaded = parts_of(Artifact(tensors, manifest, ""))
    assert loaded.method == ALQR(q=0.25)


@pytest.mark.parametrize("name", ["contrast", "vectors", "norm", "origin", "G", "plan", "alone"])
def test_a_missing_tensor_is_named(parts: Parts, name: str) -> None:
    artifact = _plain(parts)
    del artifact.tensors[name]
    with pytest.raises(ArtifactError, match=f"lacks the tensor '{name}'"):
        parts_of(artifact)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("contrast", (BLOCKS, WIDTH), "(4, 32, 1)"),
        ("vectors", (BLOCKS + 1, WIDTH, 2), "(4, 32, 1)"),
        ("norm", (BLOCKS + 1,), "(4, 1)"),
        ("G", (BLOCKS, WIDTH), "(3, 32, k)"),
        ("plan", (BLOCKS + 1, WIDTH, 1), "(3, 32, 1)"),
        ("cosines", (1,), "(1, 1)"),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_named(
    parts: Parts, name: str, shape: tuple[int, ...], expected: str
) -> None:
    artifact = _plain(parts)
    artifact.tensors[name] = torch.ones(shape)
    with pytest.raises(ArtifactError) as caught:
        parts_of(artifact)
    assert f"'{name}' has shape {shape}; expected {expected}" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"method": "b-lqr"}, UnknownNameError, "no method 'b-lqr'; choose one of a-lqr"),
        ({"method": ["a-lqr"]}, ArtifactError, "'method' of steering.json is .*; expected str"),
        ({"observes": 1}, ArtifactError, "'observes' of steering.json is 1; expected str"),
        ({"observes": "all"}, ArtifactError, "'observes' of steering.json is 'all'"),
        ({"observes": "H"}, ArtifactError, "lacks the tensor 'H'"),
        ({"hyperparameters": None}, ArtifactError, "hyperparameters of a-lqr is None"),
        ({"hyperparameters": {"q": "x"}}, ArtifactError, "'q' of hyperparameters of a-lqr is 'x'"),
        ({"provenance": {}}, ArtifactError, "provenance lacks 'model'"),
        (
            {"features": []},
            ArtifactError,
            r"'features' of steering.json is \[\]; expected one name",
        ),
        ({"features": ["a", "a"]}, ArtifactError, "expected one name for each feature"),
        ({"features": ["mood"]}, ArtifactError, r"'feature'\]; expected the features, \['mood'\]"),
    ],
)
def test_a_bad_field_is_named(
    parts: Parts, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    artifact = _plain(parts)
    with pytest.raises(error, match=says):
        parts_of(replace(artifact, manifest={**artifact.manifest, **change}))


def test_a_gain_on_several_numbers_needs_an_observer_of_them(parts: Parts) -> None:
    artifact = _plain(parts)
    artifact.tensors["G"] = torch.ones(BLOCKS, WIDTH, 2)
    with pytest.raises(ArtifactError, match="acts on 2 numbers, but only 1, a direction a feature"):
        parts_of(artifact)


def _plain(parts: Parts) -> Artifact:
    """As it is read from a folder: lists where there were tuples."""
    return store.format.decode(store.format.encode(artifact_of(parts)), "here")

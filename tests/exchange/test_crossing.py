"""Vectors become steerings like any other, and steerings become files for other tools."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from exchange_models import (
    BLOCKS,
    IDS,
    WIDTH,
    Models,
    logits_under,
    logits_with,
    random_vectors,
)

import steersman as sm
from steersman.errors import InputError, MismatchError, UnknownNameError
from steersman.exchange import Vectors, read_vectors

FORMATS = {
    "svec": "x.svec",
    "steering-vectors": "x.pt",
    "caa": "vec_layer_1_x.pt",
    "gguf": "x.gguf",
}


@pytest.fixture
def imported(tiny_model: Models, tiny_tokenizer: Any) -> sm.Steering:
    """Of vectors behind the blocks 1 and 2."""
    return sm.import_vectors(random_vectors(1, 2), tiny_model("llama"), tiny_tokenizer)


def examples(tokenizer: Any) -> sm.ContrastivePairs:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return sm.ContrastivePairs(
        desired=[f"{words[i]} {words[i + 1]}" for i in range(2, 14)],
        undesired=[f"{words[-i]} {words[-i - 1]}" for i in range(2, 14)],
    )


def test_an_imported_steering_adds_target_times_its_vectors(
    imported: sm.Steering, tiny_model: Models
) -> None:
    model, given = tiny_model("llama"), random_vectors(1, 2)
    for target in (1.0, -0.5, 4.0):
        scaled = {block: target * v for block, v in given.items()}
        expected = logits_with(model, scaled)
        assert torch.equal(logits_under(model, imported, target), expected)
    assert torch.equal(logits_under(model, imported, 0.0), logits_with(model, {}))


def test_its_feature_is_how_far_a_state_lies_along_the_vectors(imported: sm.Steering) -> None:
    given, direction = random_vectors(1, 2), imported.direction
    assert direction.norm[:2].tolist() == [0.0, 0.0]
    for block, vector in given.items():
        state = block + 1  # x_{t+1} is the output of block t
        assert torch.equal(direction.contrast[state], vector)
        assert torch.allclose(direction.norm[state].double(), vector.double().norm())
        along = vector.double() / vector.double().norm()
        assert torch.allclose(direction.vectors[state].double(), along, atol=1e-6)
    assert bool(direction.separation_se.isinf().all()) and not bool(direction.origin.any())


def test_the_trace_shows_the_feature_where_there_is_one(
    imported: sm.Steering, tiny_model: Models
) -> None:
    model, given = tiny_model("llama"), random_vectors(1, 2)
    entering: list[torch.Tensor] = []
    handle = model.model.layers[2].register_forward_pre_hook(
        lambda module, args: entering.append(args[0])
    )
    with imported.attach(model, 2.0) as run, torch.no_grad():
        model(IDS)
    handle.remove()
    trace = run.trace
    along = given[1].double() / given[1].double().norm()
    assert torch.allclose(trace.feature[:, 2].double(), entering[0].double() @ along, atol=1e-4)
    assert not bool(trace.feature[:, :2].any())
    lengths = [0.0, 2 * float(given[1].norm()), 2 * float(given[2].norm())]
    assert torch.allclose(
        trace.effort, torch.tensor(lengths)[None, :, None].expand_as(trace.effort)
    )
    assert bool(trace.natural(trace.feature)[:, :2].isnan().all())


def test_it_is_saved_loaded_and_told_of_as_any_other(
    imported: sm.Steering, tiny_model: Models, tmp_path: Path
) -> None:
    folder = imported.save_pretrained(tmp_path / "steering")
    loaded = sm.Steering.from_pretrained(folder)
    assert torch.equal(loaded.plan, imported.plan)
    model = tiny_model("llama")
    assert torch.equal(logits_under(model, loaded), logits_under(model, imported))
    assert loaded.summary() == imported.summary()
    assert "imported from memory, blocks 1 .. 2" in loaded.summary()
    assert "d'" not in loaded.summary() and "0 desired" not in loaded.summary()
    card = (folder / "README.md").read_text()
    assert "no examples" in card and "0 undesired" not in card and "natural units" not in card
    assert "imported from memory, blocks 1 .. 2" in card


def test_at_which_blocks_and_tokens_it_acts_can_be_chosen(
    tiny_model: Models, tiny_tokenizer: Any
) -> None:
    model, given = tiny_model("llama"), random_vectors(0, 1, 2)
    some = sm.import_vectors(given, model, tiny_tokenizer, blocks=[0, 2])
    assert some.controller.active == (0, 2)
    assert sm.import_vectors(given, model, tiny_tokenizer, blocks=1).controller.active == (1,)
    last = sm.import_vectors(given, model, tiny_tokenizer, tokens="last")
    with last.attach(model, 1.0) as run, torch.no_grad():
        model(IDS)
    assert run.trace.steered.sum(1).tolist() == [1, 1]
    with pytest.raises(InputError, match="no vector for block 5"):
        sm.import_vectors(given, model, tiny_tokenizer, blocks=[1, 5])
    with pytest.raises(InputError, match="names no block"):
        sm.import_vectors(given, model, tiny_tokenizer, blocks=[])


def test_vectors_of_another_model_are_refused(tiny_model: Models, tiny_tokenizer: Any) -> None:
    model = tiny_model("llama")
    for given in ({BLOCKS: torch.ones(WIDTH)}, {0: torch.ones(WIDTH + 1)}):
        with pytest.raises(MismatchError, match="the model that they were made for"):
            sm.import_vectors(given, model, tiny_tokenizer)
    with pytest.raises(InputError, match="all zero"):
        sm.import_vectors({0: torch.zeros(WIDTH)}, model, tiny_tokenizer)


@pytest.mark.parametrize("format", FORMATS)
def test_export_and_import_change_no_bit(
    format: Any, imported: sm.Steering, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    if format == "gguf":
        pytest.importorskip("gguf")
    blocks = 1 if format == "caa" else None
    path = sm.export_vectors(imported, tmp_path / FORMATS[format], format=format, blocks=blocks)
    back = sm.import_vectors(path, tiny_model("llama"), tiny_tokenizer)
    kept = (1,) if format == "caa" else (1, 2)
    assert back.controller.active == kept
    for block in kept:
        assert torch.equal(back.plan[block], imported.plan[block])
    assert path.name in back.summary()
    assert [one.name for one in tmp_path.iterdir()] == [FORMATS[format]]


def test_a_plan_is_exported_as_what_it_adds_for_target_1(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    model = tiny_model("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sm.fit(
            model,
            tiny_tokenizer,
            examples(tiny_tokenizer),
            method=sm.ActivationAddition(block=1),
            progress=False,
        )
    path = sm.export_vectors(made, tmp_path / "x.svec")
    found = read_vectors(path)
    assert found.blocks == (1,) and torch.equal(found.by_block[1], made.contrast[2])
    expected = logits_with(model, {k: found.by_block[k] for k in found.blocks})
    assert torch.equal(logits_under(model, made), expected)


def test_other_tools_act_at_every_token_and_a_warning_says_so(
    imported: sm.Steering, tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    last = sm.import_vectors(random_vectors(1), tiny_model("llama"), tiny_tokenizer, tokens="last")
    with pytest.warns(UserWarning, match="every token"):
        sm.export_vectors(last, tmp_path / "x.svec")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sm.export_vectors(imported, tmp_path / "y.svec")


def test_what_is_no_schedule_is_not_exported(
    tiny_model: Models, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = sm.fit(
            tiny_model("llama"),
            tiny_tokenizer,
            examples(tiny_tokenizer),
            method="angular",
            progress=False,
        )
    with pytest.raises(InputError, match="angular is no schedule"):
        sm.export_vectors(made, tmp_path / "x.svec")
    assert not list(tmp_path.iterdir())


def test_a_format_has_to_be_known(imported: sm.Steering, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="choose one of gguf, svec, steering-vectors, caa"):
        sm.export_vectors(imported, tmp_path / "x.pt")
    with pytest.raises(InputError, match="cannot write"):
        (tmp_path / "file").write_text("")
        sm.export_vectors(imported, tmp_path / "file" / "x.svec")


def test_vectors_may_come_as_an_object_of_their_own(
    tiny_model: Models, tiny_tokenizer: Any, imported: sm.Steering
) -> None:
    vectors = Vectors.of(random_vectors(1, 2), {"model_type": "llama"})
    made = sm.import_vectors(vectors, tiny_model("llama"), tiny_tokenizer)
    assert torch.equal(made.plan, imported.plan)
    assert ("model_type", "llama") in made.diagnostics[0].rows

"""Captured states on disk: the same ones, no forward pass, and files that cannot be trusted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from steersman.errors import InputError
from steersman.plant import (
    AllTokens,
    HookSet,
    StateCache,
    capture_states,
    capture_tokens,
    hidden_out,
    locate,
    positions_named,
    with_hidden,
)

Models = Callable[[str], PreTrainedModel]


@contextmanager
def passes(model: PreTrainedModel) -> Iterator[list[int]]:
    """Counts forward passes of the whole model, without a hook on its blocks."""
    seen: list[int] = []
    handle = model.register_forward_pre_hook(lambda *_: seen.append(1))
    try:
        yield seen
    finally:
        handle.remove()


def texts(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    words = [w for w in sorted(tokenizer.get_vocab()) if w.isalpha()]
    return [" ".join(words[i : i + 2 + i % 3]) for i in range(7)]


@pytest.fixture
def cache(tmp_path: Path) -> StateCache:
    return StateCache(tmp_path / "states")


def files(cache: StateCache) -> list[Path]:
    return sorted(cache.folder.iterdir())


@pytest.mark.parametrize("rule", [None, AllTokens()], ids=["last", "all"])
def test_the_second_time_the_same_states_come_without_a_forward_pass(
    rule: AllTokens | None,
    cache: StateCache,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    given = (tiny_model("llama"), tiny_tokenizer, texts(tiny_tokenizer), rule)
    expected, tokens = capture_states(*given), capture_tokens(*given)
    first = cache.states(*given), cache.tokens(*given)
    with passes(given[0]) as seen:
        again = cache.states(*given), cache.tokens(*given)
    assert not seen
    for found in (first, again):
        assert torch.equal(found[0], expected)
        for name in ("states", "example", "position"):
            assert torch.equal(getattr(found[1], name), getattr(tokens, name)), name


def test_means_are_taken_from_the_states_of_tokens(
    cache: StateCache, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    given = (tiny_model("llama"), tiny_tokenizer, texts(tiny_tokenizer), AllTokens())
    cache.tokens(*given)
    with passes(given[0]) as seen:
        found = cache.states(*given)
    assert not seen
    torch.testing.assert_close(found, capture_states(*given))


def test_anything_else_is_captured_anew(
    cache: StateCache,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
    tiny_tokenizer_without_pad: PreTrainedTokenizerFast,
) -> None:
    model, given = tiny_model("llama"), texts(tiny_tokenizer)
    cache.states(model, tiny_tokenizer, given)
    for other, some, rule in (
        (model, given[:-1], None),
        (model, given[::-1], None),
        (model, given, AllTokens()),
        (tiny_model("qwen3"), given, None),
        (tiny_models.tiny_model("llama").double(), given, None),
    ):
        with passes(other) as seen:
            cache.states(other, tiny_tokenizer, some, rule)
        assert seen
    with passes(model) as seen:  # another tokenizer that gives the same tokens
        cache.states(model, tiny_tokenizer_without_pad, given)
    assert not seen


def test_other_weights_are_another_model(
    cache: StateCache, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model, given = tiny_models.tiny_model("llama"), texts(tiny_tokenizer)
    before = cache.states(model, tiny_tokenizer, given)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1.5)
    assert not torch.equal(cache.states(model, tiny_tokenizer, given), before)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 0xFF
    path.write_bytes(bytes(data))


def _reshape(path: Path) -> None:
    states = load_file(path)["states"]
    save_file({"states": states[:-1].contiguous()}, path)


def _rename(path: Path) -> None:
    save_file({"others": load_file(path)["states"]}, path)


def _text(path: Path) -> None:
    path.write_text("not states")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_truncate, _flip, _reshape, _rename, _text, _empty])
def test_a_damaged_file_is_made_anew_with_a_warning(
    damage: Callable[[Path], None],
    cache: StateCache,
    tiny_model: Models,
    tiny_tokenizer: PreTrainedTokenizerFast,
) -> None:
    given = (tiny_model("llama"), tiny_tokenizer, texts(tiny_tokenizer))
    expected = cache.states(*given)
    (path,) = files(cache)
    whole = path.read_bytes()
    damage(path)
    with pytest.warns(UserWarning, match="is damaged .* made anew"):
        assert torch.equal(cache.states(*given), expected)
    assert path.read_bytes() == whole and files(cache) == [path]


def test_a_steered_model_neither_reads_nor_writes(
    cache: StateCache, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    model, given = tiny_model("llama"), texts(tiny_tokenizer)
    bare = cache.states(model, tiny_tokenizer, given)
    kept = files(cache)
    with HookSet() as hooks:
        block = locate(model).modules[1]
        hooks.after(block, lambda a, k, out: with_hidden(out, hidden_out(out) + 1.0))
        steered = cache.states(model, tiny_tokenizer, given)
        cache.states(model, tiny_tokenizer, given[:3])
    assert not torch.equal(steered, bare) and files(cache) == kept
    assert torch.equal(cache.states(model, tiny_tokenizer, given), bare)


def test_a_file_is_no_folder_and_an_example_without_a_token_is_refused_as_without_a_cache(
    tmp_path: Path, cache: StateCache, tiny_model: Models, tiny_tokenizer: PreTrainedTokenizerFast
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        StateCache(tmp_path / "file")
    with pytest.raises(InputError, match="selects no token"):
        given = texts(tiny_tokenizer)
        cache.states(tiny_model("llama"), tiny_tokenizer, given, positions_named("marker:zzz"))

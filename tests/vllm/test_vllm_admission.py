"""What a request asks is checked, resolved and kept apart, before any engine sees it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import steersman as sm
from steersman.control import AffineLaw
from steersman.errors import (
    ArtifactError,
    InputError,
    MismatchError,
    SteersmanError,
    UnknownNameError,
)
from steersman.request import Request
from steersman.vllm.admission import Admission, admit, salt_of
from steersman.vllm.asking import Asked, AskedLaw, law_of, read_ask
from steersman.vllm.hot import prepared, require_done, taken_on
from steersman.vllm.served import Served, config_of, read_files
from steersman.vllm.settings import VARIABLE, Settings
from steersman.vllm.worker import require_supported

MODEL = {"model_type": "llama", "blocks": 3, "n": 32, "vocab_size": 99}


@pytest.fixture
def steering(
    tiny_model: Callable[[str], Any],
    tiny_tokenizer: Any,
    vector_steering: Callable[..., sm.Steering],
) -> sm.Steering:
    return vector_steering(tiny_model("llama"), tiny_tokenizer, 0)


@pytest.fixture
def folder(steering: sm.Steering, tmp_path: Path) -> str:
    return str(steering.save_pretrained(tmp_path / "saved"))


@pytest.fixture
def admission(folder: str) -> Admission:
    return Admission(MODEL, Settings({"calm": folder, "gone": "/nowhere"}))


def engine(admission: Admission | None) -> Any:
    """As much of an input processor as is asked of one."""
    return SimpleNamespace(steersman=admission, tokenizer=None, vllm_config=None)


def request(extra: dict[str, Any] | None, salt: str | None = None, length: int = 4) -> Any:
    """As much of a request as is asked of one."""
    params = SimpleNamespace(extra_args=extra)
    ids = list(range(length))
    return SimpleNamespace(
        sampling_params=params, prompt_token_ids=ids, cache_salt=salt, resumable=False
    )


def test_a_law_comes_with_the_setpoints_that_the_transformers_engine_would_use(
    steering: sm.Steering, folder: str
) -> None:
    served = Served.of_folder("calm", folder)
    found = law_of(served, {"target": 0.7, "tokens": "last"}, None)
    channel = steering.channel(Request.of(0.7, tokens="last"), nn.Identity())
    law = channel.law
    assert isinstance(law, AffineLaw)
    held = served.keyed[found.key]
    assert torch.equal(held.G, law.G)
    assert torch.equal(held.H, law.H)
    x, s = torch.randn(5, 32), torch.tensor(found.setpoints)
    _, expected = law.step(None, x, channel.asked(1, 5, x.device).offsets(channel.units, 5)[1], 1)
    torch.testing.assert_close((s[1] - x @ held.H[1]) @ held.G[1].mT, expected)
    assert found.rule == "last"


def test_a_request_is_resolved_on_a_copy_of_what_its_caller_gave(admission: Admission) -> None:
    extra = {"steering": {"calm": 1.0}, "other": 3}
    given = request(extra, salt="mine")
    found = admit(engine(admission), given)
    assert extra == {"steering": {"calm": 1.0}, "other": 3}
    assert found.sampling_params.extra_args["other"] == 3
    asked = Asked.of_plain(found.sampling_params.extra_args["steering"])
    assert asked.prompt == 4
    assert found.cache_salt.startswith("steersman-")
    assert json.loads(json.dumps(asked.to_plain())) == asked.to_plain()


def test_a_request_that_asks_for_nothing_is_left_as_it_came() -> None:
    for extra in (None, {}, {"other": 1}):
        given = request(extra, salt="mine")
        before = vars(given).copy()
        assert admit(engine(None), given) is given
        assert vars(given) == before


def test_two_requests_share_their_prefix_only_where_the_same_tokens_are_steered_alike() -> None:
    def salt(rule: str, prompt: int = 5, s: float = 1.0, own: str | None = None) -> str:
        return salt_of(Asked(prompt, (AskedLaw("key", rule, [[s]]),)), own)

    assert salt("all") == salt("all", prompt=6)
    assert salt("ids:1,2") == salt("ids:1,2", prompt=6)
    assert salt("last") == salt("last")
    for other in (
        salt("last", prompt=6),
        salt("all"),
        salt("last", s=1.1),
        salt("last", own="mine"),
        salt("generated"),
    ):
        assert other != salt("last")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"storm": 1.0}, "there is no steering 'storm'; this engine has 'calm'"),
        ({"gone": 1.0}, "cannot be read"),
        ({"calm": float("nan")}, "must be finite"),
        ({"calm": "much"}, "give one number"),
        ({"calm": [1.0, 2.0]}, "one request takes one"),
        ({"calm": {"target": 1.0, "lambda_": 1.0}}, "not both"),
        ({"calm": {"cap": 1.0}}, "it takes 'target'"),
        ({"calm": {"tokens": "text:a"}}, "has to be read by a tokenizer"),
        ({"calm": {"execution": "feedback"}}, "observes nothing"),
        ({}, "write it as"),
        ([1], "write it as"),
        ("[" * 100_000, "not JSON"),
        ("{", "not JSON"),
    ],
)
def test_what_cannot_be_done_is_refused(
    admission: Admission, asked: Any, message: str, unchecked: None
) -> None:
    with pytest.raises(SteersmanError, match=message):
        admit(engine(admission), request({"steering": asked}))


def test_a_request_that_is_to_be_told_of_has_a_name_and_a_cache_of_its_own(
    admission: Admission,
) -> None:
    def salt(**extra: Any) -> str:
        found = admit(engine(admission), request({"steering": {"calm": 1.0}, **extra}))
        return str(found.cache_salt)

    assert salt() == salt()
    assert len({salt(), salt(steering_report="a"), salt(steering_report="a")}) == 3
    (told,) = admission.watching("a").each
    assert (told.name, dict(told.strengths)) == ("calm", {"feature": 1.0})
    for wrong in (7, "x" * 129, None, {"a": 1}):
        with pytest.raises(InputError, match="takes a name of at most 128"):
            salt(steering_report=wrong)
    with pytest.raises(InputError, match="give steering too"):
        admit(engine(admission), request({"steering_report": "a"}))
    for index in range(1024):
        salt(steering_report=f"b{index}")
    with pytest.raises(UnknownNameError, match="there is no record 'a'"):
        admission.watching("a")


def test_one_law_under_two_names_acts_once_on_a_request(folder: str) -> None:
    found = Admission(MODEL, Settings({"calm": folder, "again": folder}))
    with pytest.raises(InputError, match="one and the same law"):
        found.resolve({"calm": 1.0, "again": 0.5}, 4, None)


def test_an_engine_without_steerings_says_so() -> None:
    with pytest.raises(InputError, match="started without steerings"):
        admit(engine(None), request({"steering": {"calm": 1.0}}))


def test_a_prompt_without_tokens_is_refused(admission: Admission) -> None:
    given = request({"steering": {"calm": 1.0}})
    given.prompt_token_ids = None
    with pytest.raises(InputError, match="a prompt of tokens"):
        admit(engine(admission), given)


def test_a_steering_of_another_model_is_told_to_whoever_asks_for_it(folder: str) -> None:
    found = Admission({**MODEL, "vocab_size": 100}, Settings({"calm": folder}))
    with pytest.raises(InputError, match="vocab_size: 99 there, 100 here"):
        found.get("calm")
    with pytest.raises(MismatchError):
        found.put(Served.of_folder("calm", folder))


def test_a_steering_is_exchanged_under_its_name(
    admission: Admission,
    folder: str,
    tmp_path: Path,
    tiny_model: Callable[[str], Any],
    tiny_tokenizer: Any,
    vector_steering: Callable[..., sm.Steering],
) -> None:
    old = admission.get("calm")
    vector_steering(tiny_model("llama"), tiny_tokenizer, 1).save_pretrained(tmp_path / "new")
    served, call = prepared(admission, "calm", tmp_path / "new")
    assert call.args[0] == "calm"
    assert call.args[1] == read_files(tmp_path / "new")
    assert taken_on(admission, served).args == (list(old.keyed),)
    assert admission.get("calm").fingerprint != old.fingerprint
    # The same steering under a second name keeps its laws when the first name goes.
    served, _ = prepared(admission, "again", tmp_path / "new")
    assert taken_on(admission, served).args == ([],)
    assert admission.drop("calm") == []
    assert admission.names == ("again",)
    with pytest.raises(UnknownNameError):
        admission.drop("calm")
    require_done(["", ""])
    with pytest.raises(InputError, match="no room"):
        require_done(["", "no room"])


def test_a_damaged_steering_is_refused(folder: str) -> None:
    files = read_files(folder)
    files["steering.safetensors"] = files["steering.safetensors"][:-1]
    with pytest.raises(ArtifactError):
        Served.of_files("calm", files)


@pytest.mark.parametrize(
    "data", [[], {"steering": {}}, {"steerings": ["a"]}, {"steerings": {"": "x"}}, {"columns": 0}]
)
def test_settings_that_cannot_be_read_are_refused(data: Any) -> None:
    with pytest.raises(InputError):
        Settings.read(data, "here")


def test_settings_come_from_the_engines_configuration_or_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = SimpleNamespace(additional_config={})
    monkeypatch.delenv(VARIABLE, raising=False)
    assert Settings.of(config) is None
    monkeypatch.setenv(VARIABLE, '{"steerings": {"a": "/a"}, "columns": 4}')
    found = Settings.of(config)
    assert found == Settings({"a": "/a"}, 4)
    assert found is not None
    found.mark(config)
    monkeypatch.setenv(VARIABLE, "no json")
    assert Settings.of(config) == found  # what was marked is read back
    with pytest.raises(InputError, match="not JSON"):
        Settings.of(SimpleNamespace(additional_config={}))


def test_what_a_request_says_is_read_from_text_or_a_mapping() -> None:
    expected = {"a": {"target": 1.0}, "b": {"tokens": "all"}}
    assert read_ask({"a": 1.0, "b": {"tokens": "all"}}) == expected
    assert read_ask('{"a": 1.0, "b": {"tokens": "all"}}') == expected


def test_parts_of_vllm_that_move_rows_elsewhere_are_refused() -> None:
    parallel = SimpleNamespace(use_ubatching=False, prefill_context_parallel_size=1)
    config = SimpleNamespace(parallel_config=parallel, speculative_config=None)
    require_supported(config)
    config.speculative_config = object()
    parallel.use_ubatching = True
    with pytest.raises(InputError, match="speculative decoding, microbatches"):
        require_supported(config)


def test_the_configuration_of_a_model_is_that_of_its_text_part() -> None:
    text = SimpleNamespace(num_hidden_layers=3, vocab_size=99)
    whole = SimpleNamespace(model_type="llama")
    found = SimpleNamespace(hf_text_config=text, hf_config=whole, get_hidden_size=lambda: 32)
    assert config_of(found) == MODEL

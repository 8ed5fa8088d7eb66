"""Requests that wait keep their laws, and nothing runs unsteered that was to be steered."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import steersman as sm
from steersman.errors import InputError, MismatchError
from steersman.vllm.admission import Admission, admit, still_there
from steersman.vllm.hot import require_one_front_end
from steersman.vllm.served import Served, read_files
from steersman.vllm.settings import Settings
from steersman.vllm.table import LawTable
from steersman.vllm.waiting import keys_of, require_resolved
from steersman.vllm.worker import Pilot

MODEL = {"model_type": "llama", "blocks": 3, "n": 32, "vocab_size": 99}


@pytest.fixture
def folders(
    tmp_path: Path,
    tiny_model: Callable[[str], Any],
    tiny_tokenizer: Any,
    vector_steering: Callable[..., sm.Steering],
) -> dict[str, Path]:
    """Two steerings of two columns each: a plan, and where the feature is."""
    model = tiny_model("llama")
    return {
        name: vector_steering(model, tiny_tokenizer, seed).save_pretrained(tmp_path / name)
        for seed, name in enumerate(("calm", "warm"))
    }


@pytest.fixture
def processor(folders: dict[str, Path]) -> Any:
    """As much of vLLM's input processor as is asked of one."""
    admission = Admission(MODEL, Settings({"calm": str(folders["calm"])}))
    return SimpleNamespace(steersman=admission, tokenizer=None)


def request(steering: Any, **beside: Any) -> Any:
    extra = None if steering is None else {"steering": steering, **beside}
    return SimpleNamespace(
        req_id="one",
        sampling_params=SimpleNamespace(extra_args=extra),
        prompt_token_ids=[1, 2],
        cache_salt=None,
        resumable=False,
    )


def pilot(columns: int) -> Pilot:
    table = LawTable(blocks=3, n=32, columns=columns, slots=2, rows=8, device=torch.device("cpu"))
    return Pilot(table, (0, 1, 2))


def scheduled(*requests: Any) -> Any:
    return SimpleNamespace(finished_req_ids=[], scheduled_new_reqs=list(requests))


def test_a_law_that_a_waiting_request_needs_gives_no_room_to_another(
    processor: Any, folders: dict[str, Path]
) -> None:
    found, calm = pilot(columns=2), read_files(folders["calm"])
    asked = admit(processor, request({"calm": 1.0}, steering_report="mine"))
    waiting = sorted(keys_of([asked, request(None)]))
    assert waiting == sorted(Served.of_files("calm", calm).keyed)
    assert found.add("calm", calm, []) == ""
    found.remove(waiting)
    assert "0 of 2 are free" in found.add("warm", read_files(folders["warm"]), waiting)
    found.follow(scheduled(asked))
    assert "one" in found.admitted
    # Done, as the core knows, and the worker will only learn in the next pass.
    assert found.add("warm", read_files(folders["warm"]), []) == ""


def test_a_request_whose_law_a_worker_does_not_have_does_not_run(processor: Any) -> None:
    with pytest.raises(MismatchError, match="the request one asks for laws"):
        pilot(columns=2).follow(scheduled(admit(processor, request({"calm": 1.0}))))


def test_a_request_fails_whose_steering_is_removed_or_exchanged_while_it_comes(
    processor: Any, folders: dict[str, Path]
) -> None:
    asked = admit(processor, request({"calm": 1.0}))
    still_there(processor, asked)
    still_there(processor, request(None))
    processor.steersman.put(Served.of_folder("calm", folders["warm"]))
    with pytest.raises(InputError, match="removed while it came"):
        still_there(processor, asked)


@pytest.mark.parametrize("raw", [{"calm": 1.0}, '{"calm": 1.0}', 7, {"prompt": 1}])
def test_a_request_that_came_by_no_front_end_of_ours_is_refused(raw: Any) -> None:
    with pytest.raises(InputError, match="did not come by a front end"):
        require_resolved(request(raw))


def test_several_front_ends_cannot_change_what_each_of_them_knows() -> None:
    def engine(count: int) -> Any:
        parallel = SimpleNamespace(_api_process_count=count)
        return SimpleNamespace(vllm_config=SimpleNamespace(parallel_config=parallel))

    require_one_front_end(engine(1))
    with pytest.raises(InputError, match="2 front ends"):
        require_one_front_end(engine(2))

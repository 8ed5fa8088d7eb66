"""What one engine lives through: the prefix cache, bad requests, steerings that come and go."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from saved_tunnel import saved_tunnel

import steersman as sm
from steersman.vllm.served import Served
from steersman.windtunnel import behaviour

pytestmark = pytest.mark.vllm

CLOSE = 2e-5
IDS = [1, *torch.randint(6, 570, (79,), generator=torch.Generator().manual_seed(0)).tolist()]
"""Two whole blocks of the cache and a half."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("life")


@pytest.fixture(scope="module")
def model_and_steering(
    folder: Path, tiny_model: Callable[[str], Any], tiny_tokenizer: Any
) -> tuple[Any, sm.Steering]:
    model, tokenizer, steering = saved_tunnel(folder)
    pairs = behaviour("concepts:music").pairs(seed=0, count=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        turning = sm.fit(model, tokenizer, pairs, method="angular", progress=False)
        ones = torch.ones(model.config.hidden_size)
        first, second = (sm.import_vectors({t: ones}, model, tokenizer) for t in (1, 2))
        other = sm.import_vectors({0: torch.ones(32)}, tiny_model("llama"), tiny_tokenizer)
    saved = {"music": steering, "turning": turning, "other": other}
    saved |= {"first": first, "second": second}
    for name, one in saved.items():
        one.save_pretrained(folder / name)
    return model, steering


def one(steering: Any = None, **more: Any) -> dict[str, Any]:
    return {"generate": [{"ids": IDS, "steering": steering, **more}], "tokens": 40}


def test_an_engine_shares_no_cache_wrongly_refuses_bad_requests_and_changes_its_steerings(
    model_and_steering: tuple[Any, sm.Steering],
    folder: Path,
    run_engine: Callable[..., Any],
    compare: Callable[..., float],
) -> None:
    model, steering = model_and_steering
    everywhere, last = {"target": 1.0, "tokens": "all"}, {"target": 1.0, "tokens": "last"}
    bad: list[tuple[Any, str]] = [
        ({"nothing": 1.0}, "there is no steering 'nothing'"),
        ({"music": float("nan")}, "must be finite"),
        ({"music": float("inf")}, "must be finite"),
        ({"music": 1e30}, "beyond what the model's numbers hold"),
        ({"music": [1.0, 2.0]}, "one request takes one"),
        ({"music": {"strength": 1.0}}, "strength"),
        ({"music": {"target": 1.0, "execution": "feedback"}}, "needs an unsteered run"),
        ({"music": {"target": 1.0, "tokens": "sometimes"}}, "sometimes"),
        ({"other": 1.0}, "does not fit this one"),
        ({"turning": 1.0}, "not low rank"),
        ("not json", "not JSON"),
        (7, "write it as"),
    ]
    cached: list[tuple[dict[str, Any], Any, int]] = [
        (one({"music": everywhere}), everywhere, 0),
        (one(), None, 0),
        (one(), None, 64),
        (one({"music": everywhere}), everywhere, 64),
        (one({"music": {**everywhere, "target": 0.5}}), {**everywhere, "target": 0.5}, 0),
        (one({"music": last}), last, 0),
        (one({"music": last}), last, 64),
        # What was written steered is now a prompt, where "last" does not steer it.
        (one({"music": last}, behind=5), last, 0),
        (one(behind=1), None, 96),
    ]
    names = ["music", "other", "turning"]
    settings: dict[str, Any] = {"steerings": {name: str(folder / name) for name in names}}
    life: list[dict[str, Any]] = [
        {"names": True},
        {"add": ["more", str(folder / "music")]},
        {"remove": "music"},
        one({"music": everywhere}),
        one({"more": everywhere}),
        {"add": ["other", str(folder / "other")]},
        {"add": ["music", str(folder / "music")]},
        {"remove": "more"},
        one({"music": everywhere}),
        {"names": True},
    ]
    # A request that waits keeps its law, whatever else wants the room.
    queue: list[dict[str, Any]] = [
        {"enqueue": one({"music": everywhere})["generate"], "tokens": 40},
        {"remove": "music"},
        {"add": ["first", str(folder / "first")]},  # in the place of all of music that is not asked
        {"add": ["second", str(folder / "second")]},
        {"finish": True},
        {"add": ["second", str(folder / "second")]},
    ]
    assert set(Served.of_folder("music", folder / "music").laws) == {"plan", "feedback"}
    settings["columns"] = 4
    told = one({"music": everywhere}, report="mine")
    reports = [told, {"report": "mine"}, told, {"report": "mine"}, {"report": "yours"}]
    reports.append(one(report="bare"))
    done = run_engine(
        model=str(folder / "model"),
        engine={
            "additional_config": {"steersman": settings},
            "enable_prefix_caching": True,
            "block_size": 32,
        },
        steps=[
            *(step for step, _, _ in cached),
            *(one(ask) for ask, _ in bad),
            *life,
            *reports,
            *queue,
        ],
    )["steps"]
    for (_, options, blocks), (answer,) in zip(cached, done[: len(cached)], strict=True):
        asks = [] if options is None else [(steering, options)]
        assert compare(answer, model, asks, answer["ids"]) < CLOSE
        assert answer["cached"] == blocks
    for (_, message), answer in zip(bad, done[len(cached) : len(cached) + len(bad)], strict=True):
        assert message in answer["error"]
    found = done[len(cached) + len(bad) :]
    assert found[0] == ["music"]
    assert "there is no steering 'music'" in found[3]["error"]
    assert "does not fit" in found[5]["error"]
    for index in (4, 8):
        assert compare(found[index][0], model, [(steering, everywhere)], IDS) < CLOSE
    assert [found[index] for index in (1, 2, 6, 7)] == [None] * 4
    assert found[9] == ["music"]
    (answer,), report, (again,), twice, *errors = found[10 : 10 + len(reports)]
    assert answer["tokens"] == again["tokens"] and answer["cached"] == again["cached"] == 0
    # The prompt and all that was written, but for the last token, which no block ever saw.
    assert report == twice and report[0]["tokens"] == len(IDS) + 39
    assert compare(answer, model, [(steering, everywhere)], IDS) < CLOSE
    messages = ("no record 'yours'", "give steering")
    for expected, error in zip(messages, errors, strict=True):
        assert expected in error["error"]
    _, _, fits, refused, (answer,), added = found[10 + len(reports) :]
    assert "are free: remove one" in refused["error"]
    assert compare(answer, model, [(steering, everywhere)], IDS) < CLOSE
    assert fits is None and added is None

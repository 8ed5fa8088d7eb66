"""What is read of the last token while a run goes on is the end of what its trace shows."""

from typing import Any

import pytest
import torch

import steersman as sm
from steersman.engines import recorder
from steersman.errors import InputError
from steersman.windtunnel import behaviour, load

PROMPTS = ["the sailor said", "in the morning the old ship"]


@pytest.fixture(scope="module")
def tunnel() -> Any:
    return load(dtype=torch.float64)


def fitted(tunnel: Any, method: str) -> sm.Steering:
    model, tokenizer = tunnel
    pairs = behaviour("concepts:sea").pairs(seed=0, count=12)
    return sm.fit(model, tokenizer, pairs, method=method, progress=False)


@pytest.mark.parametrize("at_once", [recorder.AT_ONCE, 1], ids=["kept", "projected"])
@pytest.mark.parametrize("method", ["one-sided-clamp", "activation-addition"])
def test_the_last_token_is_the_end_of_the_trace(
    tunnel: Any, monkeypatch: pytest.MonkeyPatch, at_once: int, method: str
) -> None:
    model, tokenizer = tunnel
    steering = fitted(tunnel, method)
    monkeypatch.setattr(recorder, "AT_ONCE", at_once)
    tokenizer.padding_side = "left"
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    with steering.attach(model, 1.0) as run, torch.no_grad():
        with pytest.raises(InputError):
            run.last()
        cache = model(**batch, use_cache=True).past_key_values
        for _ in range(2):
            (last,), trace = run.last(), run.trace
            assert last is not None and trace.final is not None
            torch.testing.assert_close(last.feature[:, 0].float(), trace.final[:, -1])
            assert last.steered.tolist() == trace.steered[:, -1].tolist()
            assert (
                (last.nominal is None) == (trace.nominal is None) == (method != "one-sided-clamp")
            )
            if last.nominal is not None and trace.nominal is not None:
                torch.testing.assert_close(
                    last.nominal[:, 0].float(), trace.nominal[:, -1, -1].float()
                )
            batch = {
                "input_ids": torch.full((2, 1), 40),
                "attention_mask": torch.cat(
                    [batch["attention_mask"], torch.ones(2, 1, dtype=torch.long)], dim=1
                ),
            }
            cache = model(**batch, past_key_values=cache, use_cache=True).past_key_values


def test_a_run_without_a_record_says_so(tunnel: Any) -> None:
    model, tokenizer = tunnel
    with (
        fitted(tunnel, "activation-addition").attach(model, 1.0, trace=False) as run,
        torch.no_grad(),
    ):
        model(**tokenizer(PROMPTS[0], return_tensors="pt"))
        with pytest.raises(InputError, match="trace=True"):
            run.last()

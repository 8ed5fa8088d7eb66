"""Every answer is what the same prompt gives alone, whatever else is in the batch."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import PreTrainedModel
from twins import twin

import steersman as sm
from steersman.plant import hooked, locate
from steersman.serving.errors import BusyError, NotThereError, RequestError, StoppingError
from steersman.serving.limits import Limits
from steersman.serving.protocol import Finished, Generation, Sampling, Token
from steersman.serving.transformers_engine import TransformersEngine

PROMPTS = (
    "the sailor said",
    "once upon a time the old king",
    "<user> tell me a story\n<assistant>",
    "the",
    "in the morning the ship",
    "the sea was cold and the",
)


class Asked(NamedTuple):
    """One answer."""

    prompt: int
    steering: dict[str, dict[str, float]]
    temperature: float = 0.0
    top_p: float = 1.0
    tokens: int = 12
    seed: int = 0


MIXED = (
    Asked(0, {"sea": {"feature": 1.0}}),
    Asked(1, {}),
    Asked(2, {"music": {"feature": 1.5}}, tokens=5),
    Asked(3, {"sea": {"feature": -0.5}, "music": {"feature": 0.5}}, temperature=1.0, seed=7),
    Asked(4, {"both": {"sea": 1.0, "music": 0.0}}, temperature=0.8, top_p=0.7, tokens=20, seed=3),
    Asked(5, {"some": {"feature": 1.0}}, tokens=9),
    Asked(0, {"some": {"feature": 1.0}}, temperature=1.2, seed=11, tokens=16),
    Asked(1, {"held": {"feature": 1.0}, "sea": {"feature": 0.7}}, top_p=0.5, temperature=0.7),
    Asked(3, {}, temperature=1.0, tokens=3, seed=5),
)


@pytest.fixture
def engine(tunnel: Any, shelf: Path) -> Any:
    made = TransformersEngine(*tunnel, Limits(running=4, waiting=32))
    for folder in shelf.iterdir():
        made.add(folder.name, folder)
    yield made
    made.close()


async def read(engine: TransformersEngine, asked: Generation) -> tuple[list[int], Finished]:
    tokens: list[int] = []
    async for event in engine.submit(asked):
        if isinstance(event, Finished):
            return tokens, event
        assert isinstance(event, Token)
        tokens.append(event.id)
    raise AssertionError("the stream has no end")


def generation(tokenizer: Any, one: Asked, report: bool = False) -> Generation:
    prompt = tuple(tokenizer(PROMPTS[one.prompt])["input_ids"])
    sampling = Sampling(one.tokens, one.temperature, one.top_p, one.seed)
    return Generation(prompt, sampling, one.steering, report)


def alone(tunnel: Any, steerings: dict[str, sm.Steering], one: Asked) -> list[int]:
    model, tokenizer = tunnel
    mine = {name: steerings[name] for name in sorted(one.steering)}
    target = {
        name if len(each) == 1 else f"{name}.{feature}": value
        for name, each in one.steering.items()
        for feature, value in each.items()
    }
    return twin(
        model,
        tokenizer(PROMPTS[one.prompt])["input_ids"],
        one.tokens,
        steerings=mine,
        target=target,
        temperature=one.temperature,
        top_p=one.top_p,
        seed=one.seed,
    )


@pytest.mark.parametrize("report", [False, True])
def test_rows_that_come_and_go_are_what_each_is_alone(
    engine: Any, tunnel: Any, steerings: Any, report: bool
) -> None:
    async def all_of_them() -> list[Any]:
        asked = [generation(tunnel[1], one, report and i % 2 == 0) for i, one in enumerate(MIXED)]
        return await asyncio.gather(*(read(engine, one) for one in asked))

    found = asyncio.run(all_of_them())
    for one, (tokens, end) in zip(MIXED, found, strict=True):
        expected = alone(tunnel, steerings, one)
        assert tokens == expected, one
        assert end.reason == ("length" if len(expected) == one.tokens else "stop")
    assert not any(hooked(module) for module in (tunnel[0], *locate(tunnel[0]).modules))


def test_the_steerings_of_these_tests_do_something(tunnel: Any, steerings: Any) -> None:
    for one in MIXED:
        if one.steering and "some" not in one.steering:
            bare = alone(tunnel, steerings, one._replace(steering={}))
            strong = {name: dict.fromkeys(each, 3.0) for name, each in one.steering.items()}
            assert alone(tunnel, steerings, one._replace(steering=strong)) != bare, one


def test_a_condition_is_met_by_some_prompts_and_not_by_others(tunnel: Any, steerings: Any) -> None:
    model, tokenizer = tunnel
    with steerings["some"].attach(model, 1.0) as run:
        fired = []
        for prompt in PROMPTS:
            model(**tokenizer(prompt, return_tensors="pt"))
            fired.append(bool(run.trace.fired[0]))
    assert set(fired) == {True, False}


def test_a_row_without_steering_has_the_bits_of_the_same_batch_unsteered(
    tunnel: Any, steerings: Any
) -> None:
    from steersman.serving.batching import Batch, Plant
    from steersman.serving.row import Row, RowAnswer, Served

    async def logits_of(steered: bool) -> list[torch.Tensor]:
        model, tokenizer = tunnel
        served = Served("sea", steerings["sea"])
        rows = [
            Row(
                generation(tokenizer, Asked(prompt, {})),
                {served: {"feature": 1.0}} if steered and prompt else {},
                RowAnswer(),
            )
            for prompt in (0, 1, 2)
        ]
        batch = Batch(Plant(model, locate(model), 0), rows)
        found = [batch.begin()]
        for token in (40, 41):
            for row in rows:
                row.last = token
            found.append(batch.step())
        batch.close()
        return found

    steered, bare = (asyncio.run(logits_of(which)) for which in (True, False))
    for one, other in zip(steered, bare, strict=True):
        assert torch.equal(one[0], other[0])
    assert not torch.equal(steered[-1][1], bare[-1][1])


def test_cancelled_answers_leave_and_the_others_go_on(
    engine: Any, tunnel: Any, steerings: Any
) -> None:
    kept = MIXED[0]._replace(tokens=24)

    async def some() -> tuple[list[int], Finished]:
        gone = [engine.submit(generation(tunnel[1], one._replace(tokens=60))) for one in MIXED[1:6]]
        reading = asyncio.create_task(read(engine, generation(tunnel[1], kept)))
        async for _ in gone[0]:
            break
        ended = await gone[0].cancel("length")
        assert ended.reason in ("length", "stop")
        for answer in gone[1:]:
            answer.abandon()
        return (await reading)[0], ended

    tokens, _ = asyncio.run(some())
    assert tokens == alone(tunnel, steerings, kept)
    assert engine.load.waiting == 0


def test_as_many_wait_as_may_and_no_more(tunnel: Any) -> None:
    engine = TransformersEngine(*tunnel, Limits(running=1, waiting=2))

    async def many() -> list[type[Exception]]:
        refused, answers = [], []
        for _ in range(8):
            try:
                answers.append(engine.submit(generation(tunnel[1], Asked(0, {}, tokens=30))))
            except RequestError as error:
                refused.append(type(error))
        for answer in answers:
            answer.abandon()
        return refused

    try:
        refused = asyncio.run(many())
        assert set(refused) == {BusyError}
        assert 4 <= len(refused) <= 6
    finally:
        engine.close()


def test_a_request_that_the_model_fails_on_takes_no_other_with_it(
    engine: Any, tunnel: Any, steerings: Any
) -> None:
    size = tunnel[0].config.vocab_size

    async def both() -> list[Any]:
        bad = Generation((size + 5,), Sampling(4), {})
        good = [generation(tunnel[1], one) for one in MIXED[:2]]
        readings = (read(engine, one) for one in (good[0], bad, good[1]))
        return await asyncio.gather(*readings, return_exceptions=True)

    first, failed, second = asyncio.run(both())
    assert isinstance(failed, RequestError) and failed.status == 500
    assert first[0] == alone(tunnel, steerings, MIXED[0])
    assert second[0] == alone(tunnel, steerings, MIXED[1])


def test_a_strength_that_breaks_the_numbers_ends_that_answer_alone(
    engine: Any, tunnel: Any, steerings: Any
) -> None:
    async def both() -> list[Any]:
        bad = Asked(0, {"sea": {"feature": 3e38}, "music": {"feature": -3e38}}, temperature=1.0)
        asked = [generation(tunnel[1], one) for one in (MIXED[0], bad, MIXED[3])]
        readings = (read(engine, one) for one in asked)
        return await asyncio.gather(*readings, return_exceptions=True)

    first, broken, last = asyncio.run(both())
    assert isinstance(broken, RequestError) and broken.code == "not_finite"
    assert first[0] == alone(tunnel, steerings, MIXED[0])
    assert last[0] == alone(tunnel, steerings, MIXED[3])


def test_a_steering_that_is_unloaded_or_replaced_goes_on_where_it_is_at_work(
    engine: Any, tunnel: Any, shelf: Path, steerings: Any
) -> None:
    one = MIXED[0]._replace(tokens=20)

    async def changed() -> list[int]:
        reading = asyncio.create_task(read(engine, generation(tunnel[1], one)))
        await asyncio.sleep(0.02)
        engine.remove("sea")
        with pytest.raises(NotThereError):
            engine.submit(generation(tunnel[1], one))
        engine.add("sea", shelf / "music")
        return (await reading)[0]

    assert asyncio.run(changed()) == alone(tunnel, steerings, one)


def test_closing_ends_every_answer_with_an_error(tunnel: Any) -> None:
    engine = TransformersEngine(*tunnel, Limits(running=1))

    async def some() -> list[Any]:
        asked = [generation(tunnel[1], Asked(0, {}, tokens=200)) for _ in range(3)]
        readings = [asyncio.create_task(read(engine, one)) for one in asked]
        await asyncio.sleep(0.05)
        await asyncio.to_thread(engine.close)
        found = await asyncio.gather(*readings, return_exceptions=True)
        with pytest.raises(StoppingError):
            engine.submit(asked[0])
        return found

    found = asyncio.run(some())
    assert sum(isinstance(one, StoppingError) for one in found) >= 2


def test_the_report_is_what_a_run_alone_traces(engine: Any, tunnel: Any, steerings: Any) -> None:
    one = Asked(1, {"held": {"feature": 1.0}, "sea": {"feature": 0.7}}, tokens=10)

    async def reported() -> list[dict[str, Any]]:
        others = [asyncio.create_task(read(engine, generation(tunnel[1], o))) for o in MIXED[:5]]
        _, end = await read(engine, generation(tunnel[1], one, report=True))
        await asyncio.gather(*others)
        return end.report or []

    found = asyncio.run(reported())
    model, tokenizer = tunnel
    ids = torch.tensor([tokenizer(PROMPTS[1])["input_ids"]])
    mine = {name: steerings[name] for name in ("held", "sea")}
    with sm.together(mine).attach(model, target={"held": 1.0, "sea": 0.7}) as run:
        model.generate(input_ids=ids, max_new_tokens=10, do_sample=False, pad_token_id=0)
    for entry, trace, name in zip(found, run.traces(), mine, strict=True):
        steered, features = trace.steered[0], steerings[name].features
        norm, origin = features.norm[-1, 0], features.origin[-1, 0]
        reached = ((trace.final[0, steered] - origin) / norm).mean()
        assert entry["steering"] == entry["feature"] == name
        assert entry["tokens"] == int(steered.sum())
        assert entry["reached"] == pytest.approx(float(reached), abs=1e-5)
        effort = trace.effort[0][:, steered].square().sum(0).sqrt().mean()
        assert entry["effort"] == pytest.approx(float(effort), rel=1e-5)
        expected = trace.natural(trace.feature)[0][:, steered].mean(dim=1)
        found_blocks = torch.tensor(
            [b if b is not None else torch.nan for b in entry["blocks"]["reached"]]
        )
        assert torch.allclose(found_blocks, expected.float(), atol=1e-4, equal_nan=True)


def test_every_token_comes_with_the_features_of_the_state_that_it_was_chosen_from(
    engine: Any, tunnel: Any, steerings: Any
) -> None:
    one = Asked(1, {"held": {"feature": 1.0}, "sea": {"feature": 0.7}}, tokens=10)
    asked = replace(generation(tunnel[1], one, report=True), readings=True)

    async def told() -> tuple[list[Token], Finished]:
        others = [asyncio.create_task(read(engine, generation(tunnel[1], o))) for o in MIXED[:5]]
        events = [event async for event in engine.submit(asked)]
        await asyncio.gather(*others)
        return events[:-1], events[-1]

    tokens, end = asyncio.run(told())
    model, tokenizer = tunnel
    ids = torch.tensor([tokenizer(PROMPTS[1])["input_ids"]])
    mine = {name: steerings[name] for name in ("held", "sea")}
    with sm.together(mine).attach(model, target={"held": 1.0, "sea": 0.7}) as run:
        model.generate(input_ids=ids, max_new_tokens=10, do_sample=False, pad_token_id=0)
    assert len(tokens) == 10
    for number, (name, trace) in enumerate(zip(mine, run.traces(), strict=True)):
        features, method = steerings[name].features, steerings[name].method
        norm, origin = features.norm[-1, 0], features.origin[-1, 0]
        first = ids.shape[1] - 1  # the prompt's last token is the state of the first written one
        reached = ((trace.final[0] - origin) / norm)[first : first + 10]
        read_of = [token.features[number] for token in tokens if token.features]
        assert [entry["feature"] for entry in read_of] == [name] * 10
        found = torch.tensor([entry["reached"] for entry in read_of])
        assert torch.allclose(found, reached.float(), atol=2e-4)
        steered = trace.steered[0, first : first + 10].tolist()
        assert [entry["steered"] for entry in read_of] == steered
        if trace.nominal is None:
            assert all(entry["unsteered"] is None is entry["setpoint"] for entry in read_of)
            continue
        bare = ((trace.nominal[0, -1] - origin) / norm)[first : first + 10].tolist()
        for entry, value, open_ in zip(read_of, bare, steered, strict=True):
            assert entry["unsteered"] == pytest.approx(value, abs=2e-4)
            wanted = one.steering[name]["feature"]
            wanted += 0.0 if method.reference == "absolute" else value
            assert entry["setpoint"] == (pytest.approx(wanted, abs=2e-4) if open_ else None)
    blocks = [entry["blocks"]["unsteered"] for entry in end.report or []]
    for trace, found_blocks in zip(run.traces(), blocks, strict=True):
        if trace.nominal is None:
            assert found_blocks == [None] * len(found_blocks)
            continue
        expected = trace.natural(trace.nominal[:, :-1])[0][:, trace.steered[0]].mean(dim=1)
        numbers = torch.tensor([torch.nan if b is None else b for b in found_blocks])
        assert torch.allclose(numbers, expected.float(), atol=1e-4, equal_nan=True)


def test_tokens_come_without_features_unless_they_are_asked_for(engine: Any, tunnel: Any) -> None:
    async def one(readings: bool, steering: dict[str, dict[str, float]]) -> list[Token]:
        asked = generation(tunnel[1], Asked(0, steering, tokens=3))
        events = [event async for event in engine.submit(replace(asked, readings=readings))]
        return [event for event in events if isinstance(event, Token)]

    sea = {"sea": {"feature": 1.0}}
    assert {token.features for token in asyncio.run(one(False, sea))} == {None}
    assert {token.features for token in asyncio.run(one(True, {}))} == {()}


ARCHITECTURES = (
    "llama",
    "gpt2",
    "gemma3_text",
    "mistral",
    "bloom",
    "opt",
    "deepseek_v3",
    "gpt_oss",
)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_answers_in_a_batch_as_alone(
    kind: str, tiny_model: Callable[[str], PreTrainedModel], tiny_tokenizer: Any
) -> None:
    model = tiny_model(kind)
    engine = TransformersEngine(model, tiny_tokenizer, Limits(running=3))
    prompts: Sequence[tuple[int, ...]] = [(5, 9, 30, 4, 8, 11), (7, 3), (40,), (12, 13, 14, 15)]

    async def all_of_them() -> list[Any]:
        asked = [Generation(prompt, Sampling(4 + 3 * i, 0.0)) for i, prompt in enumerate(prompts)]
        return await asyncio.gather(*(read(engine, one) for one in asked))

    try:
        found = asyncio.run(all_of_them())
    finally:
        engine.close()
    for i, (prompt, (tokens, _)) in enumerate(zip(prompts, found, strict=True)):
        out = model.generate(
            input_ids=torch.tensor([prompt]),
            max_new_tokens=4 + 3 * i,
            do_sample=False,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert tokens == [token for token in out if token != 2]

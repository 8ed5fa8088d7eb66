"""The evaluation harness sees a steered model, and scores what it would have written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lm_eval")

from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

import steersman as sm  # noqa: E402
from steersman.errors import InputError, MismatchError  # noqa: E402
from steersman.harness import SteeredLM  # noqa: E402
from steersman.windtunnel import behaviour, fit_behaviour, load  # noqa: E402
from steersman.windtunnel.behaviours import knowledge_items  # noqa: E402

CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/choice.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
WRITING = """
task: local_writing
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/writing.jsonl}}, cache_dir: {folder}/cache}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
# Continuations of one token and of several, after contexts of different lengths.
ENDINGS = ["the sea .", "the old sailor saw the sea .", "music"]


@pytest.fixture(scope="module")
def steered() -> Any:
    """The embedded model, its tokenizer, and a steering toward the sea, read at few tokens."""
    model, tokenizer = load()
    sea = behaviour("concepts:sea")
    steering = fit_behaviour(model, tokenizer, sea, pairs=40, method="feature-lqr")
    return model, tokenizer, steering


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a multiple-choice task and a generation task, and their data."""
    folder = tmp_path_factory.mktemp("tasks")
    questions = [
        {"question": prompt, "choices": list(options), "answer": options.index(truth)}
        for prompt, options, truth in knowledge_items(0, 8)
    ]
    items = behaviour("concepts:sea").items(0, 6)
    writing = [{"question": item.prompt, "answer": "the sea"} for item in items]
    for name, rows, task in (("choice", questions, CHOICE), ("writing", writing, WRITING)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        (folder / f"{name}.yaml").write_text(task.format(folder=folder))
    return folder


def evaluated(lm: Any, folder: Path, *names: str) -> dict[str, Any]:
    """The harness's results of local tasks, and what it was answered."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    out = simple_evaluate(lm, tasks=list(names), task_manager=manager, bootstrap_iters=0)
    return {
        name: (
            {k: v for k, v in out["results"][name].items() if k != "alias"},
            [sample["resps"] for sample in out["samples"][name]],
        )
        for name in names
    }


def requests(steered: Any, count: int = 3) -> list[tuple[Any, list[int], list[int]]]:
    """Every ending behind prompts of different lengths, in tokens."""
    _, tokenizer, _ = steered
    items = behaviour("concepts:sea").items(0, count)
    prompts = [item.prompt + " then" * place for place, item in enumerate(items)]
    return [
        (None, tokenizer(prompt)["input_ids"], tokenizer(end)["input_ids"][1:])
        for prompt in prompts
        for end in ENDINGS
    ]


def written(steered: Any, context: list[int], answer: list[int], **asked: Any) -> float:
    """Log likelihood of an answer that a steered model is made to write token by token."""
    model, _, steering = steered
    total, cache, ids = 0.0, None, torch.tensor([context])
    with steering.attach(model, trace=False, **asked), torch.no_grad():
        for token in answer:
            out = model(ids, past_key_values=cache, use_cache=True)
            total += float(out.logits[0, -1].log_softmax(-1)[token])
            cache, ids = out.past_key_values, torch.tensor([[token]])
    return total


def test_strength_zero_is_the_bare_harness(steered: Any, tasks: Path) -> None:
    model, tokenizer, steering = steered
    names = ("local_choice", "local_writing")
    bare = evaluated(HFLM(model, tokenizer=tokenizer, batch_size=3), tasks, *names)
    for lm in (
        SteeredLM(model, steering, target=0.0, tokenizer=tokenizer, batch_size=3),
        SteeredLM(model, tokenizer=tokenizer, batch_size=3),
    ):
        assert evaluated(lm, tasks, *names) == bare


def test_a_steering_changes_what_the_harness_sees_and_leaves_no_trace(
    steered: Any, tasks: Path
) -> None:
    model, tokenizer, steering = steered
    ids = torch.tensor([[1, 20, 30, 40]])
    before = model(ids).logits
    lm = SteeredLM(model, steering, target=2.0, tokenizer=tokenizer, batch_size=3)
    found = evaluated(lm, tasks, "local_writing")
    bare = evaluated(HFLM(model, tokenizer=tokenizer, batch_size=3), tasks, "local_writing")
    assert found["local_writing"][1] != bare["local_writing"][1]
    assert torch.equal(model(ids).logits, before)


WAYS: dict[str, dict[str, Any]] = {
    "where it was read": {},
    "every token": {"tokens": "all"},
    "from the last token on": {"tokens": "last"},
    "feedback": {"execution": "feedback", "tokens": "last"},
    "absolute": {"reference": "absolute", "tokens": "all"},
    "at each prompt": {"relinearize": "prompt"},
    "at each token": {"relinearize": "token"},
    "corrected": {"execution": "feedback", "correction": 0.5, "tokens": "all"},
}


SLOW = ("feedback", "absolute", "at each prompt", "at each token")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.slow] * (way in SLOW)) for way in WAYS]
)
def test_a_continuation_is_scored_as_if_the_model_had_written_it(steered: Any, way: str) -> None:
    model, tokenizer, steering = steered
    asked = {"target": 1.5, **WAYS[way]}
    lm = SteeredLM(model, steering, tokenizer=tokenizer, batch_size=4, **asked)
    every = requests(steered)
    found = lm._loglikelihood_tokens(every, disable_tqdm=True)
    expected = [written(steered, context, answer, **asked) for _, context, answer in every]
    assert [score for score, _ in found] == pytest.approx(expected, abs=2e-4)
    bare = [written(steered, context, answer, target=0.0) for _, context, answer in every]
    assert max(abs(a - b) for a, b in zip(expected, bare, strict=True)) > 0.05


@pytest.mark.parametrize("tokens", ["last", "all"])
def test_scores_do_not_depend_on_the_batch(steered: Any, tokens: str) -> None:
    model, tokenizer, steering = steered
    alone, together = (
        SteeredLM(model, steering, target=1.5, tokens=tokens, tokenizer=tokenizer, batch_size=size)
        for size in (1, 9)
    )
    every = requests(steered)
    one, other = (lm._loglikelihood_tokens(every, disable_tqdm=True) for lm in (alone, together))
    assert [score for score, _ in one] == pytest.approx([score for score, _ in other], abs=2e-4)
    assert [greedy for _, greedy in one] == [greedy for _, greedy in other]


def test_what_the_steered_model_writes_greedily_is_known_as_greedy(steered: Any) -> None:
    model, tokenizer, steering = steered
    asked = {"target": 2.0, "tokens": "last"}
    (_, context, other), *_ = requests(steered)
    with steering.attach(model, trace=False, **asked):
        ids = model.generate(torch.tensor([context]), max_new_tokens=5, do_sample=False)
    greedy = ids[0, len(context) :].tolist()
    lm = SteeredLM(model, steering, tokenizer=tokenizer, batch_size=2, **asked)
    found = lm._loglikelihood_tokens([(None, context, greedy), (None, context, other)])
    assert [is_greedy for _, is_greedy in found] == [True, False]


def test_a_text_longer_than_the_context_loses_its_beginning(steered: Any) -> None:
    model, tokenizer, steering = steered
    lm = SteeredLM(
        model, steering, target=1.0, tokens="last", tokenizer=tokenizer, max_length=8, batch_size=2
    )
    context, answer = list(range(10, 30)), [40, 41, 42]
    ((score, _),) = lm._loglikelihood_tokens([(None, context, answer)])
    # Eight tokens go in, two of them of the answer, whose last is only predicted.
    kept = context[-6:]
    expected = written(steered, kept, answer, target=1.0, tokens="last")
    assert score == pytest.approx(expected, abs=2e-4)
    with pytest.raises(InputError, match="a continuation has 9 tokens"):
        lm._loglikelihood_tokens([(None, context, list(range(9)))])


@pytest.mark.slow
@pytest.mark.parametrize("tokens", ["last", "all"])
def test_a_batch_is_generated_as_one_prompt_at_a_time(
    steered: Any, tasks: Path, tokens: str
) -> None:
    model, tokenizer, steering = steered
    lm = SteeredLM(model, steering, target=2.0, tokens=tokens, tokenizer=tokenizer, batch_size=6)
    _, found = evaluated(lm, tasks, "local_writing")["local_writing"]
    for (text,), item in zip(found, behaviour("concepts:sea").items(0, 6), strict=True):
        given = tokenizer(item.prompt, return_tensors="pt")
        with steering.attach(model, 2.0, tokens=tokens, trace=False):
            ids = model.generate(**given, max_new_tokens=12, do_sample=False)
        new = tokenizer.decode(ids[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text == [new.split("\n\n")[0]]


def test_the_harness_writes_down_what_was_steered(steered: Any) -> None:
    model, tokenizer, steering = steered
    lm = SteeredLM(model, steering, target=1.0, tokens="last", tokenizer=tokenizer)
    info = lm.get_model_info()
    assert info["asked"]["target"] == 1.0
    assert info["steering"]["blocks"] == 6
    assert "steering" not in SteeredLM(model, tokenizer=tokenizer).get_model_info()


def test_a_strength_for_each_prompt_is_refused(steered: Any) -> None:
    model, tokenizer, steering = steered
    with pytest.raises(InputError, match="2 strengths, one a prompt"):
        SteeredLM(model, steering, target=[1.0, 2.0], tokenizer=tokenizer)


def test_a_steering_of_another_model_is_refused(
    steered: Any, tiny_model: Any, tiny_tokenizer: Any
) -> None:
    with pytest.raises(MismatchError, match="does not fit"):
        SteeredLM(tiny_model("llama"), steered[2], tokenizer=tiny_tokenizer)


@pytest.mark.slow
def test_the_command_runs_a_task_under_a_saved_steering(
    steered: Any, tasks: Path, tmp_path: Path
) -> None:
    model, tokenizer, steering = steered
    steering.save_pretrained(tmp_path / "sea")
    given = f"pretrained=windtunnel,steering={tmp_path / 'sea'},target=2.0,tokens=last"
    command = [sys.executable, "-m", "steersman.harness", "--model", "steersman"]
    command += ["--model_args", given, "--tasks", "local_choice,local_writing", "--batch_size", "4"]
    command += ["--include_path", str(tasks), "--output_path", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = (tmp_path / "out").rglob("results_*.json")
    found = json.loads(path.read_text())
    lm = SteeredLM(
        model, sm.Steering.from_pretrained(tmp_path / "sea"), target=2.0, tokens="last",
        tokenizer=tokenizer, batch_size=4,
    )  # fmt: skip
    expected = evaluated(lm, tasks, "local_choice")["local_choice"][0]
    assert found["results"]["local_choice"]["acc,none"] == expected["acc,none"]
    assert found["config"]["asked"]["target"] == 2.0

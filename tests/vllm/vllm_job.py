"""Engines of vLLM, one after the other in a process of their own: a JSON job in, its outputs out.

    {"model": FOLDER, "engines": [{"engine": {...}, "steps": [STEP, ...]}, ...]}

A step is `{"generate": [{"ids": [...], "steering": {...}}, ...], "tokens": COUNT}`, or
`{"add": [NAME, FOLDER]}`, `{"remove": NAME}`, `{"names": true}`, or `{"reset": true}`, which
empties the prefix cache; or `{"enqueue": [REQUEST, ...], "tokens": COUNT}`, whose requests wait
until there is `{"finish": true}`. Its answer is a list with, for
each request, its ids, the tokens and the log-probabilities of the whole vocabulary at each; or the
error's text. A request that is `"behind": STEP` goes on after what that step's first request wrote.
"""

import json
import sys
from typing import Any


def main(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What came out of every engine."""
    return [outputs(job["model"], one["engine"], one["steps"]) for one in job["engines"]]


def outputs(model: str, changed: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Run every step of one engine and say what came out."""
    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    engine = {"enforce_eager": True, "dtype": "float32", "max_model_len": 256, "seed": 0}
    engine |= {"skip_tokenizer_init": True, "max_logprobs": -1, "max_num_seqs": 16}
    engine |= {"gpu_memory_utilization": 0.1, "disable_log_stats": False}
    llm = LLM(model, **{**engine, **changed})
    before = preempted(llm)
    answers: list[Any] = []
    for one in steps:
        for request in one.get("generate", []):
            if "behind" in request:
                earlier = answers[request["behind"]][0]
                request["ids"] = earlier["ids"] + earlier["tokens"]
        answers.append(step(llm, one))
    found = {"steps": answers, "preempted": preempted(llm) - before}
    del llm
    cleanup_dist_env_and_memory()
    return found


def step(llm: Any, one: dict[str, Any]) -> Any:
    """One step of a job."""
    from vllm.exceptions import VLLMClientError

    from steersman import vllm as plugin
    from steersman.errors import SteersmanError

    try:
        if "add" in one:
            return plugin.add(llm, *one["add"])
        if "remove" in one:
            return plugin.remove(llm, one["remove"])
        if "reset" in one:
            return bool(llm.reset_prefix_cache())
        if "report" in one:
            return plugin.report(llm, one["report"])
        if "names" in one:
            return list(plugin.names(llm))
        if "enqueue" in one:
            llm.enqueue(*asked(one["enqueue"], one["tokens"]), use_tqdm=False)
            return None
        if "finish" in one:
            return written(llm.wait_for_completion(use_tqdm=False))
        done = llm.generate(*asked(one["generate"], one["tokens"]), use_tqdm=False)
        return written(done)
    except (SteersmanError, VLLMClientError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def asked(requests: list[dict[str, Any]], tokens: int) -> tuple[list[Any], list[Any]]:
    """Prompts, and that greedy tokens are wanted behind them, with all log-probabilities."""
    from vllm import SamplingParams

    def params(one: dict[str, Any]) -> Any:
        named = {"steering": "steering", "report": "steering_report"}
        extra = {ours: one[name] for name, ours in named.items() if one.get(name) is not None}
        return SamplingParams(
            temperature=0.0,
            max_tokens=tokens,
            ignore_eos=True,
            logprobs=-1,
            extra_args=extra or None,
            detokenize=False,
        )

    prompts = [{"prompt_token_ids": one["ids"]} for one in requests]
    return prompts, [params(one) for one in requests]


def written(done: list[Any]) -> list[dict[str, Any]]:
    """What vLLM answered, as plain data."""
    return [
        {
            "ids": list(one.prompt_token_ids),
            "tokens": list(one.outputs[0].token_ids),
            "logprobs": [
                [at[token].logprob for token in range(len(at))] for at in one.outputs[0].logprobs
            ],
            "cached": one.num_cached_tokens,
        }
        for one in done
    ]


def preempted(llm: Any) -> int:
    """How many requests had to wait for room and were computed again."""
    found = [one.value for one in llm.get_metrics() if one.name == "vllm:num_preemptions"]
    return int(sum(found))


if __name__ == "__main__":
    job = json.loads(sys.stdin.read())
    with open(job["out"], "w", encoding="utf-8") as file:
        json.dump(main(job), file)

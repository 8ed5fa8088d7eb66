"""What the plugin costs vLLM: tokens a second with nobody, half or all of a batch steered.

    .venv-vllm/bin/python benchmarks/vllm_throughput.py --out throughput.json

Three engines with the same weights live side by side in processes of their own and take turns, so
that what slows the machine slows all of them; each ratio is between two turns of one round. It is
not run by `run.py`, since it needs the environment of vLLM.

    stock   vLLM without the package
    again   the same once more: what pairs of turns cannot tell
    steers  vLLM with the package and two steerings, one that observes and one that does not
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "tests" / "vllm"))

from surroundings import surroundings  # noqa: E402

SHARES = {"nobody": 0.0, "half": 0.5, "all": 1.0}
MODELS = {"n = 256": (256, 4), "n = 768": (768, 8)}
VOCABULARY = 2000


def main() -> None:
    """Every model, one after the other."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    reader.add_argument("--out", type=Path)
    reader.add_argument("--rounds", type=int, default=7)
    reader.add_argument("--requests", type=int, default=16)
    reader.add_argument("--tokens", type=int, default=24)
    reader.add_argument("--compiled", action="store_true")
    reader.add_argument("--model", choices=list(MODELS), action="append", help="both by default")
    asked = reader.parse_args()
    if asked.serve is not None:
        serve(asked.serve)
        return
    wanted = asked.model or list(MODELS)
    found = {name: measured(*MODELS[name], asked) for name in wanted}
    for name, cells in found.items():
        for way, cell in cells.items():
            print(f"{name}  {way:8}  {cell['ratio']:.3f}  {cell['ratios']}")
    if asked.out is not None:
        from machine import describe

        how = {k: v for k, v in vars(asked).items() if k not in ("serve", "out")}
        result = {"asked": how, "machine": describe(), "ratios": found}
        asked.out.write_text(json.dumps(result, indent=2) + "\n")


def measured(n: int, blocks: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Throughput relative to stock, by who is steered."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        made(n, blocks, folder)
        job = {"requests": asked.requests, "tokens": asked.tokens, "eager": not asked.compiled}
        (folder / "job.json").write_text(json.dumps(job))
        engines = {name: Engine(folder, name == "steers") for name in ("stock", "again", "steers")}
        turns = [("stock", "nobody"), ("again", "nobody"), *(("steers", one) for one in SHARES)]
        rates: dict[str, list[float]] = {f"{name}/{share}": [] for name, share in turns}
        for index in range(asked.rounds + 1):
            for name, share in turns if index % 2 else reversed(turns):
                rate = engines[name].turn(SHARES[share])
                if index:  # the first round warms up
                    rates[f"{name}/{share}"].append(rate)
        for engine in engines.values():
            engine.close()
    found = {}
    for name, share in turns[1:]:
        pairs = zip(rates[f"{name}/{share}"], rates["stock/nobody"], strict=True)
        each = [one / stock for one, stock in pairs]
        found["noise" if name == "again" else share] = {
            "ratio": statistics.median(each),
            "ratios": [round(one, 3) for one in sorted(each)],
            "tokens_a_second": statistics.median(rates[f"{name}/{share}"]),
        }
    return found


class Engine:
    """One engine in a process of its own.

    Args:
        folder: of the model and the job.
        steers: whether it has the package.
    """

    def __init__(self, folder: Path, steers: bool) -> None:
        """Start it, and wait until it is ready."""
        names = ("plan", "feedback")
        settings = {"steerings": {name: str(folder / name) for name in names}}
        package = {"STEERSMAN_VLLM": json.dumps(settings)} if steers else {"VLLM_PLUGINS": "none"}
        environment = {
            **os.environ,
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            **surroundings(folder / "cache"),
            **package,
        }
        self._log = (folder / f"log-{steers}").open("w")
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        self.turn(0.0)

    def turn(self, share: float) -> float:
        """Tokens a second of one batch."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{share}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("rate "):
                return float(line.split()[1])
        raise RuntimeError(f"the engine died; see {self._log.name}")

    def close(self) -> None:
        """End it."""
        self._process.communicate()
        self._log.close()


def serve(folder: Path) -> None:
    """An engine that runs a batch for every line it reads, steering that share of it."""
    from vllm import LLM, SamplingParams

    job = json.loads((folder / "job.json").read_text())
    llm = LLM(
        str(folder / "model"),
        dtype="float32",
        enforce_eager=job["eager"],
        max_model_len=256,
        max_num_seqs=job["requests"],
        enable_prefix_caching=False,
        skip_tokenizer_init=True,
        gpu_memory_utilization=0.1,
    )
    ids = [[(7 * i + 3 * j) % VOCABULARY for j in range(16)] for i in range(job["requests"])]
    for line in sys.stdin:
        steered = round(float(line) * job["requests"])
        params = []
        for index in range(job["requests"]):
            asks = {"plan": 0.1, "feedback": {"target": 0.1, "reference": "absolute"}}
            extra = {"steering": asks} if index < steered else None
            params.append(
                SamplingParams(
                    temperature=0.0,
                    max_tokens=job["tokens"],
                    ignore_eos=True,
                    detokenize=False,
                    extra_args=extra,
                )
            )
        prompts = [{"prompt_token_ids": one} for one in ids]
        start = time.perf_counter()
        llm.generate(prompts, params, use_tqdm=False)
        taken = time.perf_counter() - start
        print(f"rate {job['requests'] * job['tokens'] / taken}", flush=True)


def made(n: int, blocks: int, folder: Path) -> None:
    """A random model, and two steerings of it: a schedule, and a law that feeds back."""
    import torch
    from random_llama import random_llama
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    import steersman as sm
    from steersman.methods import ALQR, Controller

    model = random_llama(n, blocks, VOCABULARY)
    model.save_pretrained(folder / "model")
    core = Tokenizer(WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="w0")
    tokenizer.save_pretrained(folder / "model")
    seeded = torch.Generator().manual_seed(0)
    vectors = {t: torch.randn(n, generator=seeded) / n**0.5 for t in range(blocks)}
    plan = sm.import_vectors(vectors, model, tokenizer)
    plan.save_pretrained(folder / "plan")
    H, G = plan.features.vectors[:-1], plan.controller.G
    controller = Controller(H, 0.1 * G, 0.1 * G, torch.ones(blocks, 1, 1))
    parts = plan.to_parts()._replace(controller=controller, method=ALQR())
    sm.Steering.of_parts(parts).save_pretrained(folder / "feedback")


if __name__ == "__main__":
    main()

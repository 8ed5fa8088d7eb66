"""What happens around each forward pass, in the process that holds the model."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steersman.errors import ArchitectureError, InputError, MismatchError, SteersmanError
from steersman.vllm.asking import Asked
from steersman.vllm.blocks import find_blocks, hook_blocks
from steersman.vllm.records import Records
from steersman.vllm.rows import Admitted, Batch, Slots
from steersman.vllm.served import Served, config_of, watch_key
from steersman.vllm.settings import Settings
from steersman.vllm.table import LawTable, Rows
from steersman.vllm.waiting import asked_of

logger = logging.getLogger("vllm.steersman")


class Pilot:
    """Steers the requests of one worker.

    Args:
        table: the tensors that the blocks read.
        local: the blocks that this worker holds.
    """

    def __init__(self, table: LawTable, local: tuple[int, ...]) -> None:
        """No request is known."""
        self.table = table
        self.local = local
        self.admitted: dict[str, Admitted] = {}
        self.slots = Slots(table.slots)
        self.records = Records(table, local)
        self._told: list[tuple[str, int, int, int]] = []
        self._proved = False
        self._aimed: tuple[object, ...] | None = None

    def follow(self, scheduled: Any) -> None:
        """Take note of the requests that come and of those that are done.

        Args:
            scheduled: vLLM's `SchedulerOutput`.
        """
        for name in scheduled.finished_req_ids:
            done = self.admitted.pop(name, None)
            self.slots.release(name)
            if done is not None:
                self.records.end(done)
        for request in scheduled.scheduled_new_reqs:
            asked = asked_of(request)
            if asked is not None and request.req_id not in self.admitted:
                self._admit(request.req_id, asked)

    def aim(self, batch: Batch) -> None:
        """Write down whose the rows of the next pass are."""
        present = self.admitted.keys() & set(batch.requests)
        if not present:
            self.rest(self._proved)
            return
        self._told = self._to_tell(batch, present)
        key = self._key(batch, present)
        if key is not None and key == self._aimed:
            return
        self._aimed = key
        count = int(batch.starts[-1])
        slot = np.zeros(count, dtype=np.int64)
        mask = np.zeros((count, self.table.columns), dtype=bool)
        by_ids = []
        for name, row, rows, first in batch.spans():
            if name not in present:
                continue
            slot[row : row + rows] = self._slot(name, present)
            for law in self.admitted[name].laws:
                columns = self.table.columns_of[law.asked.key]
                mask[row : row + rows, columns] = law.opened(first, rows)[:, None]
                if self.admitted[name].record:
                    watched = self.table.columns_of[watch_key(law.asked.key)]
                    mask[row : row + rows, watched] = True
                if law.ids is not None:
                    by_ids.append((row, rows, columns, law.ids))
        self.table.put(Rows(slot, mask))
        for row, rows, columns, ids in by_ids:
            self.table.narrow(row, columns, _among(batch.ids, row, rows, ids, self.table.device))

    def rest(self, skipped: bool = False) -> None:
        """Let nothing act.

        Args:
            skipped: blocks may leave the operation out; not while a graph is captured.
        """
        self.table.clear()
        self.table.resting = skipped
        self._aimed = None
        self._told = []

    def gather(self) -> None:
        """After a pass: keep what it showed of the requests that are to be told of."""
        for told in self._told:
            self.records.keep(*told)
        self._told = []

    def _to_tell(self, batch: Batch, present: set[str]) -> list[tuple[str, int, int, int]]:
        """The records that the next pass is to be kept in, and which of its rows and places."""
        records = {name: self.admitted[name].record for name in present}
        if not any(records.values()):
            return []
        return [
            (records[name], row, rows, first)
            for name, row, rows, first in batch.spans()
            if records.get(name)
        ]

    def _key(self, batch: Batch, present: set[str]) -> tuple[object, ...] | None:
        """What tells a pass whose rows are as those of the last; None where tokens may differ.

        Behind their prompts all tokens of a request are alike, but for rules that ask which they
        are.
        """
        for name, computed in zip(batch.requests, batch.computed.tolist(), strict=True):
            if name in present and computed < self.admitted[name].settled:
                return None
        return (tuple(batch.requests), batch.starts.tobytes())

    def prove(self) -> None:
        """After the first pass: refuse to go on where the operation ran behind no block.

        Raises:
            ArchitectureError: a compiled graph, or the model's own code, goes around the blocks.
        """
        if self._proved:
            return
        silent = [block for block in self.local if not int(self.table.fired[block])]
        if silent:
            raise ArchitectureError(
                f"steering reached no pass through the blocks {silent}: a graph that was compiled "
                "without it is in use, or this model does not call its blocks. Delete vLLM's cache "
                "of compiled graphs, or start with enforce_eager=True."
            )
        self._proved = True

    def add(self, name: str, files: Mapping[str, bytes], busy: Sequence[str]) -> str:
        """Hold another steering.

        Args:
            name: what requests call it.
            files: its files.
            busy: keys of the laws that the engine's requests need, those that wait included; the
                core knows of them, and a worker neither of those that wait nor of the last ends.

        Returns:
            What went wrong; empty where nothing did, as an error here would end the engine.
        """
        try:
            self.table.add(name, Served.of_files(name, files).keyed, busy)
        except SteersmanError as error:
            return str(error)
        return ""

    def remove(self, keys: list[str]) -> str:
        """Let laws go once no request needs them."""
        self.table.remove(keys)
        return ""

    def _admit(self, name: str, asked: Asked) -> None:
        """Take a request on.

        Raises:
            MismatchError: a law that this worker was never told of, which ends the engine: the
                others have run it steered, or nobody has.
        """
        missing = asked.keys - self.table.columns_of.keys()
        if missing:
            raise MismatchError(
                f"the request {name} asks for laws that this worker does not have: it was started "
                "after they were added. Give all steerings when the engine starts."
            )
        found = self.admitted[name] = Admitted.of(asked)
        self.records.begin(found)

    def _slot(self, name: str, present: set[str]) -> int:
        slot, new = self.slots.take(name, present)
        if new:
            laws = self.admitted[name].laws
            self.table.set_slot(slot, {law.asked.key: law.asked.setpoints for law in laws})
        return slot


def install(worker: Any, settings: Settings) -> None:
    """Make a worker steer: its blocks are hooked as soon as they are loaded.

    Args:
        worker: vLLM's worker, before it loads its model.
        settings: which steerings it starts with.
    """
    load = worker.load_model

    def load_model(*args: Any, **kwargs: Any) -> Any:
        # Before anything asks for the key of the compiled graphs.
        settings.mark(worker.vllm_config)
        done = load(*args, **kwargs)
        pilot = _pilot(worker, settings)
        worker.steersman_add = pilot.add
        worker.steersman_remove = pilot.remove
        worker.steersman_record = pilot.records.read
        _surround(worker.model_runner, pilot)
        return done

    worker.load_model = load_model


def require_supported(vllm_config: Any) -> None:
    """Refuse what would put rows where they are not looked for.

    Raises:
        InputError: a part of vLLM that this does not go with.
    """
    parallel = vllm_config.parallel_config
    wrong = {
        "speculative decoding": getattr(vllm_config, "speculative_config", None) is not None,
        "microbatches (DBO)": bool(getattr(parallel, "use_ubatching", False)),
        "prefill context parallelism": getattr(parallel, "prefill_context_parallel_size", 1) > 1,
    }
    found = [name for name, is_so in wrong.items() if is_so]
    if found:
        raise InputError(
            f"steering does not go with {', '.join(found)}: start vLLM without, or without "
            "steerings."
        )


def _pilot(worker: Any, settings: Settings) -> Pilot:
    config = worker.vllm_config
    require_supported(config)
    found = config_of(config.model_config)
    scheduler = config.scheduler_config
    captured = getattr(config.compilation_config, "max_cudagraph_capture_size", None) or 0
    table = LawTable(
        blocks=found["blocks"],
        n=found["n"],
        columns=settings.columns,
        slots=int(scheduler.max_num_seqs),
        rows=max(int(scheduler.max_num_batched_tokens), captured) + 64,
        device=torch.device(worker.device),
    )
    for name, folder in settings.steerings.items():
        try:
            served = Served.of_folder(name, folder)
            served.require_config(**found)
            table.add(name, served.keyed)
        except SteersmanError as error:
            # The front end finds the same and tells it to whoever asks for this steering.
            logger.error("steering %r is not served: %s", name, error)
    blocks = find_blocks(worker.model_runner.get_model(), found["blocks"])
    hook_blocks(blocks, table)
    logger.info("steering %d blocks; %d laws", len(blocks), len(table.columns_of))
    return Pilot(table, tuple(blocks))


def _surround(runner: Any, pilot: Pilot) -> None:
    """Let a runner of either kind tell the pilot of every pass."""
    execute = runner.execute_model

    def execute_model(scheduled: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("dummy_run"):
            pilot.rest()
            return execute(scheduled, *args, **kwargs)
        pilot.follow(scheduled)
        done = execute(scheduled, *args, **kwargs)
        if scheduled.total_num_scheduled_tokens:
            pilot.prove()
            pilot.gather()
        return done

    runner.execute_model = execute_model
    if hasattr(runner, "_model_forward"):
        _surround_first(runner, pilot)
    elif hasattr(runner, "prepare_inputs"):
        _surround_second(runner, pilot)
    else:
        raise ArchitectureError(
            f"{type(runner).__name__} is a runner of vLLM that is not known here: steering needs "
            "vLLM 0.32."
        )


def _surround_first(runner: Any, pilot: Pilot) -> None:
    """The runner of `v1/worker/gpu_model_runner.py`, which the CPU has too."""
    forward, dummy = runner._model_forward, runner._dummy_run

    def model_forward(input_ids: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        requests = list(runner.input_batch.req_ids)
        count = len(requests)
        starts = np.array(runner.query_start_loc.np[: count + 1])
        computed = np.array(runner.input_batch.num_computed_tokens_cpu[:count])
        # A model that is given embeddings gets no ids, and yet the runner has them.
        ids = runner.input_ids.gpu if input_ids is None else input_ids
        pilot.aim(Batch(requests, starts, computed, ids))
        return forward(input_ids, *args, **kwargs)

    def dummy_run(*args: Any, **kwargs: Any) -> Any:
        pilot.rest()
        return dummy(*args, **kwargs)

    runner._model_forward, runner._dummy_run = model_forward, dummy_run


def _surround_second(runner: Any, pilot: Pilot) -> None:
    """The runner of `v1/worker/gpu/model_runner.py`. Written by its source, and never run."""
    prepare = runner.prepare_inputs

    def prepare_inputs(*args: Any, **kwargs: Any) -> Any:
        made = prepare(*args, **kwargs)
        count = len(made.req_ids)
        starts = np.array(made.query_start_loc_np[: count + 1])
        computed = np.array(made.num_computed_tokens_np[:count])
        pilot.aim(Batch(made.req_ids, starts, computed, made.input_ids))
        return made

    runner.prepare_inputs = prepare_inputs


def _among(
    ids: Tensor | None, row: int, rows: int, wanted: tuple[int, ...], device: torch.device
) -> Tensor:
    """Which of some rows hold one of these tokens; none where the ids are not known."""
    if ids is None:
        return torch.zeros(rows, dtype=torch.bool, device=device)
    return torch.isin(ids[row : row + rows], torch.tensor(wanted, device=ids.device)).to(device)

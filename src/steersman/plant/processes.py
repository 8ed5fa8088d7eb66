"""Processes that share a job: which one this is, what the others say, and sums over all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn

from steersman.errors import InputError, LostProcessError, MismatchError, ProcessError
from steersman.plant.blocks import unwrap

if TYPE_CHECKING or dist.is_available():
    from torch.distributed import ProcessGroup as ProcessGroup
else:
    ProcessGroup = Any

_LETTERS = 1024
_FAILED = "!"
_SPREAD = ("device_mesh", "ds_id")
"""What a parameter that is spread over processes has: tensor parallel and FSDP, or DeepSpeed."""


@dataclass(frozen=True, eq=False)
class Processes:
    """This process among those that share a job; alone by default.

    What is done together is done by all of them in the same order.

    Args:
        rank: which one this is, from 0.
        count: how many there are.
        group: what connects them; None where there is one.
    """

    rank: int = 0
    count: int = 1
    group: ProcessGroup | None = None

    @classmethod
    def of(cls, model: nn.Module, group: ProcessGroup | None = None) -> "Processes":
        """The processes that share a job with this model; nothing is said to any of them yet.

        Args:
            model: a model whose own weights are spread over processes (tensor parallel, FSDP,
                DeepSpeed) is run by all of them at every prompt, so they share nothing out unless
                a group says so.
            group: the processes; None is the default group, where one is initialised.

        Raises:
            InputError: this process is not in the group.
        """
        if not (dist.is_available() and dist.is_initialized()) or (group is None and spread(model)):
            return cls()
        chosen = dist.group.WORLD if group is None else group
        count = dist.get_world_size(chosen)
        if count < 1:
            raise InputError("this process is not in the group it was given: do not call it here")
        return cls(dist.get_rank(chosen), count, chosen) if count > 1 else cls()

    @property
    def first(self) -> bool:
        """Whether this is the one that reads and writes files and shows progress."""
        return self.rank == 0

    def connected(self) -> "Processes":
        """The same, by a group that carries tensors of the CPU, which is made where there is none.

        Raises:
            ProcessError: not every process asks for it in time.
        """
        if self.group is None or _on_cpu(self.group):
            return self
        ranks = dist.get_process_group_ranks(self.group)
        with _answered():
            made = dist.new_group(ranks, backend="gloo", use_local_synchronization=True)
        return replace(self, group=made)

    def step(self, note: str = "") -> list[str]:
        """Wait until every process gets here.

        Args:
            note: what this one has to say.

        Returns:
            What each of them says.

        Raises:
            ProcessError: another has failed, died, or been silent for the group's timeout.
        """
        notes = self._exchange(note)
        for rank, said in enumerate(notes):
            if said.startswith(_FAILED):
                raise ProcessError(
                    f"process {rank} of {self.count} failed, so this one stops too. It said: "
                    f"{said.removeprefix(_FAILED)}"
                )
        return notes

    @contextmanager
    def together(self, rescue: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Within it, an error in one process is told to the others at their next step.

        Args:
            rescue: done by all of them after an error, where all still answer.
        """
        try:
            yield
        except LostProcessError:
            raise
        except Exception as error:
            with suppress(LostProcessError):
                if not isinstance(error, ProcessError):
                    self._exchange(f"{_FAILED}{type(error).__name__}: {error}")
                rescue()
            raise

    def require_same(self, what: str, mine: str) -> None:
        """Refuse processes that were not given the same.

        Args:
            what: its name, for the message.
            mine: what this one was given, or a hash of it.

        Raises:
            MismatchError: they were not; names those that differ from the first.
            ProcessError: another has failed, died, or been silent.
        """
        notes = self.step(f"{what} {mine}")
        others = [str(rank) for rank, note in enumerate(notes) if note != notes[0]]
        if others:
            raise MismatchError(
                f"not the same {what} in process {', '.join(others)} as in process 0: give all "
                "processes of a group the same, or pass a group of those that belong together"
            )

    def sum(self, tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The sum over all processes, the same bits in each."""
        if self.group is not None:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
            with _answered():
                dist.all_reduce(tensor, group=self.group)
        return tensor

    def sum_into_first(self, tensor: Tensor) -> None:
        """Add what all others have to the first one's tensor; theirs are undefined afterwards."""
        if self.group is not None:
            with _answered():
                dist.reduce(tensor, dst=dist.get_global_rank(self.group, 0), group=self.group)

    def copy_from_first(self, tensor: Tensor) -> None:
        """Overwrite the tensor of every process by the first one's."""
        if self.group is not None:
            with _answered():
                dist.broadcast(tensor, src=dist.get_global_rank(self.group, 0), group=self.group)

    def _exchange(self, note: str) -> list[str]:
        if self.group is None:
            return [note]
        letters = note.encode()[:_LETTERS].ljust(_LETTERS, b"\0")
        mine = torch.tensor(list(letters), dtype=torch.uint8)
        notes = [torch.empty_like(mine) for _ in range(self.count)]
        with _answered():
            dist.all_gather(notes, mine, group=self.group)
        return [bytes(one.tolist()).rstrip(b"\0").decode(errors="ignore") for one in notes]


def spread(model: nn.Module) -> bool:
    """Whether a part of the model's own weights is in other processes."""
    if getattr(unwrap(model), "_device_mesh", None) is not None:
        return True
    if any(hasattr(p, mark) for p in model.parameters() for mark in _SPREAD):
        return True
    return any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules())


@contextmanager
def _answered() -> Iterator[None]:
    """What a broken connection means for the job."""
    try:
        yield
    except RuntimeError as error:
        silent = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        raise LostProcessError(
            f"another process {'was silent for longer than the group waits' if silent else 'died'}."
            " What was finished by the last write is in the checkpoint, where one was named, and "
            "the same call goes on from there. Every process of a group has to make that call: one "
            "that shall work alone passes a group of itself"
        ) from error


def _on_cpu(group: ProcessGroup) -> bool:
    return any(part.startswith("cpu:") for part in dist.get_backend_config(group).split(","))

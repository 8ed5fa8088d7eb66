"""A mean of Jacobians whose prompts several processes take in turns."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from steersman.plant.checkpoint import Checkpoint, RunningMean
from steersman.plant.processes import Processes


@dataclass
class SharedMean:
    """The mean over the prompts that each block has seen, in whichever process.

        M_t = sum_r (c_rt / c_t) M_rt,    c_t = sum_r c_rt

    Process r keeps the mean M_rt of its own c_rt prompts. In turns of one prompt a process, block t
    sees the prompts in their order: any number of processes can go on where any other stopped.

    Args:
        processes: those that share it.
        mean: this process's part.
        seen: block t has seen the prompts 0 .. seen[t] - 1.
        file: where the first process keeps the whole.
    """

    processes: Processes
    mean: RunningMean
    seen: list[int]
    file: Checkpoint | None = None

    @classmethod
    def resumed(
        cls, processes: Processes, fresh: RunningMean, file: Checkpoint | None
    ) -> "SharedMean":
        """Go on from the file, or start.

        Raises:
            MismatchError: the file belongs to another job.
            ArtifactError: it cannot be read.
            ProcessError: another process has failed, died or been silent.
        """
        own = file if processes.first else None
        mean = (own.load() if own else None) or fresh
        processes.step()
        seen = processes.sum(torch.tensor(mean.counts))
        return cls(processes, mean, [int(count) for count in seen], own)

    def take(self, block: int, matrix: Float[Tensor, "n n"] | None, until: int) -> int:
        """Take one turn at one block, once every process is there.

        Args:
            block: t.
            matrix: A_t at this process's prompt; None where there is none to take.
            until: after this turn the block has seen this many prompts.

        Returns:
            How many prompts it saw in this turn, in all processes.

        Raises:
            ProcessError: another process has failed, died or been silent; nothing was taken.
        """
        # Whatever can fail in one process alone comes before the step, which all or none pass.
        moved = None if matrix is None else matrix.to(self.mean.A)
        due = self.file is not None and self.file.due()
        notes = self.processes.step("write" if due else "")
        if moved is not None:
            self.mean.fold(block, moved)
        new = max(until - self.seen[block], 0)
        self.seen[block] += new
        if notes[0]:
            self.write()
        return new

    def write(self) -> None:
        """Bring all parts into the first process's, and put it on file."""
        started = time.monotonic()
        self._gather()
        if self.file is not None:
            self.file.save(self.mean, started)

    def rescue(self) -> None:
        """Put on file what was finished, before any process ends."""
        if any(self.seen):
            self.write()
        self.processes.step()

    def finish(self) -> RunningMean:
        """The whole mean, the same bits in every process."""
        self.write()
        self.processes.step()
        for matrix in self.mean.A:
            self.processes.copy_from_first(matrix)
        seconds = torch.tensor(self.mean.seconds, dtype=torch.float64)
        self.processes.copy_from_first(seconds)
        return RunningMean(self.mean.A, self.seen, float(seconds))

    def _gather(self) -> None:
        if self.processes.count == 1:
            return
        first, mean = self.processes.first, self.mean
        counts = [int(count) for count in self.processes.sum(torch.tensor(mean.counts))]
        for block, count in enumerate(counts):
            mean.A[block] *= mean.counts[block] / max(count, 1)
            self.processes.sum_into_first(mean.A[block])
            if not first:
                mean.A[block].zero_()
        mean.counts = counts if first else [0] * len(counts)

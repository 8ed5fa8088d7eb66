"""What laws have in common that act at one block."""

from steersman.control.law import Law
from steersman.errors import InputError


class AtBlock(Law[None]):
    """A law without a state at the block `block` of `depth`; its reference is one number."""

    block: int
    depth: int

    def require_block(self) -> None:
        """Refuse a block that does not exist.

        Raises:
            InputError: it does not.
        """
        if not 0 <= self.block < self.depth:
            raise InputError(f"block is {self.block}; there are 0 .. {self.depth - 1}.")

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.depth

    @property
    def k(self) -> int:
        """The reference is one number: how much."""
        return 1

    def is_active(self, block: int) -> bool:
        """Whether it is the block where it acts."""
        return block == self.block

    def init(self, rows: int) -> None:
        """No state."""

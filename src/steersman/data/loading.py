"""Examples from a file, whichever kind it holds."""

from pathlib import Path

from steersman.data.aligned import AlignedPairs
from steersman.data.aligned_rows import holds_continuations
from steersman.data.files import read_table
from steersman.data.pairs import ContrastivePairs


def load_examples(path: str | Path, *, chat: bool = False) -> ContrastivePairs | AlignedPairs:
    """Aligned pairs where the file has continuations behind two contexts, else contrastive pairs.

    Args:
        path: CSV, TSV, JSON, JSON lines or parquet.
        chat: of contrastive pairs, make questions user messages.

    Raises:
        InputError: the file is missing, does not parse, or has a row that cannot be used.
        MissingExtraError: a parquet file, and pyarrow is not installed.
    """
    if holds_continuations(read_table(path)):
        return AlignedPairs.load(path)
    return ContrastivePairs.load(path, chat=chat)

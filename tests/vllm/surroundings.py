"""What a vLLM on a processor finds in its environment: one core, a small cache, and no network."""

from pathlib import Path


def surroundings(cache: Path) -> dict[str, str]:
    """Variables of an engine's process.

    Args:
        cache: where it keeps what it compiles.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(cache),
    }

"""Where numbers of the A-LQR paper were read. None of them was read in the paper itself."""

PAPER = "A-LQR (arXiv 2604.19018)"
QUOTED = f"{PAPER}, as third parties quote it"
NO_SPLIT = (
    "Examples, validation and test prompts are disjoint here; in the paper's scripts the prompts "
    "that were fitted on are among those that were scored."
)
ONE_FIT = "One fit, as in the paper: standard errors are over prompts, and say nothing of the fit."
GEMMA, LLAMA, QWEN = "Gemma-2-2B", "Llama-3-8B", "Qwen2.5-14B"

"""Steersman inside stock vLLM: every request is steered by its own laws, in one running engine.

    u_t = G_t (s_t - H_t' x_t)       for the rows of the batch that belong to steered tokens

A steering that `save_pretrained` wrote is given to the engine under a name, and a request asks for
it by that name: `SamplingParams(extra_args={"steering": {"calm": 1.0}})`. vLLM finds this package
by its entry point; nothing of vLLM is changed on disk, and an engine that is given no steerings
runs as if the package were not there.

    settings    which steerings an engine starts with
    served      a saved steering as an engine holds it
    asking      from what a request says to plain data
    admission   requests are checked, resolved and kept apart in the prefix cache
    op, table   the one operation, and the tensors that it reads
    rows        which rows of a batch belong to steered tokens
    blocks      the decoder blocks of a model of vLLM
    worker      what happens around each forward pass
    records     what the blocks observe of requests that are to be told of
    reports     from that to what their steerings did
    hot         steerings come and go while the engine runs
"""

from steersman.vllm.hot import add, names, remove, report

__all__ = ["add", "names", "remove", "report"]

"""The entry point: vLLM calls `register` in each of its processes, before it builds anything."""

import os
from importlib.metadata import entry_points
from typing import Any

from steersman.errors import InputError, SteersmanError
from steersman.vllm.asking import REQUEST_KEY
from steersman.vllm.settings import Settings

_MARK = "_steersman"
_GROUP, _NAME = "vllm.general_plugins", "steersman"


def register() -> None:
    """Make vLLM's front end, core and workers ask this package; calling it twice does no harm.

    Methods of vLLM are surrounded by functions that do nothing more where the engine was given no
    steerings: those that turn an input into a request and give it its name, those by which the core
    takes on a request and speaks to its workers, and the one that readies a worker, of whatever
    class, before its model is loaded.
    """
    from vllm.v1.engine.core import EngineCore
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.worker.worker_base import WorkerWrapperBase

    _surround(InputProcessor, "__init__", _begin_input)
    _surround(InputProcessor, "process_inputs", _process_inputs)
    _surround(InputProcessor, "assign_request_id", _assign_request_id)
    _surround(EngineCore, "preprocess_add_request", _preprocess_add_request)
    _surround(EngineCore, "collective_rpc", _collective_rpc)
    _surround(WorkerWrapperBase, "init_device", _init_device)


def require_registered() -> None:
    """Refuse to go on where vLLM did not call `register` in this process: nothing would steer.

    Raises:
        InputError: says why it did not, and what to do.
    """
    from vllm.v1.engine.input_processor import InputProcessor

    if getattr(InputProcessor.process_inputs, _MARK, False):
        return
    allowed = os.environ.get("VLLM_PLUGINS")
    if _NAME not in {one.name for one in entry_points(group=_GROUP)}:
        why = (
            "what is on record of the installed steersman does not name its plugin, as after an "
            "older editable install. Remove a stale steersman.egg-info, and install it again"
        )
    elif allowed is not None and _NAME not in allowed.split(","):
        why = f"VLLM_PLUGINS is {allowed!r}. Add {_NAME} to it, or unset it"
    else:
        why = "vLLM's log says why. Make the engine before you ask it for its steerings"
    raise InputError(f"vLLM did not load steersman, so that nothing would be steered: {why}.")


def _begin_input(inner: Any, processor: Any, *args: Any, **kwargs: Any) -> None:
    inner(processor, *args, **kwargs)
    if Settings.of(processor.vllm_config) is not None:
        _refuse_beams()


def _process_inputs(inner: Any, processor: Any, *args: Any, **kwargs: Any) -> Any:
    from steersman.vllm.admission import admit

    request = inner(processor, *args, **kwargs)
    try:
        return admit(processor, request)
    except SteersmanError as error:
        raise _refused(error) from error


def _assign_request_id(inner: Any, processor: Any, request: Any) -> Any:
    # From here on to the core nothing comes between; before, a steering may have been removed.
    from steersman.vllm.admission import still_there

    try:
        still_there(processor, request)
    except SteersmanError as error:
        raise _refused(error) from error
    return inner(request)


def _preprocess_add_request(inner: Any, core: Any, request: Any) -> Any:
    from steersman.vllm.waiting import require_resolved

    if Settings.of(core.vllm_config) is not None:
        require_resolved(request)
    return inner(core, request)


def _collective_rpc(
    inner: Any,
    core: Any,
    method: Any,
    timeout: float | None = None,
    args: tuple[Any, ...] = (),
    kwargs: Any = None,
) -> Any:
    from steersman.vllm.hot import ADD
    from steersman.vllm.waiting import keys_of

    if method == ADD:
        # The workers know a request from its first pass on; the core knows those that wait, too.
        args = (*args, sorted(keys_of(core.scheduler.requests.values())))
    return inner(core, method, timeout, args, kwargs)


def _init_device(inner: Any, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
    done = inner(wrapper, *args, **kwargs)
    settings = Settings.of(wrapper.vllm_config)
    if settings is not None:
        from steersman.vllm.worker import install

        install(wrapper.worker, settings)
    return done


def _refuse_beams() -> None:
    """Beam search makes requests of its own, without what the first one asked besides."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    for request in (ChatCompletionRequest, CompletionRequest):
        _surround(request, "to_beam_search_params", _to_beam_search_params)


def _to_beam_search_params(inner: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
    if REQUEST_KEY in (request.vllm_xargs or {}):
        raise _refused(InputError("beam search cannot be steered: leave use_beam_search."))
    return inner(request, *args, **kwargs)


def _refused(error: SteersmanError) -> Exception:
    """What tells vLLM's server that the request is at fault, and not the server."""
    from vllm.exceptions import VLLMValidationError

    refused: Exception = VLLMValidationError(str(error), parameter=REQUEST_KEY)
    return refused


def _surround(owner: type, name: str, around: Any) -> None:
    inner = getattr(owner, name)
    if getattr(inner, _MARK, False):
        return

    def surrounded(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(inner, self, *args, **kwargs)

    surrounded.__dict__.update({_MARK: True, "__wrapped__": inner, "__doc__": inner.__doc__})
    setattr(owner, name, surrounded)

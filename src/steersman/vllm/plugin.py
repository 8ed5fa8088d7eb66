"""The entry point: vLLM calls `register` in each of its processes, before it builds anything."""

from typing import Any

from steersman.errors import SteersmanError
from steersman.vllm.asking import REQUEST_KEY
from steersman.vllm.settings import Settings

_MARK = "_steersman"


def register() -> None:
    """Make vLLM's front end and workers ask this package; calling it twice does no harm.

    Two methods of vLLM are surrounded, both by functions that do nothing more where the engine was
    given no steerings: the one that turns an input into a request, and the one that readies a
    worker, of whatever class, before its model is loaded.
    """
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.worker.worker_base import WorkerWrapperBase

    _surround(InputProcessor, "process_inputs", _process_inputs)
    _surround(WorkerWrapperBase, "init_device", _init_device)


def _process_inputs(inner: Any, processor: Any, *args: Any, **kwargs: Any) -> Any:
    from vllm.exceptions import VLLMValidationError

    from steersman.vllm.admission import admit

    request = inner(processor, *args, **kwargs)
    try:
        return admit(processor, request)
    except SteersmanError as error:
        # What tells vLLM's server that the request is at fault, and not the server.
        raise VLLMValidationError(str(error), parameter=REQUEST_KEY) from error


def _init_device(inner: Any, wrapper: Any, *args: Any, **kwargs: Any) -> Any:
    done = inner(wrapper, *args, **kwargs)
    settings = Settings.of(wrapper.vllm_config)
    if settings is not None:
        from steersman.vllm.worker import install

        install(wrapper.worker, settings)
    return done


def _surround(owner: type, name: str, around: Any) -> None:
    inner = getattr(owner, name)
    if getattr(inner, _MARK, False):
        return

    def surrounded(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(inner, self, *args, **kwargs)

    surrounded.__dict__.update({_MARK: True, "__wrapped__": inner, "__doc__": inner.__doc__})
    setattr(owner, name, surrounded)

"""What the core of an engine knows of requests before their first pass."""

from collections.abc import Iterable
from typing import Any

from steersman.errors import InputError
from steersman.vllm.asking import REQUEST_KEY, Asked


def asked_of(request: Any) -> Asked | None:
    """What steers a request of vLLM behind the front end; None where nothing does.

    Raises:
        InputError: it did not come by a front end that has this package.
    """
    extra = getattr(request.sampling_params, "extra_args", None) or {}
    if REQUEST_KEY not in extra:
        return None
    try:
        return Asked.of_plain(extra[REQUEST_KEY])
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise InputError(
            "the request asks for a steering and did not come by a front end of vLLM that has "
            "steersman: install it there too."
        ) from error


def require_resolved(request: Any) -> None:
    """Raise what `asked_of` does: the request fails, and no other."""
    asked_of(request)


def keys_of(requests: Iterable[Any]) -> set[str]:
    """Of all laws that any of some requests needs, those that wait included."""
    found = (asked_of(request) for request in requests)
    return {key for asked in found if asked is not None for key in asked.keys}

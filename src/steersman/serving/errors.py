"""What a client is told when a request cannot be answered, in the form that OpenAI's clients know.

{"error": {"message": "...", "type": "...", "param": "...", "code": "..."}}
"""

from typing import Any, ClassVar

from steersman.errors import SteersmanError

LONGEST = 2000
"""Characters of a message; one that quotes a request or a file has no end of its own."""


class RequestError(SteersmanError):
    """A request that is not answered; says to the client why.

    Args:
        message: what was found and what to do.
        param: the field of the request that is at fault, where one is.
        code: a name for programs; the class has a usual one.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    usual: ClassVar[str] = "invalid_value"

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        """Keep what is told."""
        super().__init__(message)
        self.param = param
        self.code = code or self.usual

    @property
    def body(self) -> dict[str, Any]:
        """What the client is sent."""
        return {
            "error": {
                "message": plain(str(self))[:LONGEST],
                "type": self.type,
                "param": None if self.param is None else plain(self.param),
                "code": self.code,
            }
        }

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's head says besides."""
        return {}


class KeyRefusedError(RequestError):
    """No API key, or a wrong one."""

    status = 401
    type = "authentication_error"
    usual = "invalid_api_key"

    @property
    def headers(self) -> dict[str, str]:
        """How to be let in."""
        return {"WWW-Authenticate": "Bearer"}


class NotThereError(RequestError):
    """A model, a steering or a page that there is not."""

    status = 404
    usual = "not_found"


class WrongMethodError(RequestError):
    """A page that is not asked for in this way."""

    status = 405
    usual = "method_not_allowed"


class TooLargeError(RequestError):
    """A body above the limit."""

    status = 413
    usual = "request_too_large"


class BusyError(RequestError):
    """As many requests wait as may."""

    status = 429
    type = "rate_limit_error"
    usual = "queue_full"

    @property
    def headers(self) -> dict[str, str]:
        """When to come again, in seconds."""
        return {"Retry-After": "1"}


class FailedError(RequestError):
    """Something went wrong here; the server goes on."""

    status = 500
    type = "server_error"
    usual = "internal_error"


class StoppingError(RequestError):
    """The server is shutting down."""

    status = 503
    type = "server_error"
    usual = "shutting_down"


class LostEngineError(RequestError):
    """The engine has ended, and nothing can be answered any more."""

    status = 503
    type = "server_error"
    usual = "engine_lost"


class TimedOutError(RequestError):
    """The answer took longer than a request may."""

    status = 504
    type = "server_error"
    usual = "timeout"


def plain(text: str) -> str:
    """A text that can be sent whatever a client put into it: lone surrogates are written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

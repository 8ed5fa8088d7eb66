"""What stands in front of all routes: the key, the size of bodies, slow clients, and the counts."""

import asyncio
import hmac
import json
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steersman.serving.errors import KeyRefusedError, RequestError, TooLargeError
from steersman.serving.leaving import ClientGoneError
from steersman.serving.playground import PATHS
from steersman.serving.service import Service

OPEN = PATHS | {"/health"}
"""What may be asked without a key."""


class SlowClientError(RequestError):
    """A client that does not send its request."""

    status = 408
    usual = "request_timeout"


class Guard:
    """Lets a request pass once its key is right and all of its body is here.

    Args:
        app: what is behind.
        service: whose limits and key.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Nothing has come yet."""
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # unless an answer begins

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            try:
                # A client that reads nothing fills every buffer, and then this waits. `wait_for`
                # would lose a cancellation that comes as the message has been sent.
                async with asyncio.timeout(self._service.limits.idle):
                    await send(message)
            except TimeoutError:
                raise ClientGoneError from None

        try:
            try:
                self._require_key(scope)
                body = await self._body(scope, receive)
            except RequestError as error:
                await _refuse(error, sending)
                return
            await self._app(scope, _replayed(body, receive), sending)
        except ClientGoneError:
            self._service.metrics.abandoned()
        finally:
            seconds = time.perf_counter() - began
            self._service.metrics.answered(_route(scope), status, seconds)

    def _require_key(self, scope: Scope) -> None:
        key = self._service.key
        if key is None or scope["path"] in OPEN:
            return
        given = _header(scope["headers"], b"authorization")
        if not hmac.compare_digest(given, f"Bearer {key}".encode()):
            raise KeyRefusedError("give the server's API key, as Authorization: Bearer KEY.")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limits = self._service.limits
        length = _header(scope["headers"], b"content-length")
        if length.isdigit() and int(length) > limits.body:
            raise _too_large(limits.body)
        body = bytearray()
        while True:
            try:
                async with asyncio.timeout(limits.idle):
                    message = await receive()
            except TimeoutError:
                raise SlowClientError(
                    f"nothing of the request came for {limits.idle:g} seconds."
                ) from None
            body += message.get("body", b"")
            if len(body) > limits.body:
                raise _too_large(limits.body)
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return bytes(body)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the request is larger than {limit} bytes.")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What has been read, and then what comes."""
    first = True

    async def receiving() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receiving


async def _refuse(error: RequestError, send: Send) -> None:
    body = json.dumps(error.body).encode()
    heads = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers}
    headers = [(name.lower().encode(), value.encode()) for name, value in heads.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in headers if key == name), b"")


def _route(scope: Scope) -> str:
    """The route's pattern; one name for all that there is not, or counts would never end."""
    return str(getattr(scope.get("route"), "path", "other"))

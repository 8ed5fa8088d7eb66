"""Steerings come and go over HTTP, beside vLLM's own routes.

    GET    /v1/steerings                                   {"steerings": [NAME, ...]}
    POST   /v1/steerings    {"name": NAME, "path": FOLDER}  a folder where the server runs
    DELETE /v1/steerings/NAME
    GET    /v1/steerings/reports/RECORD                     what a request's steerings did

vLLM adds such routes only where its operator names the package: `VLLM_PLUGINS=steersman`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from steersman.errors import InputError, SteersmanError, UnknownNameError
from steersman.vllm.hot import (
    REMOVE,
    Call,
    admission_of,
    prepared,
    reading,
    require_done,
    require_one_front_end,
    require_seen,
    taken_on,
)


class Endpoints:
    """What vLLM asks of a package that adds routes; the engine is known once it runs."""

    name = "steersman"
    required_tasks = ("generate",)

    def __init__(self) -> None:
        """No engine yet."""
        self._engine: Any = None
        self._changing = asyncio.Lock()

    async def init_state(self, engine_client: Any, state: Any, args: Any) -> None:
        """Take note of the engine."""
        self._engine = engine_client

    def attach_router(self, app: Any) -> None:
        """Add the routes."""
        app.add_api_route("/v1/steerings", self.listed, methods=["GET"])
        app.add_api_route("/v1/steerings", self.added, methods=["POST"])
        app.add_api_route("/v1/steerings/{name}", self.removed, methods=["DELETE"])
        app.add_api_route("/v1/steerings/reports/{record}", self.reported, methods=["GET"])

    async def listed(self) -> Any:
        """The names."""
        return await _answered(self._names)

    async def added(self, body: dict[str, Any]) -> Any:
        """One more, or another of a name."""

        async def act() -> dict[str, Any]:
            name, path = body.get("name"), body.get("path")
            if not (isinstance(name, str) and name and isinstance(path, str) and path):
                raise InputError('give {"name": NAME, "path": FOLDER}.')
            admission = admission_of(self._engine)
            require_one_front_end(self._engine)
            async with self._changing:
                served, call = prepared(admission, name, path)
                await self._tell(call)
                await self._tell(taken_on(admission, served))
            return await self._names()

        return await _answered(act)

    async def removed(self, name: str) -> Any:
        """One less."""

        async def act() -> dict[str, Any]:
            admission = admission_of(self._engine)
            require_one_front_end(self._engine)
            async with self._changing:
                await self._tell(Call(REMOVE, (admission.drop(name),)))
            return await self._names()

        return await _answered(act)

    async def reported(self, record: str) -> Any:
        """The report of a request whose `vllm_xargs` hold `{"steering_report": RECORD}`."""

        async def act() -> dict[str, Any]:
            admission, call = admission_of(self._engine), reading(record)
            require_one_front_end(self._engine)
            watching = admission.watching(record)
            answers = await self._engine.collective_rpc(call.method, args=call.args)
            seen = require_seen(watching.joined(answers), record)
            return {"steering_report": watching.report(seen)}

        return await _answered(act)

    async def _names(self) -> dict[str, Any]:
        return {"steerings": list(admission_of(self._engine).names)}

    async def _tell(self, call: Call) -> None:
        require_done(await self._engine.collective_rpc(call.method, args=call.args))


async def _answered(act: Callable[[], Awaitable[dict[str, Any]]]) -> Any:
    """What was asked for, or what was wrong with it."""
    from fastapi.responses import JSONResponse

    try:
        return JSONResponse(await act())
    except SteersmanError as error:
        code = 404 if isinstance(error, UnknownNameError) else 400
        return JSONResponse({"error": {"message": str(error), "code": code}}, status_code=code)

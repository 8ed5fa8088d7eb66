"""`/v1/models`, `/v1/steerings`, `/health` and `/metrics`."""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from steersman.serving.documented import ERRORS
from steersman.serving.errors import LostEngineError
from steersman.serving.openai_schema import (
    LoadRequest,
    Model,
    ModelList,
    SteeringList,
    SteeringObject,
)
from steersman.serving.protocol import SteeringInfo
from steersman.serving.service import Service


def listing_router(service: Service) -> APIRouter:
    """The routes that tell what there is.

    Args:
        service: what they share.
    """
    router = APIRouter()

    @router.get("/v1/models", responses=ERRORS)
    async def models() -> ModelList:
        """The model, and the model with each steering at strength 1."""
        names = (service.name, *(f"{service.name}+{one}" for one in _plain(service)))
        chat = bool(getattr(service.engine.tokenizer, "chat_template", None))
        return ModelList(
            data=[Model(id=name, created=service.created, chat=chat) for name in names]
        )

    @router.get("/health", responses={503: ERRORS[503]})
    async def health() -> dict[str, str]:
        """Whether the server is there and its engine can answer."""
        failure = service.engine.failure
        if failure is not None:
            raise LostEngineError(failure)
        return {"status": "ok"}

    @router.get("/metrics", response_class=Response, responses=ERRORS)
    async def metrics() -> Response:
        """What was counted, as Prometheus reads it."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def steerings_router(service: Service) -> APIRouter:
    """The routes that tell and change which steerings are loaded.

    Args:
        service: what they share.
    """
    router = APIRouter(prefix="/v1/steerings", responses=ERRORS)
    registry, loop = service.registry, asyncio.get_running_loop

    @router.get("")
    async def steerings() -> SteeringList:
        """The steerings that there are, loaded or not."""
        names = await loop().run_in_executor(service.worker, registry.known)
        loaded = registry.loaded
        every = sorted({*names, *loaded})
        return SteeringList(
            data=[_object(name, loaded.get(name)) for name in every],
            max_strength=service.limits.strength,
            max_steerings=service.limits.steerings,
        )

    @router.post("")
    async def load(asked: LoadRequest) -> SteeringObject:
        """Load a steering that there is; one that is loaded is read again."""
        info = await loop().run_in_executor(service.worker, registry.add, asked.name)
        return _object(info.name, info)

    @router.delete("/{name}")
    async def unload(name: str) -> SteeringObject:
        """Unload a steering; answers that it is at work in go on to their end."""
        info = await loop().run_in_executor(service.worker, registry.remove, name)
        return _object(info.name, None)

    return router


def _plain(service: Service) -> list[str]:
    """The loaded steerings that can be asked for by their name alone."""
    return [name for name, one in sorted(service.registry.loaded.items()) if len(one.features) == 1]


def _object(name: str, info: SteeringInfo | None) -> SteeringObject:
    if info is None:
        return SteeringObject(id=name, loaded=False)
    return SteeringObject(
        id=name,
        loaded=True,
        method=info.method,
        features=list(info.features),
        summary=info.summary,
        needs_all=info.needs_all,
        in_units=info.in_units,
    )

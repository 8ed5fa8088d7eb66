"""Run the server: a socket, uvicorn, and an end that lets answers finish."""

import contextlib
import socket

from steersman.errors import InputError, MissingExtraError
from steersman.serving.app import create_app
from steersman.serving.service import Service

try:
    import uvicorn
except ImportError as missing:
    raise MissingExtraError("uvicorn", "serve", "The server") from missing

_BACKLOG = 2048


def open_socket(host: str, port: int, idle: float) -> socket.socket:
    """A socket that listens.

    Args:
        host: an address of this machine.
        port: 0 takes any that is free.
        idle: seconds after which a connection is given up whose client takes nothing.

    Raises:
        InputError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(AttributeError, OSError):  # Linux has it, and hands it down
            listening.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(1000 * idle))
            )
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"{host}:{port} cannot be listened at: {error}. Choose another --host or --port."
        ) from error
    return listening


def server_of(service: Service) -> uvicorn.Server:
    """A server that has not started.

    Args:
        service: what is served.
    """
    config = uvicorn.Config(
        create_app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(1, int(service.limits.idle)),
        timeout_graceful_shutdown=max(1, int(service.limits.grace)),
        backlog=_BACKLOG,
    )
    return uvicorn.Server(config)


def run(service: Service, listening: socket.socket) -> None:
    """Serve until the process is told to stop; answers may then finish within the limit's grace.

    Args:
        service: what is served.
        listening: where.
    """
    server_of(service).run(sockets=[listening])

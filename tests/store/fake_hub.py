"""A hub in memory: answers the HTTP requests of the real client, and nothing below them."""

import base64
import hashlib
import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import huggingface_hub
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

# The client's HTTP library has had two names; take the one that this client uses.
http: Any = importlib.import_module(
    type(huggingface_hub.get_session()).__module__.partition(".")[0]
)


@dataclass
class Repository:
    """One repository: its files, and its one revision."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    revision: str = "0" * 40


@dataclass
class FakeHub:
    """Repositories by name, and every request that was made."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    reachable: bool = True

    def answer(self, request: Any) -> Any:
        """The response to one request."""
        if not self.reachable:
            raise http.ConnectError("no route to host", request=request)
        path = request.url.path
        self.requests.append((request.method, path))
        self.tokens.append(request.headers.get("authorization"))
        if path == "/api/repos/create":
            return self._create(json.loads(request.content))
        if path == "/api/validate-yaml":
            return http.Response(200, json={"errors": [], "warnings": []})
        parts = path.removeprefix("/api/models/").lstrip("/").split("/")
        repository = self.repositories.get("/".join(parts[:2]))
        if repository is None:
            return http.Response(404, headers={"X-Error-Code": "RepoNotFound"})
        if not path.startswith("/api/"):
            return self._file(repository, "/".join(parts[4:]), parts[3])
        call = parts[2] if len(parts) > 2 else "info"
        return getattr(self, f"_{call}")(repository, parts, request)

    def _create(self, wanted: dict[str, Any]) -> Any:
        name = f"{wanted['organization']}/{wanted['name']}"
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        known = name in self.repositories
        self.repositories.setdefault(name, Repository(private))
        return http.Response(409 if known else 200, json={"url": f"https://huggingface.co/{name}"})

    def _file(self, repository: Repository, name: str, revision: str) -> Any:
        data = repository.files[name]
        headers = {
            "X-Repo-Commit": repository.revision,
            "ETag": f'"{hashlib.sha1(data).hexdigest()}"',
        }
        return http.Response(200, headers=headers, content=data)

    def _info(self, repository: Repository, parts: list[str], request: Any) -> Any:
        return http.Response(
            200,
            json={
                "id": "/".join(parts[:2]),
                "sha": repository.revision,
                "private": repository.private,
                "siblings": [{"rfilename": name} for name in repository.files],
            },
        )

    def _revision(self, repository: Repository, parts: list[str], request: Any) -> Any:
        if parts[3] not in ("main", repository.revision):
            return http.Response(404, headers={"X-Error-Code": "RevisionNotFound"})
        return self._info(repository, parts, request)

    def _tree(self, repository: Repository, parts: list[str], request: Any) -> Any:
        rows = [
            {
                "type": "file",
                "path": name,
                "size": len(data),
                "oid": hashlib.sha1(data).hexdigest(),
            }
            for name, data in repository.files.items()
        ]
        return http.Response(200, json=rows)

    def _preupload(self, repository: Repository, parts: list[str], request: Any) -> Any:
        asked = json.loads(request.content)["files"]
        rows = [
            {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked
        ]
        return http.Response(200, json={"files": rows})

    def _commit(self, repository: Repository, parts: list[str], request: Any) -> Any:
        for line in request.content.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                value = entry["value"]
                repository.files[value["path"]] = base64.b64decode(value["content"])
        repository.revision = hashlib.sha1(request.content).hexdigest()
        url = f"https://huggingface.co/{'/'.join(parts[:2])}/commit/{repository.revision}"
        return http.Response(200, json={"commitUrl": url, "commitOid": repository.revision})


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Put a hub in memory in the network's place."""
    hub = FakeHub()
    set_client_factory(lambda: http.Client(transport=http.MockTransport(hub.answer)))
    try:
        yield hub
    finally:
        set_client_factory(default_client_factory)

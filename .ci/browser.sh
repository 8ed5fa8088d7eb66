#!/usr/bin/env bash
# Installs a browser for the playground's tests where there is none and Debian's packages are at hand.
# Without one they are skipped, which is said here and once more by pytest.
set -uo pipefail
command -v chromium > /dev/null && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium > /dev/null \
    || echo "no browser could be installed: the playground's tests will be skipped" >&2

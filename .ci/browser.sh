#!/usr/bin/env bash
# Installs a browser for the playground's tests where there is none and Debian's packages are at hand.
# Without one they are skipped, which is said here and once more by pytest.
set -uo pipefail
for name in chromium chromium-browser google-chrome chrome; do
    command -v "$name" > /dev/null && exit 0
done
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium > /dev/null \
    || echo "no browser could be installed: the playground's tests will be skipped" >&2

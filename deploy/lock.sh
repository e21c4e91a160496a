#!/usr/bin/env bash
# Resolve requirements.lock from pyproject.toml: all platforms, every file's hash, no host's name.
# Versions stay as they are where they can; `deploy/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
draft=$(mktemp)
trap 'rm -f "$draft"' EXIT
if [ -f requirements.lock ]; then cp requirements.lock "$draft"; fi
.venv/bin/uv pip compile pyproject.toml --extra dev --universal --generate-hashes --python-version 3.11 \
  --no-header --no-emit-index-url --no-emit-find-links --quiet "$@" --output-file "$draft"
{
  echo "# What .venv holds, for every platform, with hashes. Do not edit: change pyproject.toml, then make lock."
  cat "$draft"
} > requirements.lock
echo "requirements.lock: $(grep -c '^[a-z].*==' requirements.lock) packages"

#!/usr/bin/env bash
# Runs the independent checker in a virtual environment of its own under the target directory.
# Only when its packages cannot be had (no network) is it skipped, and that is said loudly.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${CARGO_TARGET_DIR:-target}/checker-venv"
requirements=tests/checker/requirements.txt

if ! cmp -s "$requirements" "$venv/installed.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"; then
    cat >&2 <<'TXT'
************************************************************************
*** SKIPPED: the independent Python checker did NOT run, because its ***
*** packages (PyNaCl, blake3, cbor2) could not be fetched from PyPI. ***
************************************************************************
TXT
    exit 0
  fi
  cp "$requirements" "$venv/installed.txt"
fi
exec "$venv/bin/python" tests/checker/check.py --mutate protocol/vectors

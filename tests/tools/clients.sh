#!/usr/bin/env bash
# Runs the checks with Hugging Face clients, each set of versions in a virtual environment of its own under the target
# directory. Only when PyPI cannot be reached are they skipped, and that is said loudly.
set -euo pipefail
cd "$(dirname "$0")/../.."
target="${CARGO_TARGET_DIR:-target}"

for requirements in tests/clients/newest.txt tests/clients/last-0x.txt; do
  venv="$target/clients-$(basename "$requirements" .txt)"
  if ! cmp -s "$requirements" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"; then
      line="*** SKIPPED: the checks with Hugging Face clients did NOT run: PyPI gave none of $requirements ***"
      echo "$line" >&2
      if [ -n "${WEFT_SKIPPED:-}" ]; then echo "$line" >> "$WEFT_SKIPPED"; fi
      continue
    fi
    cp "$requirements" "$venv/installed.txt"
  fi
  PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" tests/clients/run.py
done

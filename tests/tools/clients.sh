#!/usr/bin/env bash
# Runs the checks with clients of Hugging Face, OpenAI and Ollama, each set of versions in a virtual environment of its own under the target
# directory, and with a browser. Only what cannot be installed is skipped, and that is said loudly.
# Arguments are words that the names of the checks to run hold.
set -euo pipefail
cd "$(dirname "$0")/../.."
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"

skipped() {
  local line="*** SKIPPED: $1 ***"
  echo "$line" >&2
  if [ -n "${WEFT_SKIPPED:-}" ]; then echo "$line" >> "$WEFT_SKIPPED"; fi
}

browser() {
  local name
  for name in "${CLIENTS_BROWSER:-}" chromium-headless-shell chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then return; fi
  done
  return 1
}
if ! browser >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo 'installing chromium for the check with a browser' >&2
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update; for package in chromium-headless-shell chromium; do
      apt-get -qq install -y --no-install-recommends $package && break
    done; } >/dev/null 2>&1 || true
fi
CLIENTS_BROWSER=$(browser) || skipped 'a web page elsewhere was NOT tried in a browser: there is no chromium here'
export CLIENTS_BROWSER

# Version 0.5 of the Rust client is small; 1.0 brings three hundred crates along and waits for CLIENTS_LONG.
rust() {
  CARGO_TARGET_DIR="$target/rust-clients" cargo build --quiet --locked --manifest-path tests/clients/rust/Cargo.toml \
    ${CLIENTS_LONG:+--features v1}
}
if rust; then
  CLIENTS_RUST="$target/rust-clients/debug/weft-rust-clients"
else
  skipped 'the Rust clients of the Hub did NOT run: they could not be built'
  CLIENTS_RUST=
fi
export CLIENTS_RUST

for requirements in tests/clients/newest.txt tests/clients/last-0x.txt tests/clients/ask.txt; do
  venv="$target/clients-$(basename "$requirements" .txt)"
  if ! cmp -s "$requirements" "$venv/installed.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    if ! "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"; then
      skipped "the checks with clients did NOT run: PyPI gave none of $requirements"
      continue
    fi
    cp "$requirements" "$venv/installed.txt"
  fi
  # Clients that ask models have a folder of their own.
  folder="tests/clients"
  if [ "$(basename "$requirements")" = ask.txt ]; then folder="tests/clients/ask"; fi
  PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$folder/run.py" "$@"
  # These are the same for all.
  unset CLIENTS_BROWSER CLIENTS_RUST
done

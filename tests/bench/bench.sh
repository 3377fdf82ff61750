#!/usr/bin/env bash
# Installs the rivals where they are missing and runs the benchmark. Arguments go to bench.py, or to crowd.py
# after the word `crowd`, to hub.py after `hub`, or to engine.py after `engine`.
#
# What cannot be installed (no root, no network) is left out of the table; the benchmark says so.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${WEFT_BENCH_TOOLS:-$here/../../target/bench-tools}

missing=()
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v aria2c >/dev/null || missing+=(aria2)
command -v curl >/dev/null || missing+=(curl)
command -v openssl >/dev/null || missing+=(openssl)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}" >&2
    # The packages must not start a web server of their own on port 80.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      printf '#!/bin/sh\nexit 101\n' >$policy
      chmod 755 $policy
      trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null \
      || echo "could not install ${missing[*]}: going on without" >&2
  else
    echo "not installed: ${missing[*]}; run as root to have them installed" >&2
  fi
fi

# BLAKE3, libtorrent and the client of the Hub for Python, in an environment of their own.
python=$tools/python/bin/python3
if [ ! -x "$python" ]; then
  python3 -m venv "$tools/python" || python=python3
fi
for package in blake3 libtorrent huggingface_hub; do
  "$python" -c "import $package" 2>/dev/null \
    || "$python" -m pip install --quiet --disable-pip-version-check "$package" \
    || echo "could not install $package: going on without" >&2
done

# b3sum is a small Rust program of its own.
if ! command -v b3sum >/dev/null && command -v cargo >/dev/null; then
  [ -x "$tools/bin/b3sum" ] || cargo install --quiet --locked --root "$tools" b3sum \
    || echo "could not install b3sum: going on without" >&2
  export PATH=$tools/bin:$PATH
fi

case ${1:-} in
  crowd) "$python" "$here/crowd.py" "${@:2}" ;;
  hub) "$python" "$here/hub.py" "${@:2}" ;;
  engine) "${WEFT_BENCH_PYTHON:-$python}" "$here/engine.py" "${@:2}" ;;
  *) "$python" "$here/bench.py" "$@" ;;
esac

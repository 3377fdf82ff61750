#!/usr/bin/env bash
# Installs what building weft needs and this machine lacks. Silent when nothing is missing.
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$1" >&2
  shift
  printf 'hint: %s\n' "$@" >&2
  exit 1
}

command -v cargo >/dev/null || die 'cargo is not installed' \
  'install Rust 1.95 or newer from https://rustup.rs'

# A component is asked of cargo itself: Debian's and rustup's toolchains differ in how they add one.
component() {
  cargo "$1" --version >/dev/null 2>&1 && return
  command -v rustup >/dev/null || die "cargo $1 is not installed" "install your distribution's package for it"
  say "adding the toolchain component $2"
  rustup component add "$2"
}
component clippy clippy
component fmt rustfmt

have_libclang() {
  local directory
  for directory in ${LIBCLANG_PATH:-} /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/local/lib; do
    # Not `libclang*`: libclang-cpp is another library.
    compgen -G "$directory/libclang.so*" >/dev/null && return 0
    compgen -G "$directory/libclang-[0-9]*.so*" >/dev/null && return 0
  done
  return 1
}
# libclang alone is not enough: bindgen also reads the compiler's own headers.
have_clang_headers() {
  compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stdbool.h' >/dev/null ||
    compgen -G '/usr/lib*/clang/*/include/stdbool.h' >/dev/null ||
    compgen -G '/usr/local/lib/clang/*/include/stdbool.h' >/dev/null
}

packages=()
command -v cc >/dev/null && command -v c++ >/dev/null || packages+=(build-essential)
if ! have_libclang || ! have_clang_headers; then packages+=(libclang); fi
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
[ ${#packages[@]} -eq 0 ] && exit 0

command -v apt-get >/dev/null || die "missing: ${packages[*]}" \
  'install a C++ compiler, libclang with its headers, and Python 3 with venv, then run this again'
if [ "$(id -u)" -eq 0 ]; then
  as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n)
else
  die "missing: ${packages[*]}" \
    'run as root: apt-get install build-essential libclang-dev python3 python3-venv'
fi

say "installing ${packages[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >&2; }
apt update || say 'apt-get update failed; trying with the lists that are here'
names=()
for package in "${packages[@]}"; do
  if [ "$package" = libclang ]; then
    # Debian 12: the two small packages do; elsewhere the usual superset.
    if apt-cache show libclang1-14 >/dev/null 2>&1 && apt-cache show libclang-common-14-dev >/dev/null 2>&1; then
      names+=(libclang1-14 libclang-common-14-dev)
    else
      names+=(libclang-dev)
    fi
  else
    names+=("$package")
  fi
done
apt install -y --no-install-recommends "${names[@]}" ||
  die "apt-get could not install ${names[*]}" 'install them by hand, then run this again'

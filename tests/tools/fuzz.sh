#!/usr/bin/env bash
# Fuzzes the parsers of the protocol with libFuzzer, on stable Rust: the compiler's coverage pass is switched on by
# hand, which is what cargo-fuzz does apart from the address sanitizer (there is no unsafe code here to watch).
#
#   FUZZ=gguf FUZZ_SECONDS=600 make fuzz
#
# What was found and what was learned stays in target/fuzz: `corpus/<target>` and `found/<target>-…`. To look at a
# find again, give its path to the binary that is named at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

targets=${FUZZ:-$(cd tests/fuzz/targets && ls ./*.rs | sed 's|^\./||; s|\.rs$||')}
seconds=${FUZZ_SECONDS:-60}
scratch=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

flags='--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module'
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=" -Cllvm-args=-sanitizer-coverage-$flag"
done
# Naming the target keeps build scripts and macros free of instrumentation.
RUSTFLAGS=$flags CARGO_TARGET_DIR=$scratch/build \
  cargo build --locked --manifest-path tests/fuzz/Cargo.toml --target "$host" --bins

python3 tests/fuzz/seeds.py . "$scratch/corpus"
mkdir -p "$scratch/found"
status=0
for target in $targets; do
  binary=$scratch/build/$host/debug/$target
  printf '\n==> %s, %s s\n' "$target" "$seconds"
  mkdir -p "$scratch/corpus/$target"
  # A header reader may not take more than a second or 1 GiB for 64 KiB of anything.
  if ! nice -n 19 "$binary" "$scratch/corpus/$target" -artifact_prefix="$scratch/found/$target-" \
    -max_len=65536 -timeout=5 -rss_limit_mb=1024 -max_total_time="$seconds" \
    -print_final_stats=1 -verbosity=0 2>"$scratch/$target.log"; then
    status=1
    printf 'FOUND something: %s\n' "$binary"
    tail -n 40 "$scratch/$target.log"
  fi
  grep -E '^stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$scratch/$target.log" || true
  printf 'corpus: %s files\n' "$(find "$scratch/corpus/$target" -type f | wc -l)"
done
exit $status

//! Fuzzes names, paths and references as people write them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft_fuzz::names(bytes));

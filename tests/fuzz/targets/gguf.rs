//! Fuzzes headers of GGUF files, and every value in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft_fuzz::gguf(bytes));

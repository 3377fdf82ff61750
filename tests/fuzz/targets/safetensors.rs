//! Fuzzes headers of safetensors files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft_fuzz::safetensors(bytes));

//! Fuzzes chat templates, and the conversations they are given.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft_fuzz::templates(bytes));

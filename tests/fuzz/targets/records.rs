//! Fuzzes signed records with the signatures that carry them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft_fuzz::records(bytes));

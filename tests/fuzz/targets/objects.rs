//! Fuzzes what is named by its hash: manifests, references, heads, freshness, identity events.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| weft_fuzz::objects(bytes));

//! The target `gguf_export` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peft_fuzz::gguf_export::run(bytes));

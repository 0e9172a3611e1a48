//! The target `model_config` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peft_fuzz::model_config::run(bytes));

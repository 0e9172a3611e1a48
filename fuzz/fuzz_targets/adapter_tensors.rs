//! The target `adapter_tensors` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peft_fuzz::adapter_tensors::run(bytes));

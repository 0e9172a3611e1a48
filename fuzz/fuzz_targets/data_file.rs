//! The target `data_file` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peft_fuzz::data_file::run(bytes));

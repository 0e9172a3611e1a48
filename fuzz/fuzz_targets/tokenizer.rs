//! The target `tokenizer` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(
    // A panic that the program catches, of a library it guards itself against, is no finding.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| peft_fuzz::tokenizer::run(bytes)
);

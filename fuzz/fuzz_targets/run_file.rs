//! Run files: the program's own reader of settings, compiled into this target because a binary has no library.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/peft-cli/src/run_config.rs"]
mod run_config;
#[path = "../src/scratch.rs"]
mod scratch;

/// What the reader calls a mistake of the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let setting = text.lines().next().map(run_config::parse_setting);
    let settings: Vec<_> = setting.into_iter().flatten().collect();
    scratch::with_file(bytes, |path| {
        for settings in [&[][..], settings.as_slice()] {
            let Ok(config) = run_config::RunConfig::load(Some(path), settings) else {
                continue;
            };
            assert!(!config.alpha().is_infinite() || config.adapter.alpha.is_some());
            config.to_toml().expect("what was read can be written");
        }
    });
});

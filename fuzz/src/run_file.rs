//! Run files: the reader of settings.

use peft_run::settings::{RunConfig, parse_setting};

use crate::scratch;

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When a reader contradicts itself: a finding.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let setting = text.lines().next().map(parse_setting);
    let settings: Vec<_> = setting.into_iter().flatten().collect();
    scratch::with_file(bytes, |path| {
        for settings in [&[][..], settings.as_slice()] {
            let Ok(config) = RunConfig::load(Some(path), settings) else {
                continue;
            };
            assert!(!config.alpha().is_infinite() || config.adapter.alpha.is_some());
            config.to_toml().expect("what was read can be written");
        }
    });
}

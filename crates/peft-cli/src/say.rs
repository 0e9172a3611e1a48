//! What the libraries tell beside their results, on stderr.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Prints what this project's crates say, and nothing of what others do.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info && metadata.target().starts_with("peft_")
    }

    fn log(&self, record: &Record<'_>) {
        match record.level() {
            _ if !self.enabled(record.metadata()) => {}
            Level::Info => eprintln!("{}", record.args()),
            level => eprintln!("{}: {}", word(level), record.args()),
        }
    }

    fn flush(&self) {}
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        _ => "warning",
    }
}

/// From now on what is logged comes on stderr.
pub fn to_stderr() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

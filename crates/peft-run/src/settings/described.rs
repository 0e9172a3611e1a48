//! What is said of every setting of a run: in run files, in the help of flags and in the documentation.

mod adapter;
mod prune;
mod run;
mod train;

/// How a setting stands in the run file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It always has a value: the default stands there.
    Never,
    /// It has no default: this stands there to be replaced.
    Required(&'static str),
    /// It may be absent: this stands there, commented out.
    Example(&'static str),
    /// It is a table of settings.
    Table,
    /// It is the table of the method's own options.
    Options,
}

/// One setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Dotted name.
    pub key: &'static str,
    /// One sentence.
    pub comment: &'static str,
    /// How it stands in the run file.
    pub absent: Absent,
}

const fn setting(key: &'static str, comment: &'static str, absent: Absent) -> Setting {
    Setting {
        key,
        comment,
        absent,
    }
}

/// Every setting; a test compares the list with the settings that a run knows.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    [
        run::SETTINGS,
        adapter::SETTINGS,
        prune::SETTINGS,
        train::SETTINGS,
    ]
    .into_iter()
    .flatten()
}

/// What is said of the setting with this dotted name.
#[must_use]
pub fn comment(key: &str) -> Option<&'static str> {
    let mut settings = all().filter(|setting| setting.key == key);
    settings.next().map(|setting| setting.comment)
}

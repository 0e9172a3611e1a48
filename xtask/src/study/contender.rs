//! What is compared: a method and how it is run.

/// A method with its settings.
#[derive(Debug)]
pub(super) struct Contender {
    /// Name in the table.
    pub(super) name: &'static str,
    /// Folder of its runs, below that of the data set.
    pub(super) folder: &'static str,
    /// What the program calls it.
    pub(super) method: &'static str,
    /// Settings as `--set` takes them, in groups; `{study}` stands for the folder of the study, `{data}` for the name of the data set.
    pub(super) settings: &'static [&'static [&'static str]],
    /// Learning rates to choose from; none: the rate of the contender before.
    pub(super) rates: &'static [f64],
}

impl Contender {
    pub(super) const fn new(
        name: &'static str,
        folder: &'static str,
        method: &'static str,
        settings: &'static [&'static [&'static str]],
        rates: &'static [f64],
    ) -> Self {
        Self {
            name,
            folder,
            method,
            settings,
            rates,
        }
    }
}

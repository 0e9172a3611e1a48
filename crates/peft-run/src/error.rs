//! What can go wrong in whatever `peft` does.

mod labels;
mod merge;
mod verdict;

use std::error::Error as StdError;
use std::path::PathBuf;

use peft_core::file::FileError;
use peft_core::target::TargetError;
use peft_core::{PeftError, near};
use peft_gguf::adapter::AdapterError;
use peft_models::ModelError;
use peft_prune::PlanError;
use peft_prune::procedure::OptionError;
use peft_recycle::mlx::MlxError;
use peft_recycle::{CombineError, ExtractError, RecycleError};
use peft_train::TrainError;

use crate::device::DeviceError;

pub use labels::LabelError;
pub use merge::MergeError;
pub use verdict::{is_interruption, is_usage};

/// What the calls of this crate give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something that was asked for was not done. [`Error::is_usage`] tells whether that was for the way in which it was asked for.
///
/// Errors of the crates below are as they are there. What was being done is said around them by [`Error::Context`];
/// [`Error::innermost`] is the error without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings, or how something was asked for, are to blame: which of them, what it may be, and what it is.
    #[error("{0}")]
    Usage(String),
    /// There is no adapter of the name that was asked for.
    #[error("no adapter named `{name}`; expected {}", adapters(name, base, known))]
    UnknownAdapter {
        /// The name.
        name: String,
        /// What the model without an adapter is called.
        base: &'static str,
        /// The adapters that there are.
        known: Vec<String>,
    },
    /// Another error, with what was being done or where it was found.
    #[error("{context}")]
    Context {
        /// What was being done, with what, or the place.
        context: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// There is no such device here.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Labels and outputs do not belong together.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// A merged model would not be what base and adapter are.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The tokenizer that comes with an adapter is one of another model.
    #[error(
        "the tokenizer of {} has {tokens} tokens, the table of {} {rows} rows: it belongs to a model with a larger vocabulary; \
         take the model's own with --tokenizer {}, or a base whose table was resized as in the training of the adapter",
        folder.display(),
        model.display(),
        model.display()
    )]
    LargerVocabulary {
        /// Folder of the tokenizer.
        folder: PathBuf,
        /// Its tokens.
        tokens: usize,
        /// Folder of the model.
        model: PathBuf,
        /// Tokens that the model has rows for.
        rows: usize,
    },
    /// The tokenizer cannot say what a token means.
    #[error("decoding token {id}: {message}")]
    Token {
        /// The token.
        id: u32,
        /// What the tokenizer said.
        message: String,
    },
    /// Nobody said which layers to adapt, and nothing is usual for models of this kind.
    #[error(
        "no default targets for `{model_type}`; give --targets, for example all-linear or query,value"
    )]
    NoDefaultTargets {
        /// Kind of the model.
        model_type: String,
    },
    /// An adapter folder cannot be read.
    #[error("{}", problems.join("\n"))]
    Unreadable {
        /// Everything that is wrong with its files.
        problems: Vec<String>,
    },
    /// A field of a JSON file is not what it should be.
    #[error("{}: `{field}`: expected {expected}, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Name of the field.
        field: String,
        /// What it may be.
        expected: String,
        /// What it is, as JSON.
        found: String,
    },
    /// A file that another version of this crate wrote.
    #[error("{}: format version {found}, this program reads {expected}; {way_out}", path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// The version that is read.
        expected: u32,
        /// That of the file.
        found: u32,
        /// What to do.
        way_out: &'static str,
    },
    /// Layers of a mixture do not have the same experts.
    #[error("{}: `{site}` has other experts than the first layer; train again", path.display())]
    OtherExperts {
        /// The file that says which experts are used.
        path: PathBuf,
        /// Path of the layer.
        site: String,
    },
    /// A setting that the commented run file has no words for.
    #[error("setting `{setting}` has no description")]
    Undescribed {
        /// Its dotted key.
        setting: String,
    },
    /// A file cannot get its place.
    #[error("cannot rename {} to {}", from.display(), to.display())]
    Rename {
        /// The file or folder.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or a folder that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A text that is no JSON, or not of the form that is asked for.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A run file that is no TOML, or settings that are none.
    #[error(transparent)]
    Settings(#[from] toml::de::Error),
    /// Settings that TOML has no form for.
    #[error(transparent)]
    Toml(#[from] toml::ser::Error),
    /// An adapter, its folder, or its place in a model.
    #[error(transparent)]
    Peft(#[from] PeftError),
    /// A pattern of an adapter's configuration.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A model, or its folder.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Data, or the course of a training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An adapter that cannot be written as a GGUF file.
    #[error(transparent)]
    Gguf(Box<AdapterError>),
    /// A plan of layers that share.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A pool of adapters, or a basis.
    #[error(transparent)]
    Recycle(#[from] RecycleError),
    /// Adapters that cannot be combined.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// Models that no adapter can be extracted from.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// An adapter that cannot be converted to or from mlx-lm.
    #[error(transparent)]
    Mlx(Box<MlxError>),
    /// Whoever watched a run did not let it go on.
    #[error(transparent)]
    Watch(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// The error without what was being done when it came up.
    #[must_use]
    pub fn innermost(&self) -> &Self {
        match self {
            Self::Context { source, .. } => source.innermost(),
            error => error,
        }
    }

    /// Whether the settings are to blame, rather than what happened with them.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self.innermost() {
            Self::Usage(_) | Self::UnknownAdapter { .. } | Self::Settings(_) => true,
            // Whoever is transparent does not show the error that it holds to those who follow the causes.
            Self::Train(error) => is_usage(error),
            Self::Peft(error) => is_usage(error),
            Self::Watch(error) => is_usage(error.as_ref()),
            _ => false,
        }
    }

    /// Whether a run ended early because it was asked to, with all that it needs to go on.
    #[must_use]
    pub fn is_interruption(&self) -> bool {
        match self.innermost() {
            Self::Train(error) => is_interruption(error),
            Self::Watch(error) => is_interruption(error.as_ref()),
            _ => false,
        }
    }
}

// In a box, because they alone would make every result larger.
impl From<AdapterError> for Error {
    fn from(error: AdapterError) -> Self {
        Self::Gguf(Box::new(error))
    }
}

impl From<MlxError> for Error {
    fn from(error: MlxError) -> Self {
        Self::Mlx(Box::new(error))
    }
}

impl From<OptionError> for Error {
    fn from(error: OptionError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// The names that could have been given, with the nearest of them.
fn adapters(name: &str, base: &str, known: &[String]) -> String {
    let nearest = match near(name, known.iter().map(String::as_str), 0.6) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => String::new(),
    };
    match known {
        [] => format!("`{base}`, for no adapter was given{nearest}"),
        known => format!("`{base}` or one of: {}{nearest}", known.join(", ")),
    }
}

/// Says beside an error what was being done.
pub(crate) trait Context<T> {
    /// The same, with the text before the error.
    fn context(self, context: &str) -> Result<T>;

    /// The same, with a text that is only made for an error.
    fn with_context(self, context: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, context: &str) -> Result<T> {
        self.with_context(|| context.to_owned())
    }

    fn with_context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Context {
            context: context(),
            source: Box::new(error.into()),
        })
    }
}

#[cfg(test)]
mod tests;

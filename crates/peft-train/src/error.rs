//! Everything that can go wrong between a data file and a finished run.

use std::path::PathBuf;

use crate::data::{RowProblem, TableError, columns_flag};
use crate::run_error::RunError;

use peft_core::PeftError;
use peft_core::file::FileError;
use peft_models::ModelError;

/// How many problems of a report are printed; the rest is counted.
const PRINTED_PROBLEMS: usize = 10;

/// A failure of training. Each variant carries the place, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A file could not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The extension of a data file names no known format.
    #[error(
        "{}: unknown data format `{extension}`, expected one of {known}; rename the file or give the format",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its extension, empty when there is none.
        extension: String,
        /// The known extensions.
        known: &'static str,
    },
    /// A chat template cannot be read, or refuses a conversation.
    #[error("{}: chat template: {message}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A file needs a part of this crate that the program was built without.
    #[error(
        "{}: this program was built without the feature `{feature}` of peft-train, which {purpose}; build it with that",
        path.display()
    )]
    WithoutFeature {
        /// The file.
        path: PathBuf,
        /// The feature.
        feature: &'static str,
        /// What it does.
        purpose: &'static str,
    },
    /// No row of a file teaches a language model anything.
    #[error(
        "{}: nothing is left to learn from: {account}\n  a row is learnt when an answer or completion begins within the longest row; \
         --max-length (data.max_length) sets its length", path.display()
    )]
    NothingToLearn {
        /// The file.
        path: PathBuf,
        /// What became of its rows.
        account: String,
    },
    /// Conversations need a chat template, and the model folder has none.
    #[error(
        "{}: conversations need a chat template, and the model folder has none; put one into chat_template.jinja there, or \
         give prompt and completion",
        path.display()
    )]
    NoTemplate {
        /// The data file.
        path: PathBuf,
    },
    /// A data file has no rows.
    #[error("{}: holds no rows, expected at least one example", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A table cannot be read in the form that it has.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A JSON file is broken, or is not an array of objects.
    #[error("{}: line {line}, column {column}: broken JSON: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The column, counted from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// The first row is neither a header with a known name, nor were column names given.
    #[error(
        "{}: line {line}: expected a header with one of {expected:?}, found {found:?}; \
         where that is a header of other names, give {}; where it is an example, name the columns in their order: --columns text,label \
         (_ skips one)",
        path.display(),
        columns_flag(expected, found)
    )]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// The line of the first row, counted from 1.
        line: u64,
        /// The names that would have made it a header.
        expected: Vec<String>,
        /// The cells of the first row.
        found: Vec<String>,
    },
    /// A column that is needed does not exist.
    #[error(
        "{}: no column {expected:?}, found {found:?}; say which one it is: {}",
        path.display(),
        columns_flag(expected, found)
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The names of which one is needed.
        expected: Vec<String>,
        /// The columns of the file.
        found: Vec<String>,
    },
    /// Two columns have the name of a column that is needed.
    #[error("{}: two columns are named `{column}`, expected one", path.display())]
    TwoColumns {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// Rows of a data file cannot be used.
    #[error("{}: {count} unusable row(s){}", path.display(), list(problems, *count))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The first problems, in the order of the file.
        problems: Vec<RowProblem>,
        /// How many problems there are altogether.
        count: usize,
    },
    /// A file of images, or the image processor of a model, cannot be used.
    #[error("{}: {message}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Files of a folder of images cannot be used.
    #[error("{}: {count} unusable image(s){}", path.display(), list(faults, *count))]
    Pictures {
        /// The folder.
        path: PathBuf,
        /// What is wrong with each, in the order of the paths.
        faults: Vec<String>,
        /// How many they are.
        count: usize,
    },
    /// Images without labels where labels are needed.
    #[error(
        "{}: the images have no labels; put them into a folder per class, or take a table with a label in each row",
        path.display()
    )]
    NoLabels {
        /// The folder or file.
        path: PathBuf,
    },
    /// Classes that the training data does not have.
    #[error("{}: unknown classes {unknown:?}, expected some of the {known} of the training data ({examples})", path.display())]
    UnknownClasses {
        /// The folder or file.
        path: PathBuf,
        /// The classes.
        unknown: Vec<String>,
        /// How many are known.
        known: usize,
        /// The first few of them, joined by commas.
        examples: String,
    },
    /// An option has a value that makes no sense.
    #[error("{option}: expected {expected}, found {found}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A `tokenizer.json` is broken, or failed on a text.
    #[error("{}: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer said.
        message: String,
    },
    /// The tokenizer makes an id for which the model has no embedding.
    #[error(
        "{}: makes token id {id}, expected less than {limit}, the vocabulary of the model; \
         take the tokenizer that belongs to the model",
        path.display()
    )]
    TokenId {
        /// The tokenizer file.
        path: PathBuf,
        /// The token id.
        id: u32,
        /// The number of embeddings.
        limit: usize,
    },
    /// A text became no tokens at all.
    #[error("{}: example {index} (counted from 0) becomes no tokens: {text:?}", path.display())]
    NoTokens {
        /// The tokenizer file.
        path: PathBuf,
        /// The position of the example.
        index: usize,
        /// The beginning of its text.
        text: String,
    },
    /// A line of the training log is broken, other than the last.
    #[error(
        "{}: line {line}: expected a JSON record, found {found:?}; remove the line",
        path.display()
    )]
    LogLine {
        /// The log.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The beginning of the line.
        found: String,
    },
    /// A record cannot be written as one JSON object.
    #[error("{}: the record is no JSON object: {message}", path.display())]
    LogRecord {
        /// The log.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There are no training examples.
    #[error("no training examples: the run would take no step")]
    NothingToTrain,
    /// The course of a run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An adapter, or its folder.
    #[error(transparent)]
    Peft(#[from] PeftError),
    /// A model, or its folder.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file of an adapter or a checkpoint.
    #[error(transparent)]
    File(#[from] FileError),
}

fn list(problems: &[impl std::fmt::Display], count: usize) -> String {
    let mut text = String::new();
    let printed = problems.len().min(PRINTED_PROBLEMS);
    for problem in &problems[..printed] {
        text.push_str(&format!("\n  {problem}"));
    }
    if count > printed {
        text.push_str(&format!("\n  and {} more", count - printed));
    }
    text
}

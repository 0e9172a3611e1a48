//! Data files of a run to a task that can be trained.

mod account;
mod columns;
mod holdout;
mod measures;
mod tables;

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use peft_models::hf::{HeadLabels, ModelConfig};
use peft_train::data::{
    DataAccount, Example, FileAccount, LabelSet, Roles, Table, Target, Targets, TextTokenizer,
    TokenAccount, UNASKED_LENGTH, examples,
};
use peft_train::task::{Classifier, ClassifierTask, Objective, TextSet};

use crate::companions::Companions;
use crate::open::{self, Numbering};
use crate::settings::{DataConfig, RunConfig, TaskKind};
use crate::{Error, Result};

use account::text_account;

pub use account::label_counts;
pub use columns::Columns;
use holdout::classes;
pub use holdout::{divided, held_out};
pub use measures::{measures, perplexity_alone};
pub use tables::{table, table_with};

/// The data of a run, ready for the model.
#[derive(Debug)]
pub struct PreparedData<M: Classifier> {
    /// Training and validation data.
    pub task: ClassifierTask<M>,
    /// The labels, for classification.
    pub labels: Option<LabelSet>,
    /// The head that answers them.
    pub head: HeadLabels,
    /// Training examples.
    pub examples: usize,
    /// What became of the files.
    pub account: DataAccount,
    /// Every training example as text, for the fingerprint of the run.
    pub rows: Vec<String>,
}

/// A data file that a classifier is to answer.
pub trait Input {
    /// What can answer it.
    type Model: Classifier;

    /// The labels of the file, in sorted order.
    ///
    /// # Errors
    /// When examples have no usable label.
    fn labels(&self) -> Result<LabelSet>;

    /// The examples as the model reads them, no more than the limit, and what became of the file.
    ///
    /// # Errors
    /// When examples are unusable, all of them.
    fn set(&self, targets: Targets<'_>) -> Result<(<Self::Model as Classifier>::Set, FileAccount)>;

    /// What stands in a column for each example, and where.
    ///
    /// # Errors
    /// When there is no such column.
    fn column(&self, name: &str) -> Result<Vec<(String, String)>>;

    /// The file that an example is, where examples are files.
    fn file(&self, example: usize) -> Option<PathBuf>;
}

/// Reads and tokenises the files of a run.
///
/// # Errors
/// Everything that is wrong with a file, with the place.
pub fn prepare<M: Classifier<Set = TextSet>>(config: &RunConfig) -> Result<PreparedData<M>> {
    let mut table = table(&config.data, &config.data.train)?;
    let numbering = match config.task {
        TaskKind::SeqCls => Some(open::number(
            config,
            LabelSet::fit(&table, &config.data.roles)?,
        )?),
        _ => None,
    };
    let (labels, head) = match numbering {
        Some(Numbering { labels, head }) => (Some(labels), head),
        None => (None, HeadLabels::Count(1)),
    };
    let measures = measures(&config.metrics, config.positive.as_deref(), labels.as_ref())?;
    if let Some(limit) = config.data.limit {
        table.rows.truncate(limit);
    }
    let companions = Companions::of_run(config)?.announced();
    let tokenizer = fitting_tokenizer(&companions, &config.data)?;
    let targets = targets(labels.as_ref());
    let set = |table: &Table| -> Result<(TextSet, FileAccount)> {
        let (set, tokens) = text_set(&tokenizer, &examples(table, &config.data.roles, targets)?)?;
        let account = text_account(table, &config.data.roles, targets, &set.targets, tokens)?;
        Ok((set, account))
    };
    let (train, mut account) = set(&table)?;
    let valid = config.data.valid.as_ref();
    let valid = valid.map(|path| set(&self::table(&config.data, path)?));
    let (valid, valid_account) = valid.transpose()?.unzip();
    let sets = (train, valid);
    let (train, valid) = divided(config, targets, sets, &mut account, TextSet::subset)?;
    let rows = train.encoded.iter().zip(&train.targets);
    let rows = rows.map(|(row, target)| format!("{:?}{:?}{target:?}\n", row.ids, row.type_ids));
    let (rows, examples): (Vec<String>, usize) = (rows.collect(), train.encoded.len());
    let task = ClassifierTask {
        train,
        valid,
        objective: objective(labels.as_ref()),
        metrics: measures,
        eval_batch_size: config.train.eval_batch_size,
    };
    Ok(PreparedData {
        task,
        labels,
        head,
        examples,
        account: DataAccount {
            train: account,
            valid: valid_account,
        },
        rows,
    })
}

/// A table of texts and the tokenizer of the model that is to answer it, an `M`.
#[derive(Debug)]
pub struct TextInput<M> {
    /// Every row of the file; labels are fitted on all of them.
    table: Table,
    roles: Roles,
    limit: Option<usize>,
    tokenizer: TextTokenizer,
    model: PhantomData<M>,
}

impl<M> TextInput<M> {
    /// Reads the data file with the tokenizer that stands beside the model.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn read(config: &DataConfig, file: &Path, beside: &Companions) -> Result<Self> {
        let table = table(config, file)?;
        Ok(Self {
            roles: config.roles.present(&table)?,
            table,
            limit: config.limit,
            tokenizer: fitting_tokenizer(beside, config)?,
            model: PhantomData,
        })
    }

    /// The examples, no more than the limit.
    ///
    /// # Errors
    /// When rows are unusable, all of them.
    pub fn examples(&self, targets: Targets<'_>) -> Result<Vec<Example>> {
        let mut table = self.table.clone();
        table.rows.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(examples(&table, &self.roles, targets)?)
    }

    /// See [`text_set`].
    ///
    /// # Errors
    /// As [`text_set`].
    pub fn tokenize(&self, examples: &[Example]) -> Result<(TextSet, TokenAccount)> {
        text_set(&self.tokenizer, examples)
    }
}

impl<M: Classifier<Set = TextSet>> Input for TextInput<M> {
    type Model = M;

    fn labels(&self) -> Result<LabelSet> {
        Ok(LabelSet::fit(&self.table, &self.roles)?)
    }

    fn set(&self, targets: Targets<'_>) -> Result<(TextSet, FileAccount)> {
        let (set, tokens) = self.tokenize(&self.examples(targets)?)?;
        let account = text_account(&self.table, &self.roles, targets, &set.targets, tokens)?;
        Ok((set, account))
    }

    fn column(&self, name: &str) -> Result<Vec<(String, String)>> {
        let table = &self.table;
        let Some(at) = table.column(name)? else {
            return Err(Error::Usage(format!(
                "{} has no column `{name}`; it has: {}",
                table.path.display(),
                table.columns.join(", ")
            )));
        };
        let rows = table.rows.iter().take(self.limit.unwrap_or(usize::MAX));
        let cell = |row: &peft_train::data::Row| {
            let value = row.cells[at].as_str().unwrap_or_default().to_owned();
            (
                value,
                format!("{}, line {}", table.path.display(), row.line),
            )
        };
        Ok(rows.map(cell).collect())
    }

    fn file(&self, _example: usize) -> Option<PathBuf> {
        None
    }
}

/// As many tokens as are asked for, or as the model takes where those are fewer, which is said on stderr. Where none are asked for, as many as
/// the model takes, within reason.
///
/// # Errors
/// When the configuration is unusable.
pub fn fitting(config: &ModelConfig, asked: Option<usize>) -> Result<usize> {
    let limit = peft_models::max_length(config)?.unwrap_or(usize::MAX);
    if let Some(asked) = asked.filter(|asked| *asked > limit) {
        log::warn!(
            "the model takes texts of at most {limit} tokens, data.max_length is {asked}: {limit} is used"
        );
    }
    Ok(asked.unwrap_or(UNASKED_LENGTH).min(limit))
}

/// The tokenizer that stands beside a model, for texts of so many tokens, or of as many as the model takes.
///
/// # Errors
/// When it is missing or broken, or the configuration is.
pub fn fitting_tokenizer(beside: &Companions, data: &DataConfig) -> Result<TextTokenizer> {
    let config = ModelConfig::read(beside.model())?;
    beside.tokenizer(&config, fitting(&config, data.max_length)?)
}

/// Tokenises examples; the second value says how long they are and what was cut.
///
/// # Errors
/// When a text becomes no tokens, or a token does not exist in the model.
pub fn text_set(
    tokenizer: &TextTokenizer,
    examples: &[Example],
) -> Result<(TextSet, TokenAccount)> {
    let tokenized = tokenizer.encode(examples)?;
    let kept: usize = tokenized.examples.iter().map(|text| text.ids.len()).sum();
    let tokens = TokenAccount {
        cut_rows: tokenized.truncated,
        cut_tokens: tokenized.lengths.iter().sum::<usize>() - kept,
        kept,
        ..TokenAccount::of(
            &tokenized.lengths,
            tokenizer.max_length().unwrap_or(usize::MAX),
            "--max-length or the model",
        )
    };
    let set = TextSet::new(tokenized.examples, examples, tokenizer.pad_id());
    Ok((set, tokens))
}

/// The indices of about `ratio` of the examples, the same share of each class; a function of the seed.
#[must_use]
pub fn sample(targets: &[Target], ratio: f64, seed: u64) -> Vec<usize> {
    peft_prune::stratified(&classes(targets), ratio, seed)
}

/// What to read from the target column.
#[must_use]
pub fn targets(labels: Option<&LabelSet>) -> Targets<'_> {
    labels.map_or(Targets::Values, Targets::Classes)
}

/// What the logits mean.
#[must_use]
pub fn objective(labels: Option<&LabelSet>) -> Objective {
    labels.map_or(Objective::Value, |labels| Objective::Classes(labels.len()))
}

//! The account of a run's data, and its rows as the model will see them, without training.

mod shown;

use peft_models::{DecoderClassifier, ModelKind, SequenceClassifier};
use peft_train::data::{DataAccount, LabelSet, Picture, Target, TextTokenizer};
use peft_train::task::TextSet;
use serde::Serialize;

use crate::causal_data::RunRows;
use crate::companions::Companions;
use crate::data::PreparedData;
use crate::open::OpenClassifier;
use crate::settings::{RunConfig, TaskKind};
use crate::{Error, Result};
use crate::{data, image_data, run};
pub use shown::{ShownRow, ShownToken};

/// Which rows of the training data are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The first so many.
    First(usize),
    /// This one, counted from 1.
    One(usize),
}

/// The account, and rows.
#[derive(Debug, Serialize)]
pub struct DataResult {
    /// What became of the data.
    #[serde(flatten)]
    pub account: DataAccount,
    /// The rows that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<ShownRow>,
}

impl DataResult {
    /// Reads the data of a run.
    ///
    /// # Errors
    /// Data or a tokenizer that cannot be read; a row that is not there.
    pub fn of(config: &RunConfig, rows: Rows) -> Result<Self> {
        if config.data.train.as_os_str().is_empty() {
            return Err(Error::Usage(
                "missing setting: data.train; give --train or a run file".into(),
            ));
        }
        read(config, rows)
    }
}

fn read(config: &RunConfig, asked: Rows) -> Result<DataResult> {
    let kind = run::kind(config)?;
    match config.task {
        TaskKind::CausalLm => {
            let read = RunRows::read(config)?;
            let shown = asked.of(read.train.rows.len())?;
            let row =
                |at: usize| ShownRow::tokens(at, &read.train.rows[at], read.files.tokenizer());
            Ok(DataResult {
                account: read.account(),
                rows: shown.map(row).collect::<Result<_>>()?,
            })
        }
        TaskKind::ImageCls => images(config, asked),
        _ if matches!(kind, ModelKind::Causal | ModelKind::DecoderTexts) => {
            texts::<DecoderClassifier>(config, asked)
        }
        _ => texts::<SequenceClassifier>(config, asked),
    }
}

fn texts<M: OpenClassifier<Set = TextSet>>(config: &RunConfig, asked: Rows) -> Result<DataResult> {
    let prepared: PreparedData<M> = data::prepare(config)?;
    let tokenizer: TextTokenizer =
        data::fitting_tokenizer(&Companions::of_run(config)?, &config.data)?;
    let set = &prepared.task.train;
    let row = |at: usize| {
        let answer = answer(set.targets[at], prepared.labels.as_ref());
        ShownRow::text(at, &set.encoded[at].ids, answer, &tokenizer)
    };
    let rows = asked.of(set.targets.len())?.map(row);
    Ok(DataResult {
        rows: rows.collect::<Result<_>>()?,
        account: prepared.account,
    })
}

fn images(config: &RunConfig, asked: Rows) -> Result<DataResult> {
    let prepared = image_data::prepare(config)?;
    let set = &prepared.task.train;
    let row = |at: usize| {
        let name = match &set.pictures[at] {
            Picture::File(path) => path.display().to_string(),
            Picture::Pixels(_) => format!("row {} of the table", at + 1),
        };
        ShownRow::picture(at, name, answer(set.targets[at], prepared.labels.as_ref()))
    };
    Ok(DataResult {
        rows: asked.of(set.pictures.len())?.map(row).collect(),
        account: prepared.account,
    })
}

/// What the model should say, in words.
fn answer(target: Target, labels: Option<&LabelSet>) -> Option<String> {
    match target {
        Target::Class(class) => labels?.names().nth(class).map(str::to_owned),
        Target::Value(value) => Some(value.to_string()),
        Target::None => None,
    }
}

impl Rows {
    /// The rows to show of so many.
    fn of(self, rows: usize) -> Result<std::ops::Range<usize>> {
        match self {
            Self::First(shown) => Ok(0..shown.min(rows)),
            Self::One(row) if (1..=rows).contains(&row) => Ok(row - 1..row),
            Self::One(row) => Err(Error::Usage(format!(
                "--row {row}: the training data has rows 1 to {rows}"
            ))),
        }
    }
}

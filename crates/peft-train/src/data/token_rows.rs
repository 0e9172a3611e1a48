//! Data files of language models: plain text, prompts and completions, instructions, conversations.

use std::path::Path;

use serde_json::Value;

use super::chat::{ChatTemplate, Conversation};
use super::json::kind;
use super::packing::{Packer, RowOptions, Text, TokenRow, TokenRows};
use super::problem::{Problems, RowFault};
use super::table::Table;
use super::tokenize::TextTokenizer;
use crate::TrainError;

/// Column of conversations.
const MESSAGES: &str = "messages";

/// Names of the columns that [`table_rows`] looks for, for the recognition of a header.
pub const CAUSAL_COLUMNS: [&str; 7] = [
    MESSAGES,
    "text",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
];

/// Cuts one plain text, the whole file, into rows of exactly `max_length` tokens without special tokens; what is left is dropped.
///
/// # Errors
/// [`TrainError::Read`], [`TrainError::Tokenizer`], [`TrainError::TokenId`], and [`TrainError::Empty`] when the text fills no row.
pub fn text_rows(
    path: &Path,
    tokenizer: &TextTokenizer,
    max_length: usize,
) -> Result<TokenRows, TrainError> {
    let text = std::fs::read_to_string(path).map_err(|source| TrainError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let ids = tokenizer.ids(&text, false)?;
    let rows: Vec<TokenRow> = ids
        .chunks_exact(max_length)
        .map(|ids| {
            let mut row = TokenRow::default();
            row.push(&Text::after(ids.to_vec(), 0));
            row
        })
        .collect();
    if rows.is_empty() {
        return Err(TrainError::Empty {
            path: path.to_path_buf(),
        });
    }
    Ok(TokenRows {
        truncated: usize::from(ids.len() % max_length != 0),
        rows,
    })
}

/// Rows from the columns `messages`, through the chat template; `text`; `prompt` and `completion`; or `instruction`, `input` and `output`.
///
/// # Errors
/// [`TrainError::MissingColumn`] when none of them is there, [`TrainError::Rows`] with every cell that is no text or leaves nothing
/// to learn, [`TrainError::NoTemplate`] for messages without a template, and what the template or the tokenizer refuses.
pub fn table_rows(
    table: &Table,
    tokenizer: &TextTokenizer,
    chat: Option<&ChatTemplate>,
    options: RowOptions,
) -> Result<TokenRows, TrainError> {
    if let Some(column) = table.column(MESSAGES)? {
        let chat = chat.ok_or_else(|| TrainError::NoTemplate {
            path: table.path.clone(),
        })?;
        return conversations(table, column, tokenizer, chat, options);
    }
    let columns = Columns::of(table)?;
    let mut problems = Problems::default();
    let mut packer = Packer::new(options, columns.given.is_empty());
    for row in &table.rows {
        let Some((given, learnt)) = problems.keep(row.line, columns.texts(table, &row.cells))
        else {
            continue;
        };
        let mut ids = Vec::new();
        if !given.is_empty() {
            ids = tokenizer.ids(&given, true)?;
        }
        let prompt = ids.len();
        ids.extend(tokenizer.ids(&learnt, prompt == 0)?);
        ids.extend(options.end);
        let prompt = if options.train_on_prompt { 0 } else { prompt };
        let added = packer.add(Text::after(ids, prompt));
        problems.keep(row.line, taught(added, &table.columns[columns.learnt]));
    }
    problems.finish(&table.path)?;
    Ok(packer.rows)
}

/// Rows of lists of messages, each with `role` and `content`.
fn conversations(
    table: &Table,
    column: usize,
    tokenizer: &TextTokenizer,
    chat: &ChatTemplate,
    options: RowOptions,
) -> Result<TokenRows, TrainError> {
    let mut problems = Problems::default();
    let mut packer = Packer::new(options, false);
    for row in &table.rows {
        let messages = match &row.cells[column] {
            Value::Array(messages)
                if messages.iter().all(|message| message["role"].is_string()) =>
            {
                Ok(messages)
            }
            other => Err(RowFault::WrongCell {
                column: MESSAGES.into(),
                expected: "a list of messages with a role",
                found: kind(other).to_owned(),
            }),
        };
        let Some(messages) = problems.keep(row.line, messages) else {
            continue;
        };
        let Some(mut said) = problems.keep(row.line, rendered(chat, messages, options)?) else {
            continue;
        };
        said.learnt.retain(|said| !said.is_empty());
        let added = packer.add(Text::said(&said, tokenizer)?);
        problems.keep(row.line, taught(added, MESSAGES));
    }
    problems.finish(&table.path)?;
    Ok(packer.rows)
}

/// The conversation as the template writes it; what the template refuses is a fault of the row.
fn rendered(
    chat: &ChatTemplate,
    messages: &[Value],
    options: RowOptions,
) -> Result<Result<Conversation, RowFault>, TrainError> {
    let said = if options.train_on_prompt {
        chat.render(messages, false).map(|text| Conversation {
            learnt: std::iter::once(0..text.len()).collect(),
            text,
        })
    } else {
        chat.conversation(messages)
    };
    match said {
        Err(TrainError::Template { message, .. }) => Ok(Err(RowFault::Template { message })),
        said => said.map(Ok),
    }
}

/// The fault of a row that taught nothing.
fn taught(added: bool, column: &str) -> Result<(), RowFault> {
    if added {
        return Ok(());
    }
    Err(RowFault::EmptyCell {
        column: column.to_owned(),
        expected: "something to learn within the longest row",
    })
}

/// Which columns are given, and which is learnt.
struct Columns {
    given: Vec<usize>,
    learnt: usize,
    alpaca: bool,
}

impl Columns {
    fn of(table: &Table) -> Result<Self, TrainError> {
        let column = |name| table.column(name);
        if let (Some(prompt), Some(learnt)) = (column("prompt")?, column("completion")?) {
            return Ok(Self {
                given: vec![prompt],
                learnt,
                alpaca: false,
            });
        }
        if let (Some(instruction), Some(learnt)) = (column("instruction")?, column("output")?) {
            let mut given = vec![instruction];
            given.extend(column("input")?);
            return Ok(Self {
                given,
                learnt,
                alpaca: true,
            });
        }
        let text = column("text")?.ok_or_else(|| TrainError::MissingColumn {
            path: table.path.clone(),
            expected: vec![
                MESSAGES.into(),
                "text".into(),
                "prompt and completion".into(),
                "instruction and output".into(),
            ],
            found: table.columns.clone(),
        })?;
        Ok(Self {
            given: vec![],
            learnt: text,
            alpaca: false,
        })
    }

    /// What is given and what is learnt in a row.
    fn texts(&self, table: &Table, cells: &[Value]) -> Result<(String, String), RowFault> {
        let text = |index: usize, may_be_empty: bool| match &cells[index] {
            Value::String(text) if may_be_empty || !text.trim().is_empty() => Ok(text.as_str()),
            Value::Null if may_be_empty => Ok(""),
            _ => Err(RowFault::EmptyCell {
                column: table.columns[index].clone(),
                expected: "a text",
            }),
        };
        let learnt = text(self.learnt, false)?.to_owned();
        let given = match (self.alpaca, self.given.as_slice()) {
            (_, []) => String::new(),
            (true, [instruction]) => alpaca(text(*instruction, false)?, ""),
            (true, [instruction, input, ..]) => {
                alpaca(text(*instruction, false)?, text(*input, true)?)
            }
            (false, [prompt, ..]) => text(*prompt, false)?.to_owned(),
        };
        Ok((given, learnt))
    }
}

/// The prompt of Stanford Alpaca (Taori et al. 2023), word for word.
fn alpaca(instruction: &str, input: &str) -> String {
    if input.trim().is_empty() {
        return format!(
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
             ### Instruction:\n{instruction}\n\n### Response:\n"
        );
    }
    format!(
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that \
         appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
    )
}

//! Which columns of a table a language model learns from, and what they say.

use serde_json::{Map, Value};

use super::chat::ChatContext;
use super::messages::{self, message};
use super::problem::kind;
use super::row_fault::RowFault;
use super::table::{Row, Table};
use crate::TrainError;

/// Names of the columns that language models learn from, for the recognition of a header.
pub const CAUSAL_COLUMNS: [&str; 13] = [
    "messages",
    "conversations",
    "conversation",
    "text",
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "system",
    TOOLS,
    DOCUMENTS,
    SETTINGS,
];
const TOOLS: &str = "tools";
const DOCUMENTS: &str = "documents";
const SETTINGS: &str = "chat_template_kwargs";
/// What stands beside a conversation.
const BESIDE: [&str; 4] = ["system", TOOLS, DOCUMENTS, SETTINGS];

/// What a row holds.
pub(super) enum Said {
    /// A text to learn behind one that is given, which may be empty.
    Text { given: String, learnt: String },
    /// A conversation of which the answers are learnt, or everything behind the first messages.
    Chat {
        messages: Vec<Value>,
        context: Box<ChatContext>,
        given: Option<usize>,
    },
}

/// The columns of a table, by what they are for.
pub(super) struct Columns<'a> {
    table: &'a Table,
    form: Form,
    beside: [Option<usize>; 4],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Messages(usize),
    Prompt {
        prompt: usize,
        completion: usize,
    },
    Alpaca {
        instruction: usize,
        input: Option<usize>,
        output: usize,
    },
    Text(usize),
}

impl<'a> Columns<'a> {
    /// Messages before prompts, prompts before instructions, instructions before texts.
    ///
    /// # Errors
    /// [`TrainError::MissingColumn`] when none of them is there, [`TrainError::TwoColumns`] when one is there twice.
    pub(super) fn of(table: &'a Table) -> Result<Self, TrainError> {
        let column = |name| table.column(name);
        let [system, tools, documents, settings] = BESIDE.map(column);
        let beside = [system?, tools?, documents?, settings?];
        let form = |form| {
            Ok(Self {
                table,
                form,
                beside,
            })
        };
        for name in ["messages", "conversations", "conversation"] {
            if let Some(at) = column(name)? {
                return form(Form::Messages(at));
            }
        }
        if let (Some(prompt), Some(completion)) = (column("prompt")?, column("completion")?) {
            return form(Form::Prompt { prompt, completion });
        }
        if let (Some(instruction), Some(output)) = (column("instruction")?, column("output")?) {
            let input = column("input")?;
            return form(Form::Alpaca {
                instruction,
                input,
                output,
            });
        }
        match column("text")? {
            Some(text) => form(Form::Text(text)),
            None => Err(TrainError::MissingColumn {
                path: table.path.clone(),
                expected: vec![
                    "messages".into(),
                    "conversations".into(),
                    "prompt and completion".into(),
                    "instruction and output".into(),
                    "text".into(),
                ],
                found: table.columns.clone(),
            }),
        }
    }

    /// Whether rows are texts alone, with nothing given before them.
    pub(super) fn are_plain(&self) -> bool {
        matches!(self.form, Form::Text(_))
    }

    /// Whether any row is a conversation, for which a chat template is needed.
    pub(super) fn need_template(&self) -> bool {
        let table = self.table;
        match self.form {
            Form::Messages(_) => true,
            Form::Prompt { prompt, completion } => table.rows.iter().any(|row| {
                let holds = |at: usize| messages::holds_messages(&row.cells[at]);
                holds(prompt) || holds(completion)
            }),
            _ => false,
        }
    }

    /// The columns of which nothing is made; `chats`: there are conversations, which use what stands beside them.
    pub(super) fn unused(&self, chats: bool) -> Vec<String> {
        let mut used = match self.form {
            Form::Messages(at) | Form::Text(at) => vec![at],
            Form::Prompt { prompt, completion } => vec![prompt, completion],
            Form::Alpaca {
                instruction,
                input,
                output,
            } => [instruction, output].into_iter().chain(input).collect(),
        };
        if chats {
            used.extend(self.beside.iter().flatten());
        }
        let columns = self.table.columns.iter().enumerate();
        let unused =
            columns.filter(|(at, name)| !used.contains(at) && !name.is_empty() && *name != "_");
        unused.map(|(_, name)| name.clone()).collect()
    }

    /// What a row says; `parts`: the template takes contents that are lists of parts.
    pub(super) fn said(&self, row: &Row, parts: bool) -> Result<Said, RowFault> {
        match self.form {
            Form::Messages(at) => self.chat(row, self.messages(row, at, parts)?, None),
            Form::Prompt { prompt, completion } => {
                let holds = |at: usize| messages::holds_messages(&row.cells[at]);
                if !holds(prompt) && !holds(completion) {
                    return Ok(Said::Text {
                        given: self.text(row, prompt, true)?,
                        learnt: self.text(row, completion, false)?,
                    });
                }
                let side = |at: usize, role: &str| match holds(at) {
                    true => self.messages(row, at, parts),
                    false => Ok(vec![message(role, &self.text(row, at, false)?)]),
                };
                let mut messages = side(prompt, "user")?;
                let given = messages.len();
                messages.extend(side(completion, "assistant")?);
                self.chat(row, messages, Some(given))
            }
            Form::Alpaca {
                instruction,
                input,
                output,
            } => {
                let input = input.map(|at| self.text(row, at, true)).transpose()?;
                Ok(Said::Text {
                    given: alpaca(
                        &self.text(row, instruction, false)?,
                        &input.unwrap_or_default(),
                    ),
                    learnt: self.text(row, output, false)?,
                })
            }
            Form::Text(at) => Ok(Said::Text {
                given: String::new(),
                learnt: self.text(row, at, false)?,
            }),
        }
    }

    fn messages(&self, row: &Row, at: usize, parts: bool) -> Result<Vec<Value>, RowFault> {
        messages::messages(&self.table.columns[at], &row.cells[at], parts)
    }

    /// A conversation with what stands beside it.
    fn chat(
        &self,
        row: &Row,
        mut messages: Vec<Value>,
        mut given: Option<usize>,
    ) -> Result<Said, RowFault> {
        let [system, tools, documents, settings] = self.beside;
        let structure = |at: Option<usize>, expected| match at {
            Some(at) => messages::structure(&self.table.columns[at], &row.cells[at], expected),
            None => Ok(Value::Null),
        };
        if let Some(system) = system {
            let text = self.text(row, system, true)?;
            if !text.trim().is_empty() && messages[0]["role"] != "system" {
                messages.insert(0, message("system", &text));
                given = given.map(|given| given + 1);
            }
        }
        let context = ChatContext {
            tools: structure(tools, "a list of tools, or one as JSON text")?,
            documents: structure(documents, "a list of documents, or one as JSON text")?,
            settings: match structure(settings, "an object, or one as JSON text")? {
                Value::Object(settings) => settings,
                _ => Map::new(),
            },
        };
        Ok(Said::Chat {
            messages,
            context: Box::new(context),
            given,
        })
    }

    fn text(&self, row: &Row, at: usize, may_be_empty: bool) -> Result<String, RowFault> {
        match &row.cells[at] {
            Value::String(text) if may_be_empty || !text.trim().is_empty() => Ok(text.clone()),
            Value::Null if may_be_empty => Ok(String::new()),
            Value::String(_) | Value::Null => Err(RowFault::EmptyCell {
                column: self.table.columns[at].clone(),
                expected: "a text",
            }),
            other => Err(RowFault::WrongCell {
                column: self.table.columns[at].clone(),
                expected: "a text",
                found: kind(other).to_owned(),
            }),
        }
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

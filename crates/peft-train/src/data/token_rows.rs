//! Tables for language models to rows of tokens: texts, prompts and completions, instructions, conversations.

use serde_json::Value;

use super::account::FileAccount;
use super::causal_columns::{Columns, Said};
use super::chat::{ChatContext, ChatTemplate, Conversation};
use super::packing::{RowOptions, Text, TokenRows, pack};
use super::problem::Problems;
use super::row_fault::RowFault;
use super::table::Table;
use super::tokenize::TextTokenizer;
use crate::TrainError;

const JOINED: &str =
    "rows whose completion joins the last token of the prompt, which is learnt with it";
const NOT_FOUND: &str = "answers that cannot be told from the rest of what the template renders, and are not learnt; \
                         data.train_on_prompt learns whole conversations";
const LEFT_OUT: &str = "messages that the chat template does not write into the text";
const NO_TOOLS: &str = "rows with tools that the chat template does not write into the text";
const NOT_WANTED: &str = "answers that are not learnt, by their weight or train";

/// Rows from the columns `messages` or `conversations`, through the chat template; `prompt` and `completion`, texts or lists of
/// messages; `instruction`, `input` and `output`; or `text`.
///
/// A completion is what a prompt with it has beyond the tokens that both begin with, as in TRL. Rows that teach nothing within the
/// longest row are dropped and counted.
///
/// # Errors
/// [`TrainError::MissingColumn`] when none of them is there, [`TrainError::Rows`] with every cell that cannot be used,
/// [`TrainError::NoTemplate`] for messages without a template, [`TrainError::NothingToLearn`] when no row is left, and what the
/// tokenizer refuses.
pub fn table_rows(
    table: &Table,
    tokenizer: &TextTokenizer,
    chat: Option<&ChatTemplate>,
    options: RowOptions,
) -> Result<TokenRows, TrainError> {
    let columns = Columns::of(table)?;
    let chats = columns.need_template();
    if chats && chat.is_none() {
        return Err(TrainError::NoTemplate {
            path: table.path.clone(),
        });
    }
    let parts = chats && chat.is_some_and(ChatTemplate::takes_parts);
    let mut reader = Reader {
        tokenizer,
        chat,
        options,
        end: options
            .end
            .and_then(|end| tokenizer.inner().id_to_token(end)),
        account: FileAccount {
            path: table.path.clone(),
            rows: table.rows.len(),
            unused_columns: columns.unused(chats),
            ..FileAccount::default()
        },
    };
    let (mut problems, mut texts) = (Problems::default(), Vec::with_capacity(table.rows.len()));
    for row in &table.rows {
        let said = columns.said(row, parts);
        let text = match problems.keep(row.line, said) {
            None => continue,
            Some(Said::Text { given, learnt }) => Ok(reader.text(row.line, &given, &learnt)?),
            Some(Said::Chat {
                messages,
                context,
                given,
            }) => reader.chat(row.line, &messages, &context, given)?,
        };
        if let Some(text) = problems.keep(row.line, text) {
            texts.push((row.line, text));
        }
    }
    problems.finish(&table.path)?;
    pack(texts, options, columns.are_plain(), reader.account)
}

/// Rows to tokens, and the account of them.
struct Reader<'a> {
    tokenizer: &'a TextTokenizer,
    chat: Option<&'a ChatTemplate>,
    options: RowOptions,
    /// How the token that ends texts is written.
    end: Option<String>,
    account: FileAccount,
}

impl Reader<'_> {
    /// A text behind a given one. A text that ends in the end token already gets no second one.
    fn text(&mut self, line: u64, given: &str, learnt: &str) -> Result<Text, TrainError> {
        let whole = format!("{given}{learnt}");
        let written = self.end.as_deref().and_then(|end| whole.strip_suffix(end));
        let mut ids = self.tokenizer.ids(written.unwrap_or(&whole), true)?;
        if let Some(end) = self.options.end
            && (written.is_some() || ids.last() != Some(&end))
        {
            ids.push(end);
        }
        if given.is_empty() || self.options.train_on_prompt {
            return Ok(Text::after(ids, 0));
        }
        let prompt = self.tokenizer.ids(given, true)?;
        Ok(self.behind(line, Text::after(ids, 0), &prompt))
    }

    /// A conversation; what the template refuses is a fault of the row.
    fn chat(
        &mut self,
        line: u64,
        messages: &[Value],
        context: &ChatContext,
        given: Option<usize>,
    ) -> Result<Result<Text, RowFault>, TrainError> {
        let Some(chat) = self.chat else {
            return Err(TrainError::NoTemplate {
                path: self.account.path.clone(),
            });
        };
        let (text, prompt) =
            match Self::rendered(chat, messages, context, given, self.options.train_on_prompt) {
                Err(TrainError::Template { message, .. }) => {
                    return Ok(Err(RowFault::Template { message }));
                }
                rendered => rendered?,
            };
        let place = format!("line {line}");
        self.account.remark(NOT_FOUND, text.not_found, &place);
        self.account.remark(NOT_WANTED, text.not_wanted, &place);
        self.account
            .remark(LEFT_OUT, left_out(messages, &text.text), &place);
        let hides_tools = !shows_tools(&context.tools, &text.text);
        self.account
            .remark(NO_TOOLS, usize::from(hides_tools), &place);
        let said = Text::said(&text, self.tokenizer)?;
        let Some(prompt) = prompt else {
            return Ok(Ok(said));
        };
        let prompt = self.tokenizer.ids(&prompt, false)?;
        Ok(Ok(self.behind(line, said, &prompt)))
    }

    /// The conversation as the template writes it with what is learnt of it, and the prompt alone where there is one.
    fn rendered(
        chat: &ChatTemplate,
        messages: &[Value],
        context: &ChatContext,
        given: Option<usize>,
        all: bool,
    ) -> Result<(Conversation, Option<String>), TrainError> {
        if given.is_none() && !all {
            return Ok((chat.conversation(messages, context)?, None));
        }
        let text = chat.render(messages, context, false)?;
        let whole = Conversation {
            learnt: std::iter::once(0..text.len()).collect(),
            text,
            ..Conversation::default()
        };
        let prompt = match given {
            Some(given) if !all => Some(chat.render(&messages[..given], context, true)?),
            _ => None,
        };
        Ok((whole, prompt))
    }

    /// A text of which what it has in common with its prompt is not learnt.
    fn behind(&mut self, line: u64, text: Text, prompt: &[u32]) -> Text {
        // Special tokens that end a prompt alone are no part of it.
        let same = text
            .ids()
            .iter()
            .zip(prompt)
            .take_while(|(a, b)| a == b)
            .count();
        if same < prompt.len() {
            self.account.remark(JOINED, 1, format_args!("line {line}"));
        }
        text.not_before(same)
    }
}

/// How many messages of others than the assistant are not in a text.
fn left_out(messages: &[Value], text: &str) -> usize {
    let others = messages
        .iter()
        .filter(|message| message["role"] != "assistant");
    let contents = others.filter_map(|message| message["content"].as_str());
    contents
        .filter(|content| !text.contains(content.trim()))
        .count()
}

/// Whether every tool is named in a text.
fn shows_tools(tools: &Value, text: &str) -> bool {
    let name = |tool: &Value| {
        let named = tool.get("function").unwrap_or(tool);
        named["name"].as_str().map(str::to_owned)
    };
    let mut names = tools.as_array().into_iter().flatten().filter_map(name);
    names.all(|name| text.contains(&name))
}

//! From a data file to batches: [`read_table`] -> [`LabelSet`] and [`examples`] -> [`TextTokenizer`] ->
//! [`BatchPlan`].

mod account;
mod batch;
mod causal_columns;
mod chat;
mod delimited;
mod example;
mod image;
mod json;
mod label;
mod messages;
mod packing;
mod plain_text;
mod problem;
mod python_json;
mod read;
mod roles;
mod table;
mod token_rows;
mod tokenize;

pub use account::{Counted, DataAccount, FileAccount, TokenAccount};
pub use batch::{BatchOptions, BatchPlan};
pub use causal_columns::CAUSAL_COLUMNS;
pub use chat::{ChatContext, ChatTemplate, Conversation, TOOLS_FILE, TemplateSource};
pub use example::{Example, Target, TargetKind, Targets, examples};
pub use image::{
    ImageProcessor, Picture, PictureOptions, Pictures, PixelColumns, Pixels, read_pictures,
};
pub use label::LabelSet;
pub use packing::{RowLength, RowOptions, TokenRow, TokenRows};
pub use plain_text::text_rows;
pub use problem::{RowFault, RowProblem};
pub use read::{ReadOptions, read_table};
pub use roles::{RoleColumns, Roles};
pub use table::{Format, Quoting, Row, Table};
pub use token_rows::table_rows;
pub use tokenize::{Encoded, TextTokenizer, TokenizeOptions, Tokenized};

//! From a data file to batches: [`read_table`] -> [`LabelSet`] and [`examples`] -> [`TextTokenizer`] ->
//! [`BatchPlan`].

mod account;
mod batch;
mod bytes;
mod causal_columns;
mod chat;
mod delimited;
mod encoding;
mod example;
mod guarded;
mod header;
mod image;
mod json;
mod label;
mod label_text;
mod messages;
mod packing;
mod parquet;
mod plain_text;
mod problem;
#[cfg(feature = "chat")]
mod python_json;
mod quotes;
mod read;
mod read_options;
mod roles;
mod row_fault;
mod separator;
mod suggest;
mod table;
mod table_error;
mod target;
mod token_rows;
mod tokenize;

pub use account::{Counted, DataAccount, FileAccount, TokenAccount};
pub use batch::{BatchOptions, BatchPlan};
pub use causal_columns::CAUSAL_COLUMNS;
pub use chat::{ChatContext, ChatTemplate, Conversation, TOOLS_FILE, TemplateSource};
pub use encoding::Encoding;
pub use example::{Example, Targets, examples};
pub use image::{
    ImageProcessor, Picture, PictureOptions, Pictures, PixelColumns, Pixels, Verified,
    read_pictures,
};
pub use label::LabelSet;
pub use packing::{RowLength, RowOptions, TokenRow, TokenRows, UNASKED_LENGTH};
pub use plain_text::text_rows;
pub use read::{read_table, read_text};
pub use read_options::ReadOptions;
pub use roles::{RoleColumns, Roles};
pub use row_fault::{RowFault, RowProblem};
pub(crate) use suggest::columns_flag;
pub use table::{Format, Quoting, ReadNote, Row, Table};
pub use table_error::TableError;
pub use target::{Target, TargetKind};
pub use token_rows::table_rows;
pub use tokenize::{Encoded, TextTokenizer, TokenizeOptions, Tokenized};

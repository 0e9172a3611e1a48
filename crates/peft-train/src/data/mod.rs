//! From a data file to batches: [`read_table`] -> [`LabelSet`] and [`examples`] -> [`TextTokenizer`] ->
//! [`BatchPlan`].

mod account;
mod batch;
mod chat;
mod delimited;
mod example;
mod image;
mod json;
mod label;
mod packing;
mod problem;
mod python_json;
mod read;
mod roles;
mod table;
mod token_rows;
mod tokenize;

pub use account::{Counted, DataAccount, FileAccount, TokenAccount};
pub use batch::{BatchOptions, BatchPlan};
pub use chat::{ChatTemplate, Conversation};
pub use example::{Example, Target, TargetKind, Targets, examples};
pub use image::{
    ImageProcessor, Picture, PictureOptions, Pictures, PixelColumns, Pixels, read_pictures,
};
pub use label::LabelSet;
pub use packing::{RowOptions, TokenRow, TokenRows};
pub use problem::{RowFault, RowProblem};
pub use read::{ReadOptions, read_table};
pub use roles::{RoleColumns, Roles};
pub use table::{Format, Quoting, Row, Table};
pub use token_rows::{CAUSAL_COLUMNS, table_rows, text_rows};
pub use tokenize::{Encoded, TextTokenizer, TokenizeOptions, Tokenized};

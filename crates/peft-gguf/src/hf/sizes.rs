//! The sizes of a model, as its metadata and tensors say.

use super::HfError;
use super::keys::Keys;
use crate::GgufModel;

/// Sizes that all architectures have.
pub(super) struct Sizes {
    pub(super) vocabulary: u64,
    pub(super) hidden: u64,
    pub(super) blocks: u64,
    pub(super) heads: u64,
    pub(super) kv_heads: u64,
    /// The width of a head.
    pub(super) head: u64,
    pub(super) feed_forward: u64,
    pub(super) context: u64,
}

impl Sizes {
    pub(super) fn read(model: &GgufModel, keys: Keys<'_>) -> Result<Self, HfError> {
        let hidden = keys.size("embedding_length")?;
        let heads = keys.size("attention.head_count")?;
        Ok(Self {
            vocabulary: vocabulary(model, keys)?,
            hidden,
            blocks: keys.size("block_count")?,
            heads,
            kv_heads: kv_heads(keys, heads)?,
            head: head(keys, hidden, heads)?,
            feed_forward: keys.size("feed_forward_length")?,
            context: keys.size("context_length")?,
        })
    }
}

/// The number of heads of keys, which is that of queries where the file does not say.
pub(super) fn kv_heads(keys: Keys<'_>, heads: u64) -> Result<u64, HfError> {
    Ok(keys
        .size_if_any("attention.head_count_kv")?
        .unwrap_or(heads))
}

/// Rows of the token table. llama.cpp goes by them too: `vocab_size` is there for files without a tokenizer, and may count other tokens.
fn vocabulary(model: &GgufModel, keys: Keys<'_>) -> Result<u64, HfError> {
    const TABLE: &str = "token_embd.weight";
    match keys.size_if_any("vocab_size")? {
        Some(size) if !model.contains(TABLE) => Ok(size),
        _ => Ok(model.tensor(TABLE)?.rows()),
    }
}

/// The width of a head, which `config.json` has once for queries, keys and values.
fn head(keys: Keys<'_>, hidden: u64, heads: u64) -> Result<u64, HfError> {
    let width = match keys.size_if_any("attention.key_length")? {
        Some(width) => width,
        None if hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let what = keys.full("attention.head_count");
            let supported = format!("a divisor of {hidden}, the width of the model");
            return Err(keys.unsupported(what, heads, supported));
        }
    };
    match keys.size_if_any("attention.value_length")? {
        Some(values) if values != width => {
            let what = keys.full("attention.value_length");
            Err(keys.unsupported(what, values, format!("{width}, as of keys")))
        }
        _ => Ok(width),
    }
}

//! Byte-level BPE: GPT-2 and most models since Llama 3.

use serde_json::json;

use super::vocabulary::Vocabulary;
use super::{Sections, TokenizerError, merges, pre, with};
use crate::Metadata;

/// The sections of a tokenizer whose tokens are bytes, spelled as GPT-2 spells them.
pub(super) fn sections(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
) -> Result<Sections, TokenizerError> {
    let words = pre::Words::read(metadata)?;
    let small = json!({
            "type": "BPE",
            "dropout": null,
            // Every byte is a token, so that nothing is unknown.
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": words.ignores_merges(),
    });
    let large = [
        ("vocab", vocabulary.to_json().into()),
        ("merges", merges::listed(metadata, vocabulary)?.into()),
    ];
    let model = with(small, large);
    Ok(Sections {
        normalizer: words.normalizer(),
        pre_tokenizer: words.pre_tokenizer(),
        decoder: json!({
            "type": "ByteLevel",
            "add_prefix_space": false,
            "trim_offsets": true,
            "use_regex": true,
        }),
        model,
    })
}

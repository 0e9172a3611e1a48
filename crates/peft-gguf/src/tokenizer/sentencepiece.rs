//! BPE of SentencePiece, whose tokens are characters with `▁` for spaces: Llama 2, Mistral, Gemma.

use serde_json::{Value, json};

use super::special::{Special, flag};
use super::vocabulary::{Kind, Vocabulary};
use super::{Sections, TokenizerError, merges, with};
use crate::Metadata;

const PREFIX: &str = "tokenizer.ggml.add_space_prefix";
const TRIMS: &str = "tokenizer.ggml.remove_extra_whitespaces";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// A tokenizer with scores, the kind `llama`.
pub(super) fn scored(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
    special: &Special,
) -> Result<Sections, TokenizerError> {
    let merges = merges::scored(metadata, vocabulary)?;
    let prefix = flag(metadata, PREFIX)?.unwrap_or(true);
    sections(metadata, vocabulary, special, merges, prefix, "llama")
}

/// A tokenizer with merges, the kind `gemma4`.
pub(super) fn merged(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
    special: &Special,
) -> Result<Sections, TokenizerError> {
    let merges = merges::listed(metadata, vocabulary)?;
    let prefix = flag(metadata, PREFIX)?.unwrap_or(false);
    sections(metadata, vocabulary, special, merges, prefix, "gemma4")
}

fn sections(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
    special: &Special,
    merges: Vec<Value>,
    prefix: bool,
    kind: &'static str,
) -> Result<Sections, TokenizerError> {
    if metadata.contains(CHARSMAP) && !metadata.array(CHARSMAP)?.is_empty() {
        return Err(TokenizerError::Unsupported {
            key: CHARSMAP,
            model: kind,
        });
    }
    let trims = flag(metadata, TRIMS)?.unwrap_or(false);
    let mut unknown = vocabulary
        .iter()
        .filter(|(_, _, kind)| *kind == Kind::Unknown);
    let unknown = (special.unk.and_then(|id| vocabulary.text(id)))
        .or_else(|| unknown.next().map(|(_, text, _)| text));
    // Without a token for each byte, characters without a token are unknown.
    let bytes = (0..=u8::MAX).all(|byte| vocabulary.find(&format!("<0x{byte:02X}>")).is_some());
    let small = json!({
            "type": "BPE",
            "dropout": null,
            "unk_token": unknown,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": bytes,
            "ignore_merges": false,
    });
    let large = [
        ("vocab", vocabulary.to_json().into()),
        ("merges", merges.into()),
    ];
    let model = with(small, large);
    Ok(Sections {
        normalizer: normalizer(prefix, trims),
        pre_tokenizer: Value::Null,
        decoder: decoder(prefix),
        model,
    })
}

/// How SentencePiece prepares a text; a text behind a special token is prepared like one of its own, as by llama.cpp.
pub(crate) fn normalizer(prefix: bool, trims: bool) -> Value {
    let replace = |pattern: Value, content: &str| json!({ "type": "Replace", "pattern": pattern, "content": content });
    let mut steps = Vec::new();
    if trims {
        // Spaces only: other white space stays as it is.
        steps.push(replace(json!({ "Regex": r"\A +| +\z" }), ""));
        steps.push(replace(json!({ "Regex": " {2,}" }), " "));
    }
    if prefix {
        steps.push(json!({ "type": "Prepend", "prepend": "\u{2581}" }));
    }
    steps.push(replace(json!({ "String": " " }), "\u{2581}"));
    json!({ "type": "Sequence", "normalizers": steps })
}

/// How tokens become text again.
fn decoder(prefix: bool) -> Value {
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}

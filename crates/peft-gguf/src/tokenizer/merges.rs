//! The pairs of tokens that become one, best first.

use peft_format::file::input::{GGUF_TOKEN_LIMIT, TOKENIZER_LIMIT};
use serde_json::{Value, json};

use super::TokenizerError;
use super::vocabulary::{Kind, Vocabulary, same_length};
use crate::Metadata;

const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
/// Bytes of a merge in memory beside its texts.
const EACH: u64 = 64;

/// The merges that a file lists.
pub(super) fn listed(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
) -> Result<Vec<Value>, TokenizerError> {
    let texts = metadata.texts(MERGES)?;
    let mut merges = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let item = |expected| TokenizerError::Item {
            key: MERGES,
            index,
            expected,
            found: format!("{text:?}"),
        };
        let (left, right) =
            pair(text).ok_or_else(|| item("two tokens and a space between them"))?;
        let joined = format!("{left}{right}");
        let parts = [left, right, joined.as_str()];
        if parts.iter().all(|part| vocabulary.find(part).is_some()) {
            merges.push(json!([left, right]));
        } else if !parts.iter().all(|part| is_token(vocabulary, part)) {
            return Err(item("two tokens that are a third one together"));
        }
    }
    Ok(merges)
}

/// The halves of a merge. A half may start with a space.
pub(crate) fn pair(text: &str) -> Option<(&str, &str)> {
    let space = 1 + text.bytes().skip(1).position(|byte| byte == b' ')?;
    let (left, right) = (text.get(..space)?, text.get(space + 1..)?);
    (!right.is_empty()).then_some((left, right))
}

/// Whether a half is a token. Runs of spaces may be tokens that a user defined, which files spell with plain spaces; they are found before
/// anything is merged, so that merges that lead to them have no effect.
fn is_token(vocabulary: &Vocabulary<'_>, part: &str) -> bool {
    let plain = part.replace('\u{2581}', " ");
    vocabulary.find(part).is_some()
        || vocabulary
            .find(&plain)
            .is_some_and(|(_, kind)| kind == Kind::UserDefined)
}

/// The merges that scores stand for: of all pairs that are a token together, the one with the highest score is merged first.
pub(super) fn scored(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
) -> Result<Vec<Value>, TokenizerError> {
    let scores = metadata.f32s(SCORES)?;
    same_length(SCORES, vocabulary.len(), scores.len())?;
    let mut ranked = Vec::new();
    // A token of n characters may have n - 1 pairs of halves: all pairs can be longer than all tokens by their length.
    let (longest, mut room) = (GGUF_TOKEN_LIMIT.get(), TOKENIZER_LIMIT.get());
    let normal = |text: &str| {
        let found = vocabulary.find(text);
        found.filter(|(_, kind)| *kind == Kind::Normal)
    };
    for ((id, text, kind), score) in vocabulary.iter().zip(scores) {
        if score.is_nan() {
            return Err(TokenizerError::Item {
                key: SCORES,
                index: id,
                expected: "a number",
                found: score.to_string(),
            });
        }
        if kind != Kind::Normal {
            continue;
        }
        if text.len() as u64 > longest {
            return Err(TokenizerError::LongToken {
                index: id,
                bytes: text.len(),
                limit: GGUF_TOKEN_LIMIT,
            });
        }
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some((first, _)), Some((second, _))) = (normal(left), normal(right)) {
                ranked.push((*score, [id, first, second], left, right));
                room =
                    room.checked_sub(EACH + text.len() as u64)
                        .ok_or(TokenizerError::Merges {
                            limit: TOKENIZER_LIMIT,
                        })?;
            }
        }
    }
    // Pairs of equal scores in the order of their ids, as in the files that `transformers` converts.
    ranked.sort_unstable_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    let merges = ranked
        .into_iter()
        .map(|(_, _, left, right)| json!([left, right]));
    Ok(merges.collect())
}

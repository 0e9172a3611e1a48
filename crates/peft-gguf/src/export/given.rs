//! A `tokenizer.json`, as far as a GGUF file says it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;

use super::ExportError;
use crate::tokenizer::pre::{Words, plain_steps};
use crate::tokenizer::vocabulary::Kind as Token;
use crate::tokenizer::{merges, sentencepiece};

/// Kinds of tokenizers that files have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Byte-level BPE, with the name of the rule that cuts texts into words.
    Bytes(&'static str),
    /// BPE of SentencePiece: whether each text begins with a space, and whether there is a token for each byte.
    Scored { prefix: bool, bytes: bool },
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bytes(_) => "gpt2",
            Self::Scored { .. } => "llama",
        }
    }
}

/// A `tokenizer.json`.
pub(super) struct Given<'a> {
    json: &'a Json,
    pub(super) kind: Kind,
    pub(super) merges: Vec<[&'a str; 2]>,
    /// Ids of all tokens, those that were added included.
    pub(super) ids: HashMap<&'a str, u32>,
    /// Added tokens by their ids: the text, and whether it is a special one.
    added: BTreeMap<u32, (&'a str, bool)>,
}

fn lost(what: impl Into<String>) -> ExportError {
    ExportError::Tokenizer { what: what.into() }
}

impl<'a> Given<'a> {
    pub(super) fn read(json: &'a Json) -> Result<Self, ExportError> {
        let model = &json["model"];
        // Old files do not name the type.
        if model["type"].as_str().is_some_and(|kind| kind != "BPE") {
            return Err(lost(format!("a model of the type {}", model["type"])));
        }
        let vocabulary = model["vocab"]
            .as_object()
            .ok_or_else(|| lost("a model without `vocab`"))?;
        let id = |value: &Json| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let mut ids = HashMap::with_capacity(vocabulary.len());
        for (text, value) in vocabulary {
            let id = id(value).ok_or_else(|| lost(format!("the id {value}")))?;
            ids.insert(text.as_str(), id);
        }
        let mut added = BTreeMap::new();
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let (Some(id), Some(text)) = (id(&token["id"]), token["content"].as_str()) else {
                return Err(lost(format!("the added token {token}")));
            };
            ids.insert(text, id);
            added.insert(id, (text, token["special"].as_bool().unwrap_or(false)));
        }
        let merges = model["merges"].as_array().map_or(&[][..], Vec::as_slice);
        let merges: Option<Vec<[&str; 2]>> = merges.iter().map(pair).collect();
        Ok(Self {
            json,
            kind: kind(json)?,
            merges: merges.ok_or_else(|| lost("a merge that is no pair"))?,
            ids,
            added,
        })
    }

    /// Text and type of each id.
    pub(super) fn tokens(&self, rows: u32) -> Result<Vec<(String, Token)>, ExportError> {
        let unknown = self.json["model"]["unk_token"].as_str();
        let spare = |id: u32| (format!("[PAD{id}]"), Token::Unused);
        let mut tokens: Vec<(String, Token)> = (0..rows).map(spare).collect();
        for (text, id) in &self.ids {
            let place = tokens.get_mut(*id as usize);
            let place = place.ok_or_else(|| {
                lost(format!(
                    "the token {text:?} of the id {id}, for which the model has no row"
                ))
            })?;
            let kind = match self.added.get(id) {
                _ if unknown == Some(text) && self.kind.name() == "llama" => Token::Unknown,
                Some((_, true)) => Token::Control,
                Some((_, false)) => Token::UserDefined,
                None if self.kind.name() == "llama" && is_byte(text) => Token::Byte,
                None => Token::Normal,
            };
            *place = ((*text).to_owned(), kind);
        }
        Ok(tokens)
    }

    /// Scores by which pairs are merged in the order of the merges: of all tokens that two make together, the one that comes first in the
    /// list has the highest.
    pub(super) fn scores(&self, tokens: &[(String, Token)]) -> Vec<f32> {
        let mut rank = HashMap::with_capacity(self.merges.len());
        for [left, right] in &self.merges {
            let next = rank.len();
            rank.entry(format!("{left}{right}")).or_insert(next);
        }
        let last = -(rank.len() as f32) - 1.0;
        let score = |(text, kind): &(String, Token)| match (kind, rank.get(text)) {
            (Token::Normal, Some(at)) => -(*at as f32),
            (Token::Normal, None) => last,
            _ => 0.0,
        };
        tokens.iter().map(score).collect()
    }

    /// Whether texts get the tokens for beginning and end.
    pub(super) fn around(&self) -> Result<(bool, bool), ExportError> {
        let pieces = pieces(&self.json["post_processor"])?;
        let text = pieces.iter().position(|piece| piece.is_none());
        let at = text.ok_or_else(|| lost("a post-processor without the text"))?;
        match (at, pieces.len() - at - 1) {
            (0 | 1, 0 | 1) => Ok((at == 1, pieces.len() - at == 2)),
            _ => Err(lost("a post-processor that adds several tokens on a side")),
        }
    }

    /// Texts of the tokens by their ids, without those that stand for rows without a token.
    fn texts(&self) -> BTreeMap<u32, String> {
        let ids = self.ids.iter();
        ids.filter(|(text, id)| **text != format!("[PAD{id}]"))
            .map(|(text, id)| (*id, (*text).to_owned()))
            .collect()
    }

    /// Tokens that are found in a text before it is cut, and whether they are special. What stands for the unknown is one in files alone.
    fn found_first(&self) -> Vec<(String, bool)> {
        let unknown = self.json["model"]["unk_token"].as_str();
        let added = self.added.values();
        added
            .filter(|(text, _)| Some(*text) != unknown)
            .map(|(text, special)| ((*text).to_owned(), *special))
            .collect()
    }

    /// Refuses a tokenizer from whose metadata another one comes.
    pub(super) fn compare(&self, written: &Json, rows: u32) -> Result<(), ExportError> {
        let again = Given::read(written)?;
        let same = |what: &str, same: bool| match same {
            true => Ok(()),
            false => Err(lost(what)),
        };
        same(
            "the list of its tokens",
            self.texts() == again.texts() && again.ids.len() <= rows as usize,
        )?;
        same("the list of its merges", self.merges == again.merges)?;
        same("the way it cuts texts into words", self.kind == again.kind)?;
        same(
            "the list of its added tokens",
            self.found_first() == again.found_first(),
        )?;
        let around = (
            pieces(&self.json["post_processor"])?,
            pieces(&written["post_processor"])?,
        );
        same("what it adds to texts", around.0 == around.1)
    }
}

fn pair(merge: &Json) -> Option<[&str; 2]> {
    match merge {
        Json::String(text) => merges::pair(text).map(|(left, right)| [left, right]),
        _ => Some([merge.get(0)?.as_str()?, merge.get(1)?.as_str()?]),
    }
}

fn is_byte(text: &str) -> bool {
    let hex = text
        .strip_prefix("<0x")
        .and_then(|text| text.strip_suffix('>'));
    hex.is_some_and(|hex| hex.len() == 2 && u8::from_str_radix(hex, 16).is_ok())
}

/// What kind of tokenizer it is.
fn kind(json: &Json) -> Result<Kind, ExportError> {
    let model = &json["model"];
    let is_set = |field: &str| model[field].as_bool().unwrap_or(false);
    if !model["dropout"].is_null() {
        return Err(lost("dropout of merges"));
    }
    let spells_bytes = json["pre_tokenizer"].to_string().contains("\"ByteLevel\"");
    if !spells_bytes {
        return scored(json, is_set("byte_fallback"));
    }
    let rule = Words::name_of(
        &json["normalizer"],
        &json["pre_tokenizer"],
        is_set("ignore_merges"),
    );
    let rule = rule.ok_or_else(|| {
        lost(format!(
            "its way to cut texts into words (normalizer {}, pre_tokenizer {}, ignore_merges {})",
            json["normalizer"],
            json["pre_tokenizer"],
            is_set("ignore_merges")
        ))
    })?;
    Ok(Kind::Bytes(rule))
}

/// SentencePiece's BPE: spaces become `▁`, with one before each text or without.
fn scored(json: &Json, bytes: bool) -> Result<Kind, ExportError> {
    let given = plain_steps(&json["normalizer"]);
    let prefix = [true, false]
        .into_iter()
        .find(|prefix| plain_steps(&sentencepiece::normalizer(*prefix, false)) == given);
    // Newer files say the same by the step that cuts words.
    let words = &json["pre_tokenizer"];
    let prefix = match (prefix, words) {
        (Some(prefix), Json::Null) => Some(prefix),
        (None, words) if json["normalizer"].is_null() && words["type"] == "Metaspace" => {
            let whole = words["split"] == false && words["replacement"] == "\u{2581}";
            match words["prepend_scheme"].as_str() {
                Some("always") if whole => Some(true),
                Some("never") if whole => Some(false),
                _ => None,
            }
        }
        _ => None,
    };
    let prefix = prefix.ok_or_else(|| {
        lost(format!(
            "its way to prepare texts (normalizer {}, pre_tokenizer {words})",
            json["normalizer"]
        ))
    })?;
    Ok(Kind::Scored { prefix, bytes })
}

/// Special tokens before and behind a single text, which is `None`.
fn pieces(processor: &Json) -> Result<Vec<Option<String>>, ExportError> {
    let nothing = vec![None];
    match processor["type"].as_str() {
        None | Some("ByteLevel") => Ok(nothing),
        Some("Sequence") => {
            let steps = processor["processors"].as_array();
            let adding = steps
                .into_iter()
                .flatten()
                .filter(|step| step["type"] != "ByteLevel");
            match adding.collect::<Vec<_>>().as_slice() {
                [] => Ok(nothing),
                [one] => pieces(one),
                _ => Err(lost("several post-processors")),
            }
        }
        Some("TemplateProcessing") => {
            let single = processor["single"].as_array();
            let piece = |piece: &Json| piece["SpecialToken"]["id"].as_str().map(str::to_owned);
            Ok(single.into_iter().flatten().map(piece).collect())
        }
        Some(other) => Err(lost(format!("the post-processor {other}"))),
    }
}

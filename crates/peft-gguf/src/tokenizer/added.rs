//! The tokens that are found in a text before it is cut into words, and those that every text gets before and behind its own.

use serde_json::{Map, Value, json};

use super::special::Special;
use super::vocabulary::{Kind, Vocabulary};

/// The section `added_tokens`, in the order of ids, as the library wants it.
pub(super) fn tokens(vocabulary: &Vocabulary<'_>) -> Vec<Value> {
    let tokens = vocabulary.iter().filter_map(|(id, content, kind)| {
        let special = match kind {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => false,
            Kind::Normal | Kind::Unused | Kind::Byte => return None,
        };
        Some(json!({
            "id": id,
            "content": content,
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            // They are looked for in the text as it was written: files spell them with plain spaces.
            "normalized": false,
            "special": special,
        }))
    });
    tokens.collect()
}

/// The section `post_processor`: nothing where no token is added.
pub(super) fn post_processor(vocabulary: &Vocabulary<'_>, special: &Special) -> Value {
    let (before, behind) = (special.before(), special.behind());
    if before.is_none() && behind.is_none() {
        return Value::Null;
    }
    let piece = |id: Option<u32>, type_id: u8| {
        let text = id.and_then(|id| vocabulary.text(id));
        text.map(|text| json!({ "SpecialToken": { "id": text, "type_id": type_id } }))
    };
    let sequence = |name: &str, type_id: u8| {
        let text = json!({ "Sequence": { "id": name, "type_id": type_id } });
        [piece(before, type_id), Some(text), piece(behind, type_id)]
            .into_iter()
            .flatten()
    };
    let tokens = [before, behind].into_iter().flatten().filter_map(|id| {
        let text = vocabulary.text(id)?;
        let token = json!({ "id": text, "ids": [id], "tokens": [text] });
        Some((text.to_owned(), token))
    });
    json!({
        "type": "TemplateProcessing",
        "single": sequence("A", 0).collect::<Vec<_>>(),
        "pair": sequence("A", 0).chain(sequence("B", 1)).collect::<Vec<_>>(),
        "special_tokens": tokens.collect::<Map<_, _>>(),
    })
}

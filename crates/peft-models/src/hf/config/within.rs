//! Configurations of models of pictures and texts: the fields of the language model inside are those of the configuration for whoever reads,
//! and are written back to where they came from.

use serde_json::{Map, Value};

/// Where the fields of the language model are.
const TEXT: &str = "text_config";

/// Fields of the class of a language model that a file may leave out, by the type of the whole.
const ABSENT: [(&str, &[(&str, usize)]); 1] = [(
    "gemma3",
    &[
        ("vocab_size", 262_208),
        ("hidden_size", 2304),
        ("intermediate_size", 9216),
        ("num_hidden_layers", 26),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 256),
    ],
)];

/// Fields that say what the whole is.
const OF_WHOLE: [&str; 8] = [
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "model_type",
    "num_labels",
    "problem_type",
    "torch_dtype",
];

/// A field that both have.
const OF_BOTH: &str = "tie_word_embeddings";

/// The fields of the language model, and of the whole where these say nothing; `None` of any other configuration.
pub(super) fn language_model(whole: &Map<String, Value>) -> Option<Map<String, Value>> {
    let kind = whole.get("model_type")?.as_str()?;
    let (_, absent) = ABSENT.iter().find(|(known, _)| *known == kind)?;
    let text = whole.get(TEXT)?.as_object()?;
    let mut fields = whole.clone();
    fields.retain(|name, _| !name.ends_with("_config"));
    for (name, value) in text {
        if name != "model_type" && name != "architectures" {
            fields.insert(name.clone(), value.clone());
        }
    }
    for (name, value) in *absent {
        fields.entry(*name).or_insert_with(|| Value::from(*value));
    }
    Some(fields)
}

/// The whole, with the fields as they are now.
pub(super) fn whole_with(
    whole: &Map<String, Value>,
    fields: &Map<String, Value>,
) -> Map<String, Value> {
    let mut whole = whole.clone();
    let mut text = whole
        .get(TEXT)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (name, value) in fields {
        let name = name.as_str();
        let is_whole = OF_WHOLE.contains(&name);
        let in_text = text.contains_key(name) && name != "model_type";
        if is_whole || name == OF_BOTH || whole.contains_key(name) {
            whole.insert(name.to_owned(), value.clone());
        }
        if in_text || name == OF_BOTH || !whole.contains_key(name) {
            text.insert(name.to_owned(), value.clone());
        }
    }
    whole.insert(TEXT.to_owned(), Value::Object(text));
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn fields_of_the_language_model_are_found_and_go_back() {
        let whole = object(json!({
            "model_type": "gemma3", "architectures": ["A"], "eos_token_id": [1, 106], "torch_dtype": "bfloat16",
            "vision_config": {"hidden_size": 9},
            "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "torch_dtype": "bfloat16"},
        }));
        let mut fields = language_model(&whole).unwrap();
        assert_eq!(fields["hidden_size"], 2560);
        assert_eq!(fields["num_key_value_heads"], 4);
        assert_eq!(fields["model_type"], "gemma3");
        assert_eq!(fields["eos_token_id"], json!([1, 106]));
        fields.insert("vocab_size".into(), json!(70));
        fields.insert("torch_dtype".into(), json!("float32"));
        fields.insert("tie_word_embeddings".into(), json!(false));
        let written = whole_with(&whole, &fields);
        assert_eq!(written["vision_config"], whole["vision_config"]);
        assert_eq!(written["eos_token_id"], json!([1, 106]));
        assert!(!written.contains_key("vocab_size"));
        let text = object(written["text_config"].clone());
        assert_eq!(text["vocab_size"], 70);
        assert_eq!(text["model_type"], "gemma3_text");
        for place in [&written, &text] {
            assert_eq!(place["torch_dtype"], "float32");
            assert_eq!(place["tie_word_embeddings"], false);
        }
        // Read again, they are the same.
        assert_eq!(language_model(&written).unwrap(), {
            let mut fields = fields;
            fields.retain(|name, _| name != TEXT);
            fields
        });
    }

    #[test]
    fn other_configurations_have_nothing_inside() {
        for other in [
            json!({"model_type": "gemma3_text", "hidden_size": 8}),
            json!({"model_type": "gemma3"}),
            json!({"model_type": "llava", "text_config": {}}),
        ] {
            assert!(language_model(&object(other)).is_none());
        }
    }
}

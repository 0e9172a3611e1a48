//! Features of a LoRA config that change the result and that a plain loader must not ignore.

use std::fmt;

use serde_json::Value;

use super::{LORA, PeftConfig};

/// One feature that a plain LoRA loader cannot honour.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsupported {
    /// The config field.
    pub field: &'static str,
    /// What the file holds.
    pub value: Value,
    /// Why ignoring the field would give wrong results.
    pub reason: &'static str,
    /// What can be done instead.
    pub way_out: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` = {}: {}; {}",
            self.field, self.value, self.reason, self.way_out
        )
    }
}

const MERGE: &str = "merge the adapter in Python PEFT and use the merged model";
const RETRAIN: &str = "train again without this option, or merge the adapter in Python PEFT";

/// Field, whether a value uses the feature, reason, way out.
type Rule = (&'static str, fn(&Value) -> bool, &'static str, &'static str);

const RULES: [Rule; 15] = [
    ("lora_bias", is_true, "lora_B has a bias", MERGE),
    (
        "layer_replication",
        is_set,
        "the base model was stacked from copies of its layers",
        RETRAIN,
    ),
    (
        "target_parameters",
        is_set,
        "bare parameters such as fused experts are adapted",
        MERGE,
    ),
    (
        "trainable_token_indices",
        is_set,
        "single embedding rows were trained too",
        MERGE,
    ),
    (
        "megatron_config",
        is_set,
        "the layers are Megatron parallel layers",
        "convert the adapter in Python PEFT",
    ),
    (
        "use_qalora",
        is_true,
        "A acts on pooled groups of inputs",
        RETRAIN,
    ),
    (
        "alora_invocation_tokens",
        is_set,
        "the adapter is active only after its invocation tokens",
        RETRAIN,
    ),
    (
        "arrow_config",
        is_set,
        "a router mixes several adapters",
        "load one of the adapters by itself",
    ),
    (
        "use_bdlora",
        is_set,
        "the factors are block-diagonal",
        MERGE,
    ),
    (
        "kasa_config",
        is_set,
        "the base weights were truncated by an SVD",
        MERGE,
    ),
    (
        "velora_config",
        is_set,
        "training compresses activations and adds tensors",
        RETRAIN,
    ),
    (
        "monteclora_config",
        is_set,
        "training samples the weights and adds tensors",
        RETRAIN,
    ),
    (
        "ensure_weight_tying",
        is_true,
        "the adapters of tied layers are tied",
        RETRAIN,
    ),
    (
        "enable_lora",
        is_set,
        "merged linear layers of PEFT 0.2 store lora_B with three dimensions",
        MERGE,
    ),
    (
        "init_lora_weights",
        changes_base,
        "this initialisation changed the base weights",
        SAFE_FORM,
    ),
];

const SAFE_FORM: &str = "save the adapter again in Python PEFT with path_initial_model_for_weight_conversion, \
                         which writes plain LoRA";

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}

fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true)
}

/// Everything but the initialisations that leave the base as it is; an unknown name may do anything.
fn changes_base(value: &Value) -> bool {
    const HARMLESS: &str = "gaussian eva orthogonal mica";
    let is_harmless = |name: &str| {
        HARMLESS
            .split(' ')
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    value.as_str().is_some_and(|name| !is_harmless(name))
}

impl PeftConfig {
    /// Every feature of this config that a loader of `W + s * B * A` would silently get wrong. Empty for plain
    /// LoRA and rsLoRA; `use_dora` is not listed, because the tensors show it as well.
    pub fn unsupported_for_lora(&self) -> Vec<Unsupported> {
        let mut found = Vec::new();
        if self.peft_type != LORA {
            found.push(Unsupported {
                field: "peft_type",
                value: Value::String(self.peft_type.clone()),
                reason: "this is another method than LoRA",
                way_out: "use a loader for that method, or convert the adapter to LoRA in Python PEFT",
            });
        }
        for problem in &self.unreadable {
            found.push(Unsupported {
                field: problem.field,
                value: self.raw.get(problem.field).cloned().unwrap_or(Value::Null),
                reason: "the field does not have the type it has in LoRA",
                way_out: "use a loader for that method, or convert the adapter to LoRA in Python PEFT",
            });
        }
        let mut fields = self.raw.clone();
        fields.insert("bias".to_owned(), Value::String(self.bias.clone()));
        fields.insert("lora_bias".to_owned(), Value::Bool(self.lora_bias));
        fields.insert(
            "init_lora_weights".to_owned(),
            self.init_lora_weights.clone(),
        );
        for (field, used, reason, way_out) in RULES {
            if let Some(value) = fields.get(field).filter(|value| used(value)) {
                found.push(Unsupported {
                    field,
                    value: value.clone(),
                    reason,
                    way_out,
                });
            }
        }
        found
    }
}

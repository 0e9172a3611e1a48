//! OFT's fields of `adapter_config.json`, and the folders of older versions that mean something else.

use peft_core::file::PeftConfig;
use peft_core::options::{as_map, peft_fields, with_rare};
use peft_core::{MethodEntry, PeftError};
use serde_json::{Map, Value, json};

use super::{OFT, Oft};

/// What files call the type.
pub(super) const PEFT_TYPE: &str = "OFT";
/// The field that says how many inputs a run has, and the option.
const BLOCK_SIZE: &str = "oft_block_size";
/// The field that says whether the series is used, and the option.
const SERIES: &str = "use_cayley_neumann";
/// Settings that PEFT's configurations of OFT have no field for.
const RARE: [&str; 1] = ["rank_pattern"];

/// What a configuration says.
///
/// # Errors
/// [`PeftError::Unsupported`] for folders of versions whose tensors or series were others, and [`PeftError::Option`] for what PEFT refuses too.
pub(super) fn read(config: &PeftConfig) -> Result<Oft, PeftError> {
    let known = as_map(&Oft::default());
    let mut own = config.raw.clone();
    own.retain(|name, value| known.contains_key(name) && !value.is_null());
    if !own.contains_key(BLOCK_SIZE) {
        return Err(unsupported(format!(
            "`{BLOCK_SIZE}` is missing: the folder is of a PEFT before 0.14, whose rotations are stored otherwise; train the adapter again"
        )));
    }
    if own.get(SERIES) == Some(&Value::Bool(true)) && is_before_series(config) {
        return Err(unsupported(format!(
            "`{SERIES}` = true: the series of PEFT before 0.18 is another one; merge the adapter with the PEFT that trained it, or train it again"
        )));
    }
    let oft: Oft = MethodEntry::parse(OFT.id, &own)?;
    let runs = config.raw.get("r").and_then(Value::as_u64).unwrap_or(0);
    if (runs == 0) == (oft.oft_block_size == 0) {
        return Err(PeftError::Option {
            method: OFT.id,
            option: BLOCK_SIZE.into(),
            problem: format!(
                "expected either `r` or `{BLOCK_SIZE}` above 0, found r = {runs} and {BLOCK_SIZE} = {}",
                oft.oft_block_size
            ),
        });
    }
    Ok(oft)
}

fn unsupported(problem: String) -> PeftError {
    PeftError::Unsupported {
        problems: vec![problem],
    }
}

/// Whether a PEFT before 0.18 wrote the configuration, the first to name its version there.
fn is_before_series(config: &PeftConfig) -> bool {
    let version = config.raw.get("peft_version").and_then(Value::as_str);
    let mut parts = version.unwrap_or_default().split('.');
    let mut part = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (part(), part()) {
        (Some(major), Some(minor)) => (major, minor) < (0, 18),
        _ => true,
    }
}

pub(super) fn fields(oft: &Oft) -> Map<String, Value> {
    let others = [&RARE[..], &["alpha_pattern", "lora_alpha"]].concat();
    let mut fields = peft_fields(oft, &others);
    let mut put = |field: &str, value: Value| fields.insert(field.to_owned(), value);
    put("peft_type", json!(PEFT_TYPE));
    put("init_weights", json!(true));
    put("module_dropout", json!(0.0));
    if oft.use_cayley_neumann {
        // PEFT takes a folder with the series and no version for one of the older series.
        put("peft_version", json!("0.18.0"));
    }
    if oft.oft_block_size > 0 {
        put("r", json!(0));
    }
    fields
}

pub(super) fn fields_beside(oft: &Oft, config: &PeftConfig) -> Map<String, Value> {
    with_rare(fields(oft), &RARE, config)
}

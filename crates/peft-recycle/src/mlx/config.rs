//! `adapter_config.json` of mlx-lm.

use std::io;
use std::path::Path;

use peft_format::file::input::{CONFIG_LIMIT, read_plain};
use peft_format::file::{CONFIG_FILE, FileError};
use serde_json::{Map, Value, json};

use super::MlxError;

/// What of the configuration an adapter needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MlxConfig {
    /// `fine_tune_type` is `dora` and not `lora`; older configurations have `use_dora`.
    pub(super) dora: bool,
    /// `lora_parameters.rank`.
    pub(super) rank: usize,
    /// `lora_parameters.scale`.
    pub(super) scale: f64,
    /// `lora_parameters.alpha` of older configurations.
    pub(super) alpha: Option<f64>,
    /// `lora_parameters.dropout`.
    pub(super) dropout: f64,
    /// `model`.
    pub(super) model: Option<String>,
}

impl MlxConfig {
    /// Reads the configuration of a folder. Fields that an adapter does not need (those of the training) are ignored.
    pub(super) fn read(folder: &Path) -> Result<Self, MlxError> {
        let path = folder.join(CONFIG_FILE);
        let bytes = read_plain(&path, CONFIG_LIMIT).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FileError::Missing {
                path: path.clone(),
                hint: "the rank and the scale of the adapter belong there, as in \
                       {\"lora_parameters\": {\"rank\": 8, \"scale\": 20.0, \"dropout\": 0.0}}",
            },
            _ => FileError::Io {
                action: "read",
                path: path.clone(),
                source,
            },
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|source| FileError::Json {
            path: path.clone(),
            source,
        })?;
        Self::parse(&value).map_err(|problems| MlxError::Config { path, problems })
    }

    fn parse(value: &Value) -> Result<Self, Vec<String>> {
        if value.get("peft_type").is_some() {
            return Err(vec!["this is an adapter of PEFT already".to_owned()]);
        }
        let mut fields = Fields {
            parameters: value.get("lora_parameters").unwrap_or(&Value::Null),
            problems: Vec::new(),
        };
        let dora = fields.is_dora(value);
        let is_share: fn(f64) -> bool = |share| (0.0..=1.0).contains(&share);
        let config = Self {
            dora,
            scale: fields.number("scale", "a number", f64::is_finite),
            alpha: fields.optional("alpha", "a number", f64::is_finite),
            dropout: fields
                .optional("dropout", "a number from 0 to 1", is_share)
                .unwrap_or(0.0),
            rank: fields.rank(),
            model: value
                .get("model")
                .and_then(Value::as_str)
                .map(str::to_owned),
        };
        if fields.problems.is_empty() {
            Ok(config)
        } else {
            Err(fields.problems)
        }
    }

    /// The fields to write, for these modules.
    pub(super) fn to_map(&self, sites: &[String]) -> Map<String, Value> {
        let mut map = Map::new();
        let kind = if self.dora { "dora" } else { "lora" };
        map.insert("fine_tune_type".to_owned(), json!(kind));
        map.insert("num_layers".to_owned(), json!(blocks(sites)));
        let parameters = json!({
            "rank": self.rank,
            "scale": self.scale,
            "dropout": self.dropout,
            "keys": sites,
        });
        map.insert("lora_parameters".to_owned(), parameters);
        if let Some(model) = &self.model {
            map.insert("model".to_owned(), json!(model));
        }
        map
    }
}

/// The fields of `lora_parameters`, and what is wrong with a configuration.
struct Fields<'a> {
    parameters: &'a Value,
    problems: Vec<String>,
}

impl Fields<'_> {
    /// Whether the adapter is one of DoRA; older configurations say `use_dora`.
    fn is_dora(&mut self, config: &Value) -> bool {
        let Some(kind) = config.get("fine_tune_type") else {
            return config.get("use_dora") == Some(&Value::Bool(true));
        };
        if !matches!(kind.as_str(), Some("lora" | "dora")) {
            self.problems.push(format!(
                "`fine_tune_type`: expected lora or dora, found {kind}: a fully trained model is no adapter"
            ));
        }
        kind == "dora"
    }

    fn field(&self, name: &str) -> &Value {
        self.parameters.get(name).unwrap_or(&Value::Null)
    }

    fn number(&mut self, name: &str, expected: &str, fits: fn(f64) -> bool) -> f64 {
        let found = self.field(name);
        let number = found.as_f64().filter(|number| fits(*number));
        if number.is_none() {
            let problem = format!("`lora_parameters.{name}`: expected {expected}, found {found}");
            self.problems.push(problem);
        }
        number.unwrap_or_default()
    }

    fn optional(&mut self, name: &str, expected: &str, fits: fn(f64) -> bool) -> Option<f64> {
        (!self.field(name).is_null()).then(|| self.number(name, expected, fits))
    }

    fn rank(&mut self) -> usize {
        let found = self.field("rank");
        let rank = found.as_u64().and_then(|rank| usize::try_from(rank).ok());
        let rank = rank.filter(|rank| *rank > 0);
        if rank.is_none() {
            let problem =
                format!("`lora_parameters.rank`: expected an integer of at least 1, found {found}");
            self.problems.push(problem);
        }
        rank.unwrap_or(1)
    }
}

/// How many blocks the modules are in, by the first number in their paths.
fn blocks(sites: &[String]) -> usize {
    let number = |site: &String| site.split('.').find_map(|part| part.parse::<usize>().ok());
    let mut numbers: Vec<usize> = sites.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_configuration_is_named() {
        let value = json!({"fine_tune_type": "full", "lora_parameters": {"rank": 0, "dropout": 2}});
        let problems = MlxConfig::parse(&value).unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(MlxConfig::parse(&json!([1])).unwrap_err().len() >= 2);
        let problems = MlxConfig::parse(&json!({"peft_type": "LORA"})).unwrap_err();
        assert!(problems[0].contains("already"));
    }

    #[test]
    fn what_was_written_is_read() {
        let sites = ["model.layers.3.q", "model.layers.11.q", "lm_head"].map(str::to_owned);
        for dora in [false, true] {
            let config = MlxConfig {
                dora,
                rank: 4,
                scale: 2.5,
                alpha: None,
                dropout: 0.1,
                model: Some("a/b".to_owned()),
            };
            let map = config.to_map(&sites);
            assert_eq!(map["num_layers"], 2);
            assert_eq!(MlxConfig::parse(&Value::Object(map)).unwrap(), config);
        }
        let old =
            json!({"use_dora": true, "lora_parameters": {"rank": 8, "scale": 2, "alpha": 16}});
        let old = MlxConfig::parse(&old).unwrap();
        assert_eq!((old.dora, old.scale, old.alpha), (true, 2.0, Some(16.0)));
        let without = json!({"lora_parameters": {"rank": 8, "scale": 20}});
        let config = MlxConfig::parse(&without).unwrap();
        assert_eq!(
            (config.dora, config.scale, config.dropout),
            (false, 20.0, 0.0)
        );
    }
}

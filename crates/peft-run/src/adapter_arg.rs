//! Adapters on the command line: folders with names, and weights of a sum.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Error;
use crate::run::ADAPTER;

/// What the base model without an adapter is called beside named adapters.
pub const BASE: &str = "base";

/// An adapter folder and the name it goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterArg {
    /// Name in the model and in results.
    pub name: String,
    /// The folder.
    pub dir: PathBuf,
}

impl AdapterArg {
    /// The folder of a model's only adapter.
    #[must_use]
    pub fn only(dir: &Path) -> Self {
        Self {
            name: ADAPTER.to_owned(),
            dir: dir.to_owned(),
        }
    }
}

impl FromStr for AdapterArg {
    type Err = String;

    /// `FOLDER` or `NAME=FOLDER`; a folder that exists is never split.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, dir)) if !Path::new(text).exists() => {
                if name.is_empty() || dir.is_empty() || name == BASE {
                    return Err(format!(
                        "expected FOLDER or NAME=FOLDER with a name other than `{BASE}`"
                    ));
                }
                Ok(Self {
                    name: name.to_owned(),
                    dir: dir.into(),
                })
            }
            _ => Ok(Self::only(Path::new(text))),
        }
    }
}

/// The mistake of asking for an adapter that is not there.
pub(crate) fn unknown_adapter<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::UnknownAdapter {
        name: name.to_owned(),
        base: BASE,
        known: known
            .filter(|known| *known != BASE)
            .map(str::to_owned)
            .collect(),
    }
}

/// How much an adapter counts in a sum of several.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightArg {
    /// Name of the adapter.
    pub name: String,
    /// Factor of its delta.
    pub weight: f64,
}

impl FromStr for WeightArg {
    type Err = String;

    /// `NAME` for a weight of 1, or `NAME=WEIGHT`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = match text.split_once('=') {
            None => (text, 1.0),
            Some((name, weight)) => (name, finite(weight)?),
        };
        if name.is_empty() {
            return Err("expected NAME or NAME=WEIGHT".into());
        }
        Ok(Self {
            name: name.to_owned(),
            weight,
        })
    }
}

/// An adapter folder and how much it counts in a sum of several.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedFolder {
    /// The folder.
    pub dir: PathBuf,
    /// Factor of its update.
    pub weight: f64,
}

impl FromStr for WeightedFolder {
    type Err = String;

    /// `FOLDER` for a weight of 1, or `FOLDER=WEIGHT`; a folder that exists is never split.
    fn from_str(text: &str) -> Result<Self, String> {
        let (dir, weight) = match text.rsplit_once('=') {
            Some((dir, weight)) if !Path::new(text).exists() => (dir, finite(weight)?),
            _ => (text, 1.0),
        };
        Ok(Self {
            dir: dir.into(),
            weight,
        })
    }
}

fn finite(text: &str) -> Result<f64, String> {
    let weight: f64 = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
    if weight.is_finite() {
        Ok(weight)
    } else {
        Err(format!("`{text}`: expected a finite weight"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_have_a_name() {
        let parse = |text: &str| text.parse::<AdapterArg>();
        assert_eq!(
            parse("runs/a").unwrap(),
            AdapterArg::only(Path::new("runs/a"))
        );
        let named = parse("sst2=runs/a=1").unwrap();
        assert_eq!(
            (named.name.as_str(), named.dir),
            ("sst2", "runs/a=1".into())
        );
        for bad in ["=runs/a", "a=", "base=runs/a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_with_an_equals_sign_is_not_split() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("lr=1");
        std::fs::create_dir(&dir).unwrap();
        let parsed: AdapterArg = dir.to_str().unwrap().parse().unwrap();
        assert_eq!(parsed, AdapterArg::only(&dir));
        let weighted = |text: &str| text.parse::<WeightedFolder>().unwrap();
        let text = dir.to_str().unwrap();
        assert_eq!(
            weighted(text),
            WeightedFolder {
                dir: dir.clone(),
                weight: 1.0
            }
        );
        let half = weighted(&format!("{text}=0.5"));
        assert_eq!(half, WeightedFolder { dir, weight: 0.5 });
    }

    #[test]
    fn weights_are_numbers() {
        let parse = |text: &str| text.parse::<WeightArg>();
        assert_eq!(parse("a").unwrap().weight, 1.0);
        assert_eq!(parse("a=-0.5").unwrap().weight, -0.5);
        for bad in ["a=x", "a=inf", "=1", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

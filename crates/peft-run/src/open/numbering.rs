//! How the labels of a run are numbered, and what becomes of the head that the model has.

use std::collections::HashSet;
use std::path::Path;

use peft_models::ModelConfig;
use peft_models::hf::HeadLabels;
use peft_train::data::LabelSet;

use super::labels::{labels_in_adapter, read_labels, trained_outputs};
use crate::settings::{RunConfig, TaskKind};
use crate::{Error, LabelError, Result};

/// Labels in the order of the outputs, and the head that has those outputs.
#[derive(Debug)]
pub struct Numbering {
    /// The labels.
    pub labels: LabelSet,
    /// The head.
    pub head: HeadLabels,
}

/// Numbers the labels `found` in the training data as the model does, or as the adapter that the run starts from, where they are its
/// labels; else in sorted order, with a fresh head.
///
/// # Errors
/// When there is one label alone, or the adapter to start from answers others.
pub fn number(config: &RunConfig, found: LabelSet) -> Result<Numbering> {
    if found.len() < 2 {
        let way_out = match config.task {
            TaskKind::ImageCls => "is there a folder per class?",
            _ => "for numbers to be predicted give --task regression",
        };
        return Err(Error::Labels(LabelError::OneAlone {
            path: config.data.train.clone(),
            found: found.examples(),
            way_out,
        }));
    }
    for (one, other) in found.alike() {
        log::warn!(
            "the labels `{one}` and `{other}` differ in the case of letters alone and are two classes"
        );
    }
    if let Some(start) = &config.adapter.start
        && let Some(outputs) = labels_in_adapter(config.model_dir(), start)?
    {
        return as_adapter(start, outputs, found);
    }
    as_model(config.model_dir(), found)
}

fn as_adapter(start: &Path, outputs: usize, found: LabelSet) -> Result<Numbering> {
    let known = read_labels(start)?;
    let labels = match &known {
        Some(known) => by_names(known, &found),
        None if found.len() == outputs => {
            let names = found.examples();
            log::info!(
                "{} names no labels; those of the data are numbered in sorted order: {names}",
                start.display()
            );
            Some(found.clone())
        }
        None => None,
    };
    let Some(labels) = labels.filter(|labels| labels.len() == outputs) else {
        let known = known.map_or_else(|| format!("{outputs} labels"), |known| known.examples());
        return Err(Error::Usage(format!(
            "adapter.start: the head in {} answers {known}, the data have {}; start from an adapter of the same labels, or train without \
             --start",
            start.display(),
            found.examples()
        )));
    };
    let head = HeadLabels::Count(labels.len());
    Ok(Numbering { labels, head })
}

fn as_model(model: &Path, found: LabelSet) -> Result<Numbering> {
    let config = ModelConfig::read(model)?;
    let known = LabelSet::from_names(config.labels().to_vec()).ok();
    let trained = trained_outputs(model)?;
    let common = known.as_ref().and_then(|known| common(known, &found));
    let Some(outputs) = trained else {
        // Names without a head decide the order alone, and only where none is left over.
        let labels = common.filter(|common| common.len() == found.len());
        let labels = labels.unwrap_or(found);
        let head = HeadLabels::Count(labels.len());
        return Ok(Numbering { labels, head });
    };
    if let Some(labels) = common.filter(|labels| labels.len() == outputs) {
        log::info!(
            "the model has a head for these labels; it is trained further, with its order: {}",
            labels.examples()
        );
        let head = HeadLabels::Count(outputs);
        return Ok(Numbering { labels, head });
    }
    let answers = known.map_or_else(|| format!("{outputs} labels"), |known| known.examples());
    log::info!(
        "the head of the model answers {answers}; the labels of the data are {}: the head starts afresh",
        found.examples()
    );
    let head = HeadLabels::Fresh(found.len());
    Ok(Numbering {
        labels: found,
        head,
    })
}

/// The labels of a head in its order, where those of the data are among them: by their names, or as the numbers of the outputs.
pub(super) fn common(known: &LabelSet, found: &LabelSet) -> Option<LabelSet> {
    let named = by_names(known, found).or_else(|| by_numbers(known, found));
    named.map(LabelSet::with_ids)
}

/// The labels of a head in its order and in the spelling of the data, where those of the data are among them by their names, in any case
/// of letters.
pub(super) fn by_names(known: &LabelSet, found: &LabelSet) -> Option<LabelSet> {
    let by_case = |name: &str| {
        let same = |(_, known): &(usize, &str)| known.eq_ignore_ascii_case(name);
        let mut same = known.names().enumerate().filter(same);
        let first = same.next();
        first.filter(|_| same.next().is_none()).map(|(id, _)| id)
    };
    let mut names: Vec<String> = known.names().map(str::to_owned).collect();
    let mut met = HashSet::new();
    for name in found.names() {
        let id = known.id(name).or_else(|| by_case(name))?;
        if !met.insert(id) {
            return None;
        }
        // A number that stands for a label is no spelling of it.
        if known.id(name).is_none() || name.parse::<usize>().is_err() {
            name.clone_into(&mut names[id]);
        }
    }
    let spelt = LabelSet::from_names(names).ok()?;
    Some(match known.takes_ids() {
        true => spelt.with_ids(),
        false => spelt,
    })
}

/// The same where those of the data are numbers of outputs. They count from 0, as everywhere; without a 0 they might be those of another
/// count.
fn by_numbers(known: &LabelSet, found: &LabelSet) -> Option<LabelSet> {
    let id = |name: &str| name.parse().ok().filter(|id: &usize| *id < known.len());
    let ids: Option<Vec<usize>> = found.names().map(id).collect();
    ids.filter(|ids| ids.contains(&0))?;
    let unnamed = (0..known.len()).map(|id| format!("LABEL_{id}"));
    if known.names().eq(unnamed) {
        let numbers = (0..known.len()).map(|id| id.to_string());
        return LabelSet::from_names(numbers.collect()).ok();
    }
    Some(known.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    fn among(known: &[&str], found: &[&str]) -> Option<Vec<String>> {
        let known = LabelSet::from_names(known.iter().map(ToString::to_string).collect()).unwrap();
        let found = LabelSet::of(found.iter().map(ToString::to_string));
        let labels = common(&known, &found)?;
        for name in found.names() {
            assert!(labels.id(name).is_some(), "{name}");
        }
        Some(labels.names().map(str::to_owned).collect())
    }

    #[test]
    fn names_of_the_head_keep_its_order_and_the_spelling_of_the_data() {
        let known = ["positive", "negative", "neutral"];
        assert_eq!(
            among(&known, &["negative", "positive", "neutral"]).unwrap(),
            known
        );
        assert_eq!(among(&known, &["negative", "positive"]).unwrap(), known);
        let upper = among(&known, &["NEGATIVE", "Positive"]).unwrap();
        assert_eq!(upper, ["Positive", "NEGATIVE", "neutral"]);
    }

    #[test]
    fn numbers_from_zero_are_the_outputs_of_the_head() {
        let known = ["positive", "negative", "neutral"];
        assert_eq!(among(&known, &["0", "1", "2"]).unwrap(), known);
        assert_eq!(among(&known, &["0", "2"]).unwrap(), known);
        assert_eq!(
            among(&["LABEL_0", "LABEL_1"], &["0", "1"]).unwrap(),
            ["0", "1"]
        );
        assert_eq!(among(&["1", "2"], &["1", "2"]).unwrap(), ["1", "2"]);
    }

    #[test]
    fn other_labels_have_nothing_in_common_with_the_head() {
        let known = ["positive", "negative", "neutral"];
        for found in [
            &["ham", "spam"][..],
            &["positive", "Positive"],
            &["1", "2"],
            &["0", "3"],
            &["positive", "mixed"],
        ] {
            assert!(among(&known, found).is_none(), "{found:?}");
        }
        assert!(among(&["LABEL_0", "LABEL_1"], &["neg", "pos"]).is_none());
    }
}

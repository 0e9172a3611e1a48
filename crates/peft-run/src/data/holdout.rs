//! A share of the training data set aside to judge by.

use peft_train::data::{FileAccount, Target, Targets};
use peft_train::task::ExampleSet;

use super::{label_counts, sample};
use crate::settings::RunConfig;
use crate::{Error, Result};

/// Examples to train on, and those to judge by: about the share that was asked for, the same of each label. A label that stands only once
/// stays with the former. A function of the seed.
///
/// # Errors
/// When one of the two would be empty.
pub fn held_out(config: &RunConfig, classes: &[usize]) -> Result<Option<(Vec<usize>, Vec<usize>)>> {
    let Some(share) = config.data.valid_share else {
        return Ok(None);
    };
    if config.data.valid.is_some() {
        return Err(Error::Usage(
            "--valid-share and --valid: a run is judged by one of them; leave the other out".into(),
        ));
    }
    let mut counts = std::collections::HashMap::new();
    classes
        .iter()
        .for_each(|class| *counts.entry(*class).or_insert(0) += 1);
    let several: Vec<usize> = (0..classes.len())
        .filter(|at| counts[&classes[*at]] > 1)
        .collect();
    let of_several: Vec<usize> = several.iter().map(|at| classes[*at]).collect();
    let chosen = peft_prune::stratified(&of_several, share, config.train.seed);
    let valid: Vec<usize> = chosen.iter().map(|at| several[*at]).collect();
    let mut train: Vec<usize> = (0..classes.len()).collect();
    train.retain(|at| valid.binary_search(at).is_err());
    if valid.is_empty() || train.is_empty() {
        return Err(Error::Usage(format!(
            "--valid-share {share}: {} training examples are too few to set some aside; give --valid",
            classes.len()
        )));
    }
    log::info!(
        "{} of {} training examples set aside to judge by (--valid-share {share})",
        valid.len(),
        classes.len()
    );
    Ok(Some((train, valid)))
}

/// Training data without what is set aside to judge by, and then without what a sample leaves out; and what to judge by.
///
/// # Errors
/// As [`held_out`].
pub fn divided<S: ExampleSet>(
    config: &RunConfig,
    targets: Targets<'_>,
    (mut train, mut valid): (S, Option<S>),
    account: &mut FileAccount,
    subset: impl Fn(&S, &[usize]) -> S,
) -> Result<(S, Option<S>)> {
    if let Some((learnt, judged)) = held_out(config, &classes(train.targets()))? {
        valid = Some(subset(&train, &judged));
        train = subset(&train, &learnt);
        let counts = label_counts(targets, train.targets());
        account.set_aside(train.targets().len(), counts);
    }
    if let Some(ratio) = config.data.sample {
        let chosen = sample(train.targets(), ratio, config.train.seed);
        train = subset(&train, &chosen);
        let counts = label_counts(targets, train.targets());
        account.sampled(train.targets().len(), counts);
    }
    Ok((train, valid))
}

/// The class of every example; one for all where there are none.
#[must_use]
pub(super) fn classes(targets: &[Target]) -> Vec<usize> {
    let class = |target: &Target| match target {
        Target::Class(class) => *class,
        _ => 0,
    };
    targets.iter().map(class).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    fn split(share: f64, classes: &[usize]) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut config = RunConfig::default();
        config.data.valid_share = Some(share);
        Ok(held_out(&config, classes)?.unwrap())
    }

    #[test]
    fn every_label_is_in_both_parts_but_for_one_that_stands_once() {
        let classes: Vec<usize> = (0..101)
            .map(|at| if at == 7 { 2 } else { at % 2 })
            .collect();
        let (train, valid) = split(0.2, &classes).unwrap();
        assert_eq!((train.len(), valid.len()), (81, 20));
        let of = |part: &[usize], class| part.iter().filter(|at| classes[**at] == class).count();
        assert_eq!((of(&valid, 0), of(&valid, 1), of(&valid, 2)), (10, 10, 0));
        let mut all = [train, valid].concat();
        all.sort_unstable();
        assert_eq!(all, (0..101).collect::<Vec<_>>());
    }

    #[test]
    fn too_few_examples_are_said_so() {
        let error = split(0.1, &[0, 1]).unwrap_err().to_string();
        assert!(error.contains("--valid"), "{error}");
    }
}

//! Target selection against what Hugging Face PEFT selects (`golden/targets.json`), and its invariants.

use std::collections::BTreeMap;

use peft_format::Site;
use peft_format::file::PeftConfig;
use peft_format::target::{
    Selection, Target, TargetError, TargetRules, expand_all_linear, is_saved_module,
    minimal_suffixes, pattern_value,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Golden {
    paths: BTreeMap<String, Vec<String>>,
    select: Vec<SelectCase>,
    pattern: Vec<PatternCase>,
    all_linear: Vec<AllLinearCase>,
    minimal: Vec<MinimalCase>,
    saved: Vec<SavedCase>,
}

#[derive(Deserialize)]
struct SelectCase {
    config: Map<String, Value>,
    paths: String,
    matched: Vec<usize>,
}

#[derive(Deserialize)]
struct PatternCase {
    keys: Vec<String>,
    paths: String,
    found: Vec<Option<usize>>,
}

#[derive(Deserialize)]
struct AllLinearCase {
    model: String,
    linears: Vec<String>,
    heads: Vec<String>,
    chosen: Vec<String>,
}

#[derive(Deserialize)]
struct MinimalCase {
    selected: Vec<String>,
    others: Vec<String>,
    suffixes: Vec<String>,
}

#[derive(Deserialize)]
struct SavedCase {
    names: Vec<String>,
    paths: Vec<String>,
    saved: Vec<String>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/targets.json")).expect("the committed file is valid")
}

fn sites<S: AsRef<str>>(paths: &[S]) -> Vec<Site> {
    paths
        .iter()
        .map(|path| Site::new(path.as_ref(), 4, 4))
        .collect()
}

fn refs(paths: &[String]) -> Vec<&str> {
    paths.iter().map(String::as_str).collect()
}

fn selected(rules: &TargetRules, paths: &[String], saved: &[String]) -> Vec<usize> {
    match rules.select(&sites(paths), &[], saved) {
        Ok(selection) => selection.matched,
        Err(TargetError::NoMatch(_)) => Vec::new(),
        Err(error) => panic!("{rules:?}: {error}"),
    }
}

#[test]
fn every_selection_is_pefts() {
    let golden = golden();
    assert!(golden.select.len() >= 200);
    for case in golden.select {
        let mut fields = case.config.clone();
        fields.insert("peft_type".into(), "LORA".into());
        let config = PeftConfig::from_map(fields).unwrap();
        let rules = config.target_rules().unwrap();
        let matched = selected(&rules, &golden.paths[&case.paths], &config.modules_to_save);
        assert_eq!(matched, case.matched, "{:?} on {}", case.config, case.paths);
    }
}

#[test]
fn every_pattern_look_up_is_pefts() {
    let golden = golden();
    for case in golden.pattern {
        let patterns = case.keys.iter().cloned().zip(0..).collect();
        for (path, expected) in golden.paths[&case.paths].iter().zip(case.found) {
            let found = pattern_value(&patterns, path).unwrap().copied();
            assert_eq!(found, expected, "{:?} on {path}", case.keys);
        }
    }
}

#[test]
fn all_linear_is_pefts_and_its_short_list_selects_the_same() {
    for case in golden().all_linear {
        let sites = sites(&case.linears);
        let rules = TargetRules::new(Target::from_text("All-Linear"));
        let matched = rules
            .select(&sites, &refs(&case.heads), &[])
            .unwrap()
            .matched;
        let mut chosen: Vec<&str> = matched
            .iter()
            .map(|&index| case.linears[index].as_str())
            .collect();
        chosen.sort_unstable();
        assert_eq!(chosen, case.chosen, "{}", case.model);

        let list = expand_all_linear(&sites, &matched).unwrap();
        assert!(list.len() < matched.len(), "{}: {list:?}", case.model);
        assert_eq!(
            TargetRules::list(list)
                .select(&sites, &[], &[])
                .unwrap()
                .matched,
            matched,
            "{}",
            case.model
        );
    }
}

#[test]
fn minimal_suffixes_are_pefts() {
    for case in golden().minimal {
        let found = minimal_suffixes(&refs(&case.selected), &refs(&case.others)).unwrap();
        assert_eq!(found, case.suffixes, "{:?}", case.selected);
    }
}

#[test]
fn saved_modules_are_pefts() {
    for case in golden().saved {
        let found: Vec<_> = case
            .paths
            .iter()
            .filter(|path| is_saved_module(path, &case.names))
            .collect();
        assert_eq!(
            found,
            case.saved.iter().collect::<Vec<_>>(),
            "{:?}",
            case.names
        );
    }
}

#[test]
fn a_target_that_matches_nothing_names_near_misses_and_roles() {
    let sites = sites(&[
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.mlp.up_proj",
    ]);
    let message = TargetRules::list(["q_porj", "self_attn.qproj"])
        .select(&sites, &[], &[])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`q_porj` matches nothing (did you mean q_proj"),
        "{message}"
    );
    assert!(
        message.contains("(did you mean self_attn.q_proj"),
        "{message}"
    );
    assert!(
        message.contains("roles of this model: q_proj, up_proj"),
        "{message}"
    );
    let regex = TargetRules::new(Target::from_text("model.layers.0.self_attn.qproj"));
    let message = regex.select(&sites, &[], &[]).unwrap_err().to_string();
    assert!(
        message.contains("did you mean model.layers.0.self_attn.q_proj"),
        "{message}"
    );
}

#[test]
fn a_single_entry_that_matches_nothing_is_reported_but_not_fatal() {
    let sites = sites(&["h.0.attn.c_attn"]);
    let Selection { matched, unmatched } = TargetRules::list(["c_attn", "c_atn"])
        .select(&sites, &[], &[])
        .unwrap();
    assert_eq!(matched, [0]);
    assert_eq!(unmatched.len(), 1);
    assert_eq!(
        (unmatched[0].entry.as_str(), unmatched[0].near.as_slice()),
        ("c_atn", ["c_attn".to_owned()].as_slice())
    );
}

#[test]
fn sites_dropped_by_another_rule_are_named() {
    let rules = TargetRules::list(["classifier"]);
    let message = rules
        .select(&sites(&["classifier"]), &[], &["classifier".into()])
        .unwrap_err()
        .to_string();
    assert!(message.contains("`classifier` are dropped by"), "{message}");
    assert!(!message.contains("matches nothing"), "{message}");
}

#[test]
fn contradicting_rules_are_all_named() {
    let mut rules = TargetRules::new(Target::Regex(".*".into()));
    rules.layers_to_transform = Some(vec![0]);
    rules.layers_pattern = vec!["h".into()];
    assert!(
        matches!(rules.check(), Err(TargetError::IllegalRules { problems }) if problems.len() == 2)
    );
    let mut rules = TargetRules::list(["q"]);
    rules.layers_pattern = vec!["h".into()];
    assert!(
        matches!(rules.check(), Err(TargetError::IllegalRules { problems }) if problems.len() == 1)
    );
    rules.layers_to_transform = Some(vec![0]);
    assert!(rules.check().is_ok());
}

#[test]
fn a_bad_regex_is_named_with_its_field() {
    let rules = TargetRules::new(Target::Regex("(q_proj".into()));
    let error = rules.select(&sites(&["q_proj"]), &[], &[]).unwrap_err();
    assert!(
        matches!(
            &error,
            TargetError::BadPattern {
                field: "target_modules",
                ..
            }
        ),
        "{error}"
    );
    let saved = ["[".to_owned()];
    let error = TargetRules::list(["q_proj"])
        .select(&sites(&["q_proj"]), &[], &saved)
        .unwrap_err();
    assert!(
        matches!(
            &error,
            TargetError::BadPattern {
                field: "modules_to_save",
                ..
            }
        ),
        "{error}"
    );
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec!["a", "b", "layers", "0", "1", "q", "k", "x_q"]),
        1..6,
    )
    .prop_map(|segments| segments.join("."))
}

proptest! {
    #[test]
    fn a_list_selects_by_equality_or_dotted_suffix(paths in prop::collection::btree_set(path(), 1..12), entry in path()) {
        let paths: Vec<String> = paths.into_iter().collect();
        let expected: Vec<usize> = (0..paths.len())
            .filter(|&index| format!(".{}", paths[index]).ends_with(&format!(".{entry}")))
            .collect();
        prop_assert_eq!(selected(&TargetRules::list([entry]), &paths, &[]), expected);
    }

    #[test]
    fn the_short_list_selects_exactly_the_same_sites(
        paths in prop::collection::btree_set(path(), 1..14),
        pick in prop::collection::vec(any::<bool>(), 14),
    ) {
        let paths: Vec<String> = paths.into_iter().collect();
        let chosen: Vec<usize> = (0..paths.len()).filter(|&index| pick[index]).collect();
        prop_assume!(!chosen.is_empty());
        match expand_all_linear(&sites(&paths), &chosen) {
            Ok(list) => prop_assert_eq!(selected(&TargetRules::list(list), &paths, &[]), chosen),
            Err(TargetError::NotExpressible { path, other }) => {
                let suffix = format!(".{path}");
                prop_assert!(other == path || other.ends_with(&suffix));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn a_regex_selects_what_the_list_with_the_same_names_selects(paths in prop::collection::btree_set(path(), 1..12)) {
        let paths: Vec<String> = paths.into_iter().collect();
        let regex = TargetRules::new(Target::Regex(r"(.*\.)?(q|k)".into()));
        prop_assert_eq!(selected(&regex, &paths, &[]), selected(&TargetRules::list(["q", "k"]), &paths, &[]));
    }

    #[test]
    fn no_pattern_panics(pattern in ".{0,24}", path in path()) {
        let rules = TargetRules::new(Target::from_text(&pattern));
        let _outcome = rules.select(&sites(&[path]), &[], &[]);
    }
}

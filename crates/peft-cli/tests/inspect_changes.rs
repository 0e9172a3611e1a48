//! `peft inspect --model`: what an adapter does to each layer, with the numbers of its method.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::collections::BTreeMap;

use binary::place::Place;
use binary::{json, stdout};

/// The numbers that `inspect --model` gives for every layer of a freshly trained adapter: the weight's change, then the method's own.
fn changes(place: &Place, method: &str) -> Vec<(f64, BTreeMap<String, f64>)> {
    place.train(method, &["--method", method, "--targets", "query,value"]);
    let report = json(&["inspect", &place.path(method), "--model", &place.model]);
    let changes = report["fit"]["changes"].as_array().unwrap();
    let query = changes
        .iter()
        .filter(|site| site["path"].as_str().unwrap().ends_with("query"));
    query
        .map(|site| {
            let facts = site["facts"].as_array().unwrap().iter();
            let named = facts.map(|fact| {
                (
                    fact["name"].as_str().unwrap().to_owned(),
                    fact["value"].as_f64().unwrap(),
                )
            });
            (site["weight"].as_f64().unwrap(), named.collect())
        })
        .collect()
}

#[test]
fn methods_add_their_own_numbers_where_the_base_is_known() {
    let place = Place::new();
    for (weight, facts) in changes(&place, "svfit") {
        // With every singular value both are ||sigma - sigma_0|| / ||sigma_0||.
        let moved = facts["change of the singular values"];
        assert!(weight > 0.0 && (weight - moved).abs() < 1e-4 * moved);
        assert_eq!(facts["singular values"], 64.0);
        assert!(facts["largest change of one"] > moved / 64.0);
    }
    for (weight, facts) in changes(&place, "bora") {
        assert!(weight > 0.0);
        for side in ["row", "column"] {
            let moved = facts[&format!("change of the {side} magnitudes")];
            assert!(moved > 0.0 && moved < 0.5, "{moved}");
        }
    }
    for (weight, facts) in changes(&place, "dora") {
        // A rotation moves a weight without its lengths.
        let moved = facts["change of the magnitudes"];
        assert!(moved > 0.0 && moved < weight, "{moved} {weight}");
    }
    let text = stdout(&["inspect", &place.path("svfit"), "--model", &place.model]);
    assert!(text.contains("singular values 64, change of"), "{text}");
    let text = stdout(&["inspect", &place.path("svfit")]);
    assert!(text.contains("values; --model tells"), "{text}");
}

#[test]
fn the_decompositions_beside_a_run_can_be_deleted() {
    let place = Place::new();
    place.train("svfit", &["--method", "svfit", "--targets", "query,value"]);
    let cache = std::path::Path::new(&place.path("svfit")).join("cache");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 2 * 4);
    let logits = || place.logits("valid.jsonl", &["--adapter", &place.path("svfit")]);
    let with_cache = logits();
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!(logits(), with_cache);
    assert!(
        !cache.exists(),
        "using an adapter writes nothing into its folder"
    );
}

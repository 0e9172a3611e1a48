//! `peft targets`: the dry run on tiny models.

mod binary;

use binary::{failure, json, model, stdout};

#[test]
fn a_dry_run_lists_layers_parameters_and_memory() {
    let bert = model("bert");
    let plan = json(&["targets", "--model", &bert, "--rank", "4"]);
    let groups = plan["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{plan}");
    let query = &groups[0];
    assert_eq!(query["module"], "bert.encoder.layer.*.attention.self.query");
    assert_eq!(
        (query["count"].as_u64(), query["rank"].as_u64()),
        (Some(2), Some(4))
    );
    assert_eq!(
        (query["d_in"].as_u64(), query["d_out"].as_u64()),
        (Some(32), Some(32))
    );
    // Alpha is twice the rank; 2 layers of 4 * (32 + 32).
    assert_eq!(
        (query["alpha"].as_f64(), query["trainable"].as_u64()),
        (Some(8.0), Some(512))
    );
    assert_eq!(
        plan["saved"],
        serde_json::json!(["classifier.bias", "classifier.weight"])
    );
    // Two adapted roles and a head of 32 x 3 + 3.
    assert_eq!(plan["parameters"]["trainable"], 1024 + 99);
    let memory = &plan["memory"];
    let part = |name: &str| memory[name].as_u64().unwrap();
    assert_eq!(part("gradients"), 4 * (1024 + 99));
    assert_eq!(part("moments"), 2 * part("gradients"));
    assert_eq!(
        (memory["batch_size"].as_u64(), memory["length"].as_u64()),
        (Some(32), Some(40))
    );
    let text = stdout(&["targets", "--model", &bert, "--rank", "4"]);
    for part in [
        "4 layers adapted by lora",
        "trainable params: 1123",
        "estimated",
        "activations",
    ] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
}

#[test]
fn the_settings_of_a_run_file_and_of_flags_reach_the_dry_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    let text = "[adapter]\nrank = 2\nlayers = [1]\n[train]\nbatch_size = 4\n";
    std::fs::write(&file, text).unwrap();
    let bert = model("bert");
    let file = file.to_str().unwrap();
    let plan = json(&[
        "targets",
        file,
        "--model",
        &bert,
        "--targets",
        "query,value",
        "--task",
        "regression",
        "--max-length",
        "24",
    ]);
    let memory = &plan["memory"];
    assert_eq!(
        (memory["batch_size"].as_u64(), memory["length"].as_u64()),
        (Some(4), Some(24)),
        "the estimate is for the batches of the run"
    );
    let sites = plan["sites"].as_array().unwrap();
    assert_eq!(sites.len(), 2, "{plan}");
    assert!(
        sites
            .iter()
            .all(|site| site["rank"] == 2 && site["path"].as_str().unwrap().contains(".1."))
    );
    // One output instead of three: 32 + 1.
    assert_eq!(plan["parameters"]["trainable"], 2 * 2 * 64 + 33);
}

#[test]
fn entries_that_match_nothing_come_with_near_misses() {
    let bert = model("bert");
    let plan = json(&["targets", "--model", &bert, "--targets", "query,valeu"]);
    assert_eq!(plan["unmatched"][0]["entry"], "valeu");
    assert_eq!(plan["unmatched"][0]["near"][0], "value");
    let text = stdout(&["targets", "--model", &bert, "--targets", "query,valeu"]);
    assert!(
        text.contains("`valeu` matches nothing; did you mean value?"),
        "{text}"
    );
    let (code, error) = failure(&["targets", "--model", &bert, "--targets", "q_porj"]);
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("q_porj") && error.contains("roles of this model"),
        "{error}"
    );
}

#[test]
fn full_fine_tuning_costs_more_than_a_head_and_no_model_is_wrong_usage() {
    let bert = model("bert");
    let total = |method: &str| {
        let plan = json(&["targets", "--model", &bert, "--method", method]);
        (
            plan["parameters"]["trainable"].as_u64().unwrap(),
            plan["memory"]["total"].as_u64().unwrap(),
        )
    };
    let (head, full) = (total("head"), total("full"));
    assert_eq!(head.0, 99);
    assert!(full.0 > head.0 && full.1 > head.1, "{head:?} {full:?}");
    let (code, error) = failure(&["targets"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("--model"), "{error}");
}

#[test]
fn sizes_beyond_all_reason_are_refused_or_estimated() {
    let bert = model("bert");
    let dry_run = ["targets", "--model", &bert, "--method", "lora"];
    let rank = i64::MAX.to_string();
    let (code, error) = failure(&[&dry_run[..], &["--rank", &rank]].concat());
    assert!(code == 2 && error.contains(&rank), "{error}");
    let batch = format!("train.batch_size={}", i64::MAX);
    let estimate = json(&[&dry_run[..], &["--set", &batch]].concat());
    let total = estimate["memory"]["total"].as_u64().unwrap();
    assert!(total > 1 << 60, "{estimate}");
}

//! `peft bench`: times of a step on tiny models.

mod binary;

use binary::{failure, json, model, stdout};

#[test]
fn a_step_and_a_forward_pass_are_timed() {
    let bert = model("bert");
    let arguments = [
        "bench",
        "--model",
        &bert,
        "--rank",
        "2",
        "--batch-size",
        "3",
        "--max-length",
        "7",
        "--steps",
        "2",
        // A run's own limit says nothing of how many steps are timed.
        "--max-steps",
        "1",
    ];
    let found = json(&arguments);
    for what in ["step", "forward"] {
        let at = |name: &str| found[what][name].as_f64().unwrap();
        assert!(at("fastest") > 0.0, "{found}");
        assert!(at("fastest") <= at("median") && at("median") <= at("slowest"));
    }
    assert_eq!(
        (found["rows"].as_u64(), found["tokens"].as_u64()),
        (Some(3), Some(7))
    );
    // Two layers with query and value of 32 x 32, and a head of 32 x 2 + 2.
    assert_eq!(found["parameters"]["trainable"], 2 * 2 * 2 * 64 + 66);
    assert!(found.get("profile").is_none());
}

#[test]
fn a_profile_names_the_operations_of_a_step() {
    let llama = model("llama");
    let arguments = [
        "bench",
        "--model",
        &llama,
        "--task",
        "causal-lm",
        "--method",
        "dora",
        "--targets",
        "all-linear",
        "--rank",
        "2",
        "--batch-size",
        "2",
        "--max-length",
        "8",
        "--steps",
        "1",
        "--profile",
    ];
    let found = json(&arguments);
    let operations = found["profile"]["operations"].as_array().unwrap();
    let of = |name: &str| {
        let line = operations.iter().find(|line| line["operation"] == name);
        line.unwrap_or_else(|| panic!("no {name} in {found}"))
    };
    for name in [
        "linear with pair",
        "attention",
        "attention backward",
        "rotary",
        "rms norm",
        "linear cross entropy",
    ] {
        assert!(
            of(name)["calls"].as_f64().unwrap() >= 1.0
                && of(name)["seconds"].as_f64().unwrap() > 0.0
        );
    }
    assert!(of("attention")["flops"].as_f64().unwrap() > 0.0);
    let text = stdout(&arguments);
    assert!(
        text.contains("everything else") && text.contains("GFLOP/s"),
        "{text}"
    );
}

#[test]
fn images_are_timed_too() {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(model("vit")).unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() {
            std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let folder = dir.path().display().to_string();
    let arguments = [
        "bench",
        "--model",
        &folder,
        "--task",
        "image-cls",
        "--targets",
        "query,value",
        "--batch-size",
        "2",
        "--steps",
        "1",
    ];
    let (code, error) = failure(&arguments);
    assert!(
        code == 1 && error.contains("preprocessor_config.json"),
        "{error}"
    );
    let processor =
        r#"{"do_resize": false, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
    std::fs::write(dir.path().join("preprocessor_config.json"), processor).unwrap();
    let found = json(&arguments);
    assert!(found["step"]["median"].as_f64().unwrap() > 0.0);
    // 12 x 12 pixels in patches of 4 x 4, and the class token.
    assert_eq!(found["tokens"], 10, "{found}");
}

#[test]
fn what_cannot_be_timed_is_refused() {
    let (code, error) = failure(&["bench", "--model", &model("bert"), "--task", "causal-lm"]);
    assert!(code == 2 && error.contains("cannot be timed"), "{error}");
    let (code, error) = failure(&["bench"]);
    assert!(code == 2 && error.contains("model"), "{error}");
}

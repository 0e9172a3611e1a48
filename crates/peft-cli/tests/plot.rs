//! `peft plot`: curves from training logs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binary;

use std::path::Path;

use binary::{failure, json, stdout};

const LOG: &str = r#"{"kind":"train","step":1,"epoch":0,"loss":0.9,"lr":0.001,"tokens":10,"seconds":0.1}
{"kind":"train","step":2,"epoch":0,"loss":0.7,"lr":0.001,"tokens":20,"seconds":0.2}
{"kind":"eval","step":2,"loss":0.8,"metrics":{"accuracy":0.5,"f1":0.25},"best":true,"seconds":0.3}
{"kind":"train","step":3,"epoch":1,"loss":0.6,"lr":0.001,"tokens":30,"seconds":0.4}
{"kind":"eval","step":3,"loss":0.7,"metrics":{"accuracy":0.75,"f1":0.5},"best":true,"seconds":0.5}
"#;

fn run(dir: &Path, name: &str, log: &str) -> String {
    let run = dir.join(name);
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("train_log.jsonl"), log).unwrap();
    run.to_str().unwrap().to_owned()
}

fn words(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn loss_and_metrics_of_a_run_become_pictures_in_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(dir.path(), "first", LOG);
    let result = json(&["plot", &run]);
    assert_eq!(result["files"].as_array().unwrap().len(), 4, "{result}");
    assert_eq!(
        (
            result["runs"][0]["train_points"].as_u64(),
            result["runs"][0]["valid_points"].as_u64()
        ),
        (Some(3), Some(2))
    );
    let curves = words(&Path::new(&run).join("curves.svg"));
    assert!(curves.contains("train") && curves.contains("valid") && curves.contains("loss"));
    let metrics = words(&Path::new(&run).join("metrics.svg"));
    assert!(metrics.contains("accuracy") && metrics.contains("f1"));
    let png = std::fs::read(Path::new(&run).join("curves.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn several_runs_share_one_picture_in_the_folder_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (run(dir.path(), "small", LOG), run(dir.path(), "large", LOG));
    let out = dir.path().join("new/pictures");
    let text = stdout(&["plot", &a, &b, "--out", out.to_str().unwrap()]);
    assert!(
        text.contains("curves.svg") && text.contains("metrics.png"),
        "{text}"
    );
    let curves = words(&out.join("curves.svg"));
    for name in ["small train", "small valid", "large train", "large valid"] {
        assert!(curves.contains(name), "{name}");
    }
    assert!(!Path::new(&a).join("curves.svg").exists());
}

#[test]
fn a_log_without_evaluations_gives_the_loss_alone() {
    let dir = tempfile::tempdir().unwrap();
    let log: String = LOG
        .lines()
        .filter(|line| line.contains("train"))
        .map(|line| format!("{line}\n"))
        .collect();
    let run = run(dir.path(), "short", &log);
    assert_eq!(json(&["plot", &run])["files"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_drawn_is_said_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let (code, error) = failure(&["plot", dir.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(error.contains("train_log.jsonl does not exist"), "{error}");
    let empty = run(dir.path(), "empty", "");
    assert!(failure(&["plot", &empty]).1.contains("holds no loss yet"));
    let broken = run(dir.path(), "broken", &format!("nonsense\n{LOG}"));
    assert!(failure(&["plot", &broken]).1.contains("train_log.jsonl"));
    let lost = run(
        dir.path(),
        "lost",
        "{\"kind\":\"train\",\"step\":1,\"loss\":null}\n",
    );
    assert!(failure(&["plot", &lost]).1.contains("finite"));
    assert_eq!(failure(&["plot"]).0, 2);
}

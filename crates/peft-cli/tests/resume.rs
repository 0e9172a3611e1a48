//! `peft train --resume`: where it goes on, what it refuses and by which name, and that a refusal changes nothing.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::fs;
use std::path::Path;

use binary::files::Files;
use binary::place::Place;
use binary::{failure, peft, succeeded};

fn args<'a>(place: &'a Place, paths: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    let [train, out] = paths;
    let fixed = [
        "train",
        "--model",
        &place.model,
        "--train",
        train,
        "--out",
        out,
        "--batch-size",
        "8",
        "--schedule",
        "constant",
    ];
    [&fixed[..], more].concat()
}

/// stdout and stderr of a run in `out` that succeeded.
fn run(place: &Place, out: &str, more: &[&str]) -> (String, String) {
    let paths = [place.path("train.jsonl"), place.path(out)];
    succeeded(&args(place, &paths, more))
}

fn refused(place: &Place, train: &str, out: &str, more: &[&str]) -> String {
    let paths = [place.path(train), place.path(out)];
    let (code, error) = failure(&args(place, &paths, more));
    assert_eq!(code, 2, "{error}");
    error
}

fn adapter(place: &Place, out: &str) -> Vec<u8> {
    fs::read(Path::new(&place.path(out)).join("adapter_model.safetensors")).unwrap()
}

#[test]
fn a_refused_resume_names_what_differs_and_changes_nothing() {
    let place = Place::new();
    run(&place, "run", &["--epochs", "1"]);
    let mails = "{\"text\": \"anna sleeps .\", \"label\": \"ham\"}\n{\"text\": \"otto runs .\", \"label\": \"spam\"}\n";
    fs::write(place.path("mails.jsonl"), mails).unwrap();
    let again = |train: &str, more: &[&str]| {
        let more = [&["--epochs", "1", "--resume"], more].concat();
        refused(&place, train, "run", &more)
    };
    let error = again("mails.jsonl", &[]);
    assert!(
        error.contains("data.train")
            && error.contains("mails.jsonl")
            && error.contains("train.jsonl"),
        "{error}"
    );
    let error = again("train.jsonl", &["--rank", "4", "--lr", "0.5"]);
    for part in [
        "adapter.rank: 8 then, 4 now",
        "train.lr",
        "0.5 now",
        "--start",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let valid = place.path("valid.jsonl");
    let error = again("train.jsonl", &["--valid", &valid]);
    assert!(error.contains("data.valid: absent then"), "{error}");
    assert!(again("train.jsonl", &["--targets", "quary"]).contains("quary"));
    // The run itself still goes on, from its own run file.
    let file = Path::new(&place.path("run")).join("run.toml");
    let output = peft(&["train", file.to_str().unwrap(), "--resume"]);
    assert!(output.status.success());
}

#[test]
fn a_base_with_other_weights_is_refused_by_name() {
    let place = Place::new();
    let model = place.path("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(&place.model).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, Path::new(&model).join(path.file_name().unwrap())).unwrap();
    }
    run(&place, "run", &["--max-steps", "2"]);
    let same = ["--max-steps", "2", "--resume", "--model", &model];
    let (_, said) = run_with_model(&place, &same);
    assert!(said.contains("finished"), "{said}");
    let weights = Path::new(&model).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let (code, error) = failure(&with_model(
        &place,
        &same,
        &[place.path("train.jsonl"), place.path("run")],
    ));
    assert!(
        code == 2 && error.contains("model: model.safetensors"),
        "{error}"
    );
}

/// The arguments with another model than the place's.
fn with_model<'a>(place: &'a Place, more: &[&'a str], paths: &'a [String; 2]) -> Vec<&'a str> {
    let mut args = args(place, paths, more);
    args.drain(1..3);
    args
}

fn run_with_model(place: &Place, more: &[&str]) -> (String, String) {
    let paths = [place.path("train.jsonl"), place.path("run")];
    succeeded(&with_model(place, more, &paths))
}

#[test]
fn nothing_to_resume_is_an_error_with_the_way_out() {
    let place = Place::new();
    let error = refused(&place, "train.jsonl", "absent", &["--resume"]);
    assert!(
        error.contains("no folder") && error.contains("leave --resume out"),
        "{error}"
    );
    fs::create_dir(place.path("empty")).unwrap();
    let error = refused(&place, "train.jsonl", "empty", &["--resume"]);
    assert!(error.contains("no run that could go on"), "{error}");
    fs::create_dir(place.path("notes")).unwrap();
    fs::write(place.path("notes/a.txt"), "a").unwrap();
    let error = refused(&place, "train.jsonl", "notes", &["--resume"]);
    assert!(error.contains("--overwrite"), "{error}");
    let error = refused(&place, "train.jsonl", "notes", &["--resume", "--overwrite"]);
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn the_same_run_by_other_paths_is_finished_and_stays_as_it_is() {
    let place = Place::new();
    run(&place, "run", &["--max-steps", "2"]);
    fs::copy(place.path("train.jsonl"), place.path("copy.jsonl")).unwrap();
    let root = place.path("");
    let out = Path::new(&root).join("run");
    let before = Files::below([out.as_path()]);
    let dotted = place.path("./copy.jsonl");
    for train in [place.path("copy.jsonl"), dotted] {
        let paths = [train, place.path("run")];
        let again = ["--max-steps", "2", "--resume", "--json"];
        let (result, said) = succeeded(&args(&place, &paths, &again));
        assert!(said.contains("finished"), "{said}");
        let result: serde_json::Value = serde_json::from_str(&result).unwrap();
        assert_eq!(result["steps"], 2);
        before.assert_same([out.as_path()], "a finished run was resumed");
    }
}

#[test]
fn a_longer_run_goes_on_to_the_bytes_of_one_that_was_never_shorter() {
    let place = Place::new();
    run(&place, "whole", &["--epochs", "3"]);
    run(&place, "run", &["--epochs", "2"]);
    let (_, said) = run(&place, "run", &["--epochs", "3", "--resume"]);
    assert!(said.contains("resuming from step 16 of 24"), "{said}");
    assert!(
        said.contains("24 steps now instead of 16") && !said.contains("schedule"),
        "{said}"
    );
    assert_eq!(adapter(&place, "run"), adapter(&place, "whole"));
    let (_, said) = run(&place, "run", &["--max-steps", "25", "--resume"]);
    assert!(said.contains("resuming from step 24 of 25"), "{said}");
    let error = refused(
        &place,
        "train.jsonl",
        "run",
        &["--max-steps", "9", "--resume"],
    );
    assert!(
        error.contains("25 steps") && error.contains("9 now"),
        "{error}"
    );
    let linear = ["--schedule", "linear", "--max-steps"];
    let run = |more: &[&str]| {
        let paths = [place.path("train.jsonl"), place.path("falling")];
        let all = args(&place, &paths, &[&linear, more].concat());
        let again: Vec<&str> = all[..9].iter().chain(&all[11..]).copied().collect();
        String::from_utf8(peft(&again).stderr).unwrap()
    };
    run(&["4"]);
    let said = run(&["6", "--resume"]);
    assert!(
        said.contains("warning") && said.contains("linear schedule"),
        "{said}"
    );
}

#[test]
fn a_run_that_has_saved_nothing_yet_is_begun_again_without_being_asked() {
    let place = Place::new();
    let fails = ["--max-steps", "3", "--lr", "1e38"];
    let paths = [place.path("train.jsonl"), place.path("run")];
    assert_eq!(peft(&args(&place, &paths, &fails)).status.code(), Some(1));
    assert!(Path::new(&place.path("run/run.toml")).exists());
    run(&place, "run", &["--max-steps", "2"]);
    assert_eq!(
        peft(&args(&place, &paths, &fails)).status.code(),
        Some(1),
        "now it holds something"
    );
    fs::remove_dir_all(place.path("run")).unwrap();
    assert_eq!(peft(&args(&place, &paths, &fails)).status.code(), Some(1));
    let output = peft(&args(&place, &paths, &[&fails[..], &["--resume"]].concat()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("no checkpoint in") && said.contains("starting anew"),
        "{said}"
    );
}

#[test]
fn no_number_that_is_none_reaches_a_checkpoint_or_the_end() {
    let place = Place::new();
    let valid = place.path("valid.jsonl");
    let every = ["--set", "train.save_every=1", "--set", "train.warmup=2"];
    for (name, more) in [
        ("short", vec!["--max-steps", "1"]),
        ("judged", vec!["--max-steps", "1", "--valid", &valid]),
        ("long", [&every[..], &["--max-steps", "6"]].concat()),
    ] {
        let paths = [place.path("train.jsonl"), place.path(name)];
        let output = peft(&args(
            &place,
            &paths,
            &[&more[..], &["--lr", "1e38"]].concat(),
        ));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {error}");
        assert!(
            error.contains("train.lr") && error.contains("step "),
            "{name}: {error}"
        );
        let out = Path::new(&paths[1]);
        assert!(!out.join("adapter_model.safetensors").exists(), "{name}");
        assert!(!out.join("results.json").exists(), "{name}");
        for step in peft_train::Checkpoints::new(out, 1).steps().unwrap() {
            let file = out.join(format!("checkpoint-{step}/adapter_model.safetensors"));
            let tensors = peft_core::file::read_tensors(&file).unwrap();
            peft_core::file::check_finite(&tensors).unwrap();
            assert!(
                error.contains(&format!("checkpoint-{step} ")),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn max_steps_is_how_many_steps_are_taken() {
    let place = Place::new();
    let (result, _) = run(&place, "run", &["--max-steps", "30", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(
        result["steps"], 30,
        "the three epochs of the default are 24"
    );
    let (result, _) = run(
        &place,
        "both",
        &["--max-steps", "9", "--epochs", "1", "--json"],
    );
    let result: serde_json::Value = serde_json::from_str(&result).unwrap();
    assert_eq!(result["steps"], 9);
    let error = refused(
        &place,
        "train.jsonl",
        "new",
        &["--max-steps", "9", "--warmup", "9"],
    );
    assert!(error.contains("warmup"), "{error}");
}

#[test]
fn a_run_is_never_written_over_what_it_starts_from() {
    let place = Place::new();
    run(&place, "run", &["--max-steps", "2"]);
    let start = place.path("run");
    let error = refused(
        &place,
        "train.jsonl",
        "run",
        &["--overwrite", "--start", &start],
    );
    assert!(error.contains("adapter.start"), "{error}");
    let paths = [place.path("train.jsonl"), place.model.clone()];
    let (code, error) = failure(&args(&place, &paths, &["--overwrite"]));
    assert!(code == 2 && error.contains("model:"), "{error}");
}

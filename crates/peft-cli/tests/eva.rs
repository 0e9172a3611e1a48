//! EVA from the program: it looks at the data, trains the layers and ranks that follow, resumes to the bit, and leaves plain LoRA.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use std::collections::BTreeMap;
use std::path::Path;

use binary::place::Place;
use binary::{decoder, failure, json, said, verdict};
use peft_core::file::{read_config, read_folder};

const EVA: [&str; 12] = [
    "--method",
    "eva",
    "--targets",
    "all-linear",
    "--rank",
    "2",
    "--batch-size",
    "8",
    "--max-steps",
    "12",
    "--set",
    "train.save_every=5",
];

fn bytes(folder: &str) -> [Vec<u8>; 2] {
    ["adapter_model.safetensors", "adapter_config.json"]
        .map(|name| std::fs::read(Path::new(folder).join(name)).unwrap())
}

/// Rank of each layer in a folder.
fn ranks(folder: &str) -> BTreeMap<String, usize> {
    let tensors = read_folder(Path::new(folder)).unwrap().tensors;
    let pairs = tensors.into_iter().filter_map(|(name, tensor)| {
        let path = name.strip_suffix(".lora_A.weight")?;
        Some((path.to_owned(), tensor.shape[0]))
    });
    pairs.collect()
}

/// As a run leaves a folder that was broken off after its last checkpoint but one.
fn break_off(folder: &str) {
    std::fs::remove_dir_all(format!("{folder}/checkpoint-12")).unwrap();
    std::fs::remove_file(format!("{folder}/adapter_model.safetensors")).unwrap();
}

#[test]
fn an_encoder_gets_other_ranks_and_goes_on_with_those_of_its_checkpoint() {
    let place = Place::new();
    let run = |name: &str, more: &[&str]| place.training(name, &[&EVA[..], more].concat(), said);
    let (plain, eva) = (place.path("plain"), place.path("run"));
    assert!(run("run", &[]).contains("layers get an adapter, of ranks"));
    run("plain", &["--set", "adapter.options.rho=1"]);
    let (even, dealt) = (ranks(&plain), ranks(&eva));
    assert!(even.values().all(|rank| *rank == 2));
    assert_eq!(dealt.values().sum::<usize>(), even.values().sum::<usize>());
    assert!(dealt.values().any(|rank| *rank > 2), "{dealt:?}");
    let whole = bytes(&eva);
    break_off(&eva);
    let goes_on = run("run", &["--resume"]);
    assert!(goes_on.contains("resuming from step 10"), "{goes_on}");
    assert!(!goes_on.contains("looking at the data"), "{goes_on}");
    assert_eq!(bytes(&eva), whole);
    let config = read_config(Path::new(&eva)).unwrap();
    assert_eq!(config.peft_type, "LORA");
    let verdict = verdict(&[&eva, "--model", &place.model]);
    assert_eq!(verdict["facts"]["method"], "lora", "{verdict}");
    // The same start in another run, and its values are where a third begins.
    run("again", &[]);
    assert_eq!(bytes(&place.path("again")), whole);
    let started = run("third", &["--start", &eva]);
    assert!(!started.contains("looking at the data"), "{started}");
    assert_eq!(ranks(&place.path("third")), dealt);
}

#[test]
fn a_decoder_trains_resumes_and_says_when_batches_are_too_small() {
    let place = decoder::Place::new();
    let out = place.path("run");
    let run = |more: &[&str]| {
        let length = ["--max-length", "32", "--out", &out];
        place.training(&[&EVA[..], &length, more].concat(), json)
    };
    run(&[]);
    let whole = bytes(&out);
    break_off(&out);
    run(&["--resume"]);
    assert_eq!(bytes(&out), whole);
    let other = place.path("other");
    let tiny = ["--out", &other, "--max-length", "8", "--batch-size", "1"];
    let (_, error) = place.training(&[&EVA[..4], &tiny, &["--rank", "8"]].concat(), failure);
    assert!(error.contains("larger batches"), "{error}");
    assert!(!Path::new(&other).exists());
}

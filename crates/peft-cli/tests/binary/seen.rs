//! What the verbs that read see in a folder.

use super::peft;
use super::place::Place;

/// What a verb says of a folder; `None` where it refuses it.
pub(crate) fn look(args: &[&str]) -> Option<String> {
    let output = peft(args);
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// An adapter, as its readers see it.
pub(crate) fn adapter(place: &Place, out: &str) -> Vec<Option<String>> {
    let data = place.path("valid.jsonl");
    vec![
        look(&["inspect", out, "--json"]),
        look(&[
            "predict",
            "--model",
            &place.model,
            "--adapter",
            out,
            "--data",
            &data,
        ]),
    ]
}

/// A model, as its readers see it.
pub(crate) fn model(place: &Place, out: &str) -> Vec<Option<String>> {
    let data = place.path("valid.jsonl");
    vec![look(&["predict", "--model", out, "--data", &data])]
}

//! `--device` with several devices: a language model trains as on one, a run goes on with fewer, and what one device does takes one.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use binary::dealt_out::{assert_same, line, losses};
use binary::tiny_llama::Place;

#[test]
fn several_devices_train_a_language_model_as_one_does() {
    let place = Place::new();
    place.run(&line("flex", 50, "--out @one"));
    // Fewer devices go on with what more of them began.
    place.run(&line("flex,flex,flex", 20, "--out @several"));
    place.run(&line("flex,flex", 50, "--out @several --resume"));
    let (one, several) = (losses(&place, "one"), losses(&place, "several"));
    assert_eq!((one.len(), several.len()), (50, 50));
    assert!(one[49] < 0.9 * one[0], "nothing was learnt: {one:?}");
    assert_same(&one, &several);
    // What a procedure changes of the base is changed everywhere.
    let chain = "--set procedures.chain.every=4 --set procedures.chain.warmup=2";
    for (device, out) in [("flex", "chain"), ("flex,flex", "chains")] {
        place.run(&line(device, 12, &format!("{chain} --out @{out}")));
    }
    assert_same(&losses(&place, "chain"), &losses(&place, "chains"));
    for (refused, said) in [
        (
            "eval --task causal-lm --model @model --data @valid.jsonl --device flex,flex",
            "name one",
        ),
        (&line("flex,cuda", 1, "--out @other"), "--features cuda"),
    ] {
        let error = place.refused(refused);
        assert!(error.contains(said), "{error}");
    }
}

//! `--quantize`: bases whose frozen weights are rounded as they are read.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use binary::tiny_llama::{Place, TRAIN};

/// Rounded bases train, answer and merge; what is rounded says so, and a run goes on with the same rounding alone.
#[test]
fn rounded_bases_train_answer_and_merge() {
    let place = Place::new();
    let loss = |rest: &str| {
        let line = format!("eval --task causal-lm --model @model --data @valid.jsonl {rest}");
        place.run(line.trim())["loss"].as_f64().unwrap()
    };
    let (full, packed) = (loss(""), loss("--quantize nf4"));
    assert!(
        full != packed && (full - packed).abs() < 0.3,
        "{full} {packed}"
    );
    assert_eq!(loss("--quantize f32"), full);
    let train = format!("{TRAIN} --model @model --quantize nf4 --out @run");
    let run = place.run(&train);
    let trained = run["final"]["scores"]["loss"].as_f64();
    let again = loss("--adapter @run --quantize nf4");
    if let Some(trained) = trained {
        assert!((trained - again).abs() < 1e-5, "{trained} {again}");
    }
    assert!(again < packed, "{again} {packed}");
    let error = place.refused(&format!(
        "{TRAIN} --model @model --quantize q8_0 --out @run --resume"
    ));
    assert!(error.contains("quantize"), "{error}");
    for (quantize, rest, said) in [
        ("nf5", "", "nf4, q4_0"),
        ("nf4", "--method full", "trains the weights themselves"),
    ] {
        let line = format!("{TRAIN} --model @model --quantize {quantize} --out @other {rest}");
        let error = place.refused(line.trim());
        assert!(error.contains(said), "{error}");
    }
    place.run("merge --model @model --adapter @run --out @merged");
    for method in ["dora", "bora", "svfit", "pissa", "moe-lora", "vera"] {
        let line = format!(
            "train --task causal-lm --train @train.jsonl --targets all-linear --max-steps 2 --batch-size 4 --model @model --quantize q8_0 --method {method} --out @of-{method}"
        );
        let found = place.run(&line);
        assert!(
            found["steps"].as_u64().is_none_or(|steps| steps == 2),
            "{method}"
        );
        let adapted = loss(&format!("--adapter @of-{method} --quantize q8_0"));
        assert!(
            adapted.is_finite() && (adapted - full).abs() < 1.0,
            "{method}: {adapted}"
        );
    }
}

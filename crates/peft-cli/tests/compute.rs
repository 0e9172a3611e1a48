//! `--compute`: what products multiply.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod binary;

use binary::tiny_llama::{Place, TRAIN};

/// Whether this machine multiplies bf16, as its processor says.
fn is_native() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[test]
fn bf16_answers_nearly_as_f32_where_the_processor_has_it_and_is_refused_elsewhere() {
    let place = Place::new();
    let eval = |rest: &str| {
        format!("eval --task causal-lm --model @model --data @valid.jsonl {rest}")
            .trim()
            .to_owned()
    };
    let loss = |rest: &str| place.run(&eval(rest))["loss"].as_f64().unwrap();
    let exact = loss("");
    assert_eq!(loss("--compute f32"), exact);
    let error = place.refused(&eval("--compute fp8"));
    assert!(error.contains("expected auto, f32 or bf16"), "{error}");
    let train =
        |compute: &str| format!("{TRAIN} --model @model --compute {compute} --out @run-{compute}");
    if !is_native() {
        assert_eq!(loss("--compute auto"), exact);
        for line in [eval("--compute bf16"), train("bf16")] {
            let error = place.refused(&line);
            assert!(error.contains("--compute auto"), "{error}");
        }
        return;
    }
    let rounded = loss("--compute bf16");
    assert!(
        rounded != exact && (rounded - exact).abs() < 0.02,
        "{rounded} {exact}"
    );
    let auto = loss("--compute auto"); // by what takes less time here
    assert!([exact, rounded].contains(&auto), "{auto} {rounded} {exact}");
    let scores = ["f32", "bf16"].map(|compute| {
        place.run(&train(compute));
        loss(&format!("--adapter @run-{compute}"))
    });
    assert!(
        scores[0] != scores[1] && (scores[0] - scores[1]).abs() < 0.05,
        "{scores:?}"
    );
    let error = place.refused(&format!(
        "{TRAIN} --model @model --compute f32 --out @run-bf16 --resume"
    ));
    assert!(error.contains("compute"), "{error}");
}

//! Initial factors against the distributions that Hugging Face PEFT draws from.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::Path;

use burn::tensor::{Device, Tensor};
use peft_core::lora::{LORA, LoraAdapter};
use peft_core::{Peers, Site, Slot};
use serde_json::{Map, Value, json};

/// Number of values to draw in each case at least, as many as the golden file's own samples have.
const DRAWS: usize = 400_000;

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/init.json");
    let text = std::fs::read_to_string(path).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    golden["cases"].as_array().unwrap().clone()
}

/// All values of `A` and of `B` of as many adapters as it takes to have [`DRAWS`] values of `A`.
fn draw(case: &Value, init: &str) -> (Vec<f32>, Vec<f32>) {
    let size = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
    let (d_in, d_out, rank) = (size("d_in"), size("d_out"), size("rank"));
    let options = Map::from_iter([("init".to_owned(), json!(init))]);
    let method = (LORA.from_options)(&options).unwrap();
    let weight = Tensor::<2>::zeros([d_in, d_out], &Device::flex()).into();
    let site = Site::new("layer", d_in, d_out);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for seed in 0..DRAWS.div_ceil(d_in * rank) as u64 {
        let adapter = method
            .create(&Slot {
                site: &site,
                weight: &weight,
                adapter: "default",
                rank,
                alpha: 1.0,
                seed,
                cache: None,
                peers: Peers::default(),
            })
            .unwrap();
        let adapter = adapter.downcast_ref::<LoraAdapter>().unwrap();
        assert_eq!(adapter.a.dims(), [d_in, rank]);
        assert_eq!(adapter.b.dims(), [rank, d_out]);
        a.extend(adapter.a.val().into_data().iter::<f32>());
        b.extend(adapter.b.val().into_data().iter::<f32>());
    }
    (a, b)
}

/// Largest magnitude, mean and variance.
fn moments(values: &[f32]) -> (f64, f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|value| (f64::from(*value) - mean).powi(2));
    let largest = values
        .iter()
        .fold(0.0, |max: f32, value| max.max(value.abs()));
    (f64::from(largest), mean, squares.sum::<f64>() / count)
}

/// Of 400 000 normal values the largest lies beyond 4 standard deviations and, but for one time in a thousand, below 6.1.
const LARGEST: std::ops::Range<f64> = 4.0..6.1;

/// The bounds of chance are five standard errors; PEFT's own sample meets the same ones.
fn check(what: &str, (largest, mean, variance): (f64, f64, f64), count: f64, exact: &Value) {
    let expected = exact["variance"].as_f64().unwrap();
    let standard_error = (expected / count).sqrt();
    assert!(mean.abs() < 5.0 * standard_error, "{what}: mean {mean}");
    let distribution = exact["distribution"].as_str().unwrap();
    // An orthogonal start has half as many random numbers as values.
    let drawn = match distribution {
        "orthogonal" => count / 2.0,
        _ => count,
    };
    // The variance of a squared normal value is twice the squared variance, of a uniform one less.
    let ratio = variance / expected;
    let allowed = 5.0 * (2.0 / drawn).sqrt();
    assert!((ratio - 1.0).abs() < allowed, "{what}: variance {variance}");
    match distribution {
        "uniform" => {
            let bound = exact["bound"].as_f64().unwrap();
            // f32 may round the bound itself up by one unit in the last place.
            let reach = largest / bound;
            assert!((0.9999..1.000_000_2).contains(&reach), "{what}: {largest}");
        }
        "normal" => {
            let reach = largest / exact["std"].as_f64().unwrap();
            assert!(LARGEST.contains(&reach), "{what}: {largest}");
        }
        "orthogonal" => {
            // A value's standard deviation is that of the coefficients times at most 1, and on average the root of a half.
            let reach = largest / exact["coefficient"].as_f64().unwrap();
            let expected = LARGEST.start * 0.5f64.sqrt()..LARGEST.end;
            assert!(expected.contains(&reach), "{what}: {largest}");
        }
        other => panic!("{what}: unknown distribution {other}"),
    }
}

/// PEFT's own sample of a factor.
fn check_pefts(what: &str, factor: &Value) {
    let number = |key: &str| factor["sample"][key].as_f64().unwrap();
    let moments = (number("max_abs"), number("mean"), number("variance"));
    let what = format!("PEFT's {what}");
    check(&what, moments, number("count"), &factor["exact"]);
}

#[test]
fn factors_have_the_bounds_and_moments_of_pefts_initialisations() {
    let mut seen = 0;
    for case in cases() {
        let init = match &case["init_lora_weights"] {
            Value::Bool(true) => "kaiming",
            Value::String(name) => name,
            // PEFT's `false` also draws B at random, which no method here offers.
            _ => continue,
        };
        seen += 1;
        let what = format!("{init} {} rank {}", case["d_in"], case["rank"]);
        let (a, b) = draw(&case, init);
        check(&what, moments(&a), a.len() as f64, &case["a"]["exact"]);
        check_pefts(&what, &case["a"]);
        if init == "orthogonal" {
            check(&what, moments(&b), b.len() as f64, &case["b"]["exact"]);
            check_pefts(&what, &case["b"]);
            continue;
        }
        assert_eq!(case["b"]["exact"]["distribution"], "zeros");
        assert!(b.iter().all(|value| *value == 0.0), "{what}: B is not zero");
    }
    assert_eq!(seen, 15);
}

//! What EVA's survey sees: layers with the same input once, no padding, and an error where nothing follows from what was seen.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use peft_core::lora::LoraAdapter;
use peft_core::testing::case::{Network, host};
use peft_core::testing::tolerance::{DECOMPOSITION, assert_close};
use peft_core::{
    AdaptedLinear, AdapterSpec, ParamNames, Pass, PeftError, Site, Surveyed, attach, init,
};
use peft_decompose::eva::{Eva, EvaOptions};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const WIDTH: usize = 6;

fn random(rows: usize, columns: usize, seed: u64) -> Tensor<2> {
    let data = init::gaussian(rows, columns, 1.0, &mut ChaCha8Rng::seed_from_u64(seed));
    Tensor::from_data(data, &Device::default())
}

/// Layers beside each other.
fn network(paths: &[&str]) -> (Network, ParamNames) {
    let mut names = ParamNames::new();
    let layers = paths.iter().enumerate().map(|(at, path)| {
        let id = names.insert(&format!("{path}.weight"), peft_core::Layout::Transposed);
        let weight = Param::initialized(id, random(WIDTH, 4, at as u64));
        AdaptedLinear::new(Site::new(*path, WIDTH, 4), weight, None)
    });
    let layers = layers.collect();
    (Network { layers }, names)
}

fn spec(options: EvaOptions) -> AdapterSpec {
    AdapterSpec {
        method: Box::new(Eva::new(options)),
        rank: 2,
        alpha: 4.0,
        ..AdapterSpec::default()
    }
}

/// What follows from batches, each with an input for each layer.
fn seen(
    paths: &[&str],
    options: EvaOptions,
    batches: &[Vec<Tensor<2>>],
    padding: Option<&Tensor<2>>,
) -> Result<Surveyed, PeftError> {
    let (model, names) = network(paths);
    let spec = spec(options);
    let (model, report) = attach(model, &names, "default", &spec, 1)?;
    let mut survey = spec.method.survey(&report.sites, 1).unwrap();
    for batch in batches.iter().cycle() {
        let mut pass = Pass::eval().with_observer(survey.as_mut());
        let padding = padding.map(|padding| padding.clone().greater_elem(0.5));
        pass.set_padding(padding);
        for (layer, x) in model.layers.iter().zip(batch) {
            let _ = layer.forward(x.clone(), &mut pass);
        }
        if survey.batch_ended()? {
            break;
        }
    }
    survey.found()
}

/// `A A^T` of each layer.
fn grams(paths: &[&str], found: Surveyed) -> Vec<Vec<f32>> {
    let (model, names) = network(paths);
    let spec = spec(EvaOptions::default()).surveyed(found);
    let (model, _) = attach(model, &names, "default", &spec, 1).unwrap();
    let gram = |layer: &AdaptedLinear| {
        let adapter = layer.adapter("default").unwrap();
        let a = adapter.downcast_ref::<LoraAdapter>().unwrap().a.val();
        host(a.clone().matmul(a.transpose()))
    };
    model.layers.iter().map(gram).collect()
}

fn kept() -> EvaOptions {
    EvaOptions {
        rho: 1.0,
        ..EvaOptions::default()
    }
}

#[test]
fn layers_with_the_same_input_start_at_the_same_directions() {
    let (x, z) = (random(20, WIDTH, 7), random(20, WIDTH, 8));
    let paths = ["q", "k", "o"];
    let found = seen(&paths, kept(), &[vec![x.clone(), x, z]], None).unwrap();
    let [q, k, o] = grams(&paths, found).try_into().unwrap();
    assert_eq!(q, k);
    assert_ne!(q, o);
}

#[test]
fn rows_of_padding_say_nothing() {
    let x = random(20, WIDTH, 7);
    let padded = Tensor::cat(vec![x.clone(), random(12, WIDTH, 9).mul_scalar(100.0)], 0);
    let padding = Tensor::cat(
        vec![
            Tensor::<2>::zeros([20, 1], &Device::default()),
            Tensor::<2>::ones([12, 1], &Device::default()),
        ],
        0,
    );
    let without = seen(&["q"], kept(), &[vec![x]], None).unwrap();
    let with = seen(&["q"], kept(), &[vec![padded.clone()]], Some(&padding)).unwrap();
    let (without, with) = (grams(&["q"], without), grams(&["q"], with));
    assert_close("directions", &with[0], &without[0], DECOMPOSITION);
    let all = seen(&["q"], kept(), &[vec![padded]], None).unwrap();
    assert_ne!(grams(&["q"], all), without);
}

#[test]
fn ranks_go_where_few_directions_explain_much() {
    // One layer sees three directions alone, the other one all of them, each in the same way.
    let narrow = Tensor::cat(vec![random(30, 3, 1), random(30, 3, 2).mul_scalar(0.0)], 1);
    let wide = random(30, WIDTH, 3);
    let paths = ["narrow", "wide"];
    let found = seen(&paths, EvaOptions::default(), &[vec![narrow, wide]], None).unwrap();
    let ranks: Vec<usize> = found.sites.iter().map(|site| site.rank).collect();
    assert_eq!(ranks, [3, 1]);
    // The scale stays.
    assert!(
        found
            .sites
            .iter()
            .all(|site| site.alpha == 2.0 * site.rank as f64)
    );
}

#[test]
fn too_few_rows_and_values_that_are_no_numbers_are_refused_by_the_layer() {
    let options = EvaOptions {
        batches: 3,
        ..EvaOptions::default()
    };
    let few = vec![vec![random(3, WIDTH, 1)]];
    let error = seen(&["q"], options, &few, None).unwrap_err().to_string();
    assert!(
        error.contains("`q`") && error.contains("none of 3 batches had 4 rows"),
        "{error}"
    );
    let broken = vec![vec![random(20, WIDTH, 1).mul_scalar(f32::NAN)]];
    let error = seen(&["q"], kept(), &broken, None).unwrap_err();
    assert!(matches!(&error, PeftError::Survey { .. }), "{error}");
    assert!(error.to_string().contains("NaN or infinite"), "{error}");
}

//! Adapters from two checkpoints: an exact difference of low rank comes back, the rest is reported.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use faer::Mat;
use peft_core::file::{HostTensor, read_config, write_tensors};
use peft_core::target::TargetRules;
use peft_recycle::{Components, ExtractError, ExtractOptions, Extracted, Pool, extract};
use support::{distance, random};

type Tensors = BTreeMap<String, HostTensor>;

const Q: &str = "model.layers.0.q";
const V: &str = "model.layers.1.v";

fn tensor(matrix: &Mat<f64>) -> HostTensor {
    let rows = matrix.row_iter();
    let data = rows.flat_map(|row| row.iter().map(|value| *value as f32).collect::<Vec<_>>());
    HostTensor::new("x", [matrix.nrows(), matrix.ncols()], data.collect()).unwrap()
}

/// `q [9, 12]`, `v [12, 9]`, an unchanged `k`, an embedding, a head, a norm.
fn base() -> Tensors {
    let vector = HostTensor::new("x", [9], vec![1.0; 9]).unwrap();
    BTreeMap::from([
        (format!("{Q}.weight"), tensor(&random(9, 12, 1))),
        (format!("{Q}.bias"), vector.clone()),
        (
            "model.layers.0.k.weight".to_owned(),
            tensor(&random(9, 12, 2)),
        ),
        (format!("{V}.weight"), tensor(&random(12, 9, 3))),
        (
            "model.embed_tokens.weight".to_owned(),
            tensor(&random(20, 9, 4)),
        ),
        ("lm_head.weight".to_owned(), tensor(&random(20, 9, 5))),
        ("model.norm.weight".to_owned(), vector),
    ])
}

/// The difference that is added to a weight, of this rank.
fn difference(rows: usize, columns: usize, rank: usize) -> Mat<f64> {
    random(rows, rank, 70) * random(columns, rank, 71).transpose()
}

fn changed(tensors: &mut Tensors, name: &str, difference: &Mat<f64>) {
    let tensor = tensors.get_mut(name).unwrap();
    let width = *tensor.shape.last().unwrap();
    for (at, value) in tensor.data.iter_mut().enumerate() {
        *value += difference[(at / width, at % width)] as f32;
    }
}

fn tuned() -> Tensors {
    let mut tensors = base();
    changed(&mut tensors, &format!("{Q}.weight"), &difference(9, 12, 2));
    changed(&mut tensors, &format!("{V}.weight"), &difference(12, 9, 3));
    tensors
}

fn model(folder: &Path, tensors: &Tensors) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    write_tensors(&folder.join("model.safetensors"), tensors).unwrap();
    folder.to_owned()
}

/// Extracts, and gives the products of the adapter.
fn run(
    root: &Path,
    [before, after]: [&Tensors; 2],
    options: &ExtractOptions,
) -> Result<(Extracted, BTreeMap<String, Mat<f64>>), ExtractError> {
    let folder = tempfile::tempdir_in(root).unwrap();
    let (one, other) = (
        model(&folder.path().join("base"), before),
        model(&folder.path().join("tuned"), after),
    );
    let out = folder.path().join("adapter");
    let extracted = extract(&one, &other, options, &out).inspect_err(|_| assert!(!out.exists()))?;
    let pool = Pool::open(&[&out]).unwrap();
    let config = read_config(&out).unwrap();
    assert_eq!(config.fan_in_fan_out, options.fan_in_fan_out);
    let product = |site: &String| {
        let factors = pool.factors(0, site).unwrap().unwrap();
        (site.clone(), &factors.b * factors.a.transpose())
    };
    let products = pool.sites().keys().map(product).collect();
    Ok((extracted, products))
}

#[test]
fn an_exact_difference_of_low_rank_is_recovered() {
    let root = tempfile::tempdir().unwrap();
    let options = ExtractOptions::new(Components::Fixed(3));
    let (extracted, products) = run(root.path(), [&base(), &tuned()], &options).unwrap();
    assert_eq!(extracted.sites.keys().collect::<Vec<_>>(), [Q, V]);
    assert!(extracted.left_out.is_empty() && extracted.not_compared.is_empty());
    for (site, expected) in [(Q, difference(9, 12, 2)), (V, difference(12, 9, 3))] {
        let error = distance(&expected, &products[site]);
        assert!(error < 1e-6, "{site}: {error}");
        assert_eq!(extracted.sites[site].rank, 3);
    }
    assert!(extracted.error.relative() < 1e-6);
}

#[test]
fn a_share_of_the_energy_gives_each_weight_its_rank_and_the_error_is_real() {
    let root = tempfile::tempdir().unwrap();
    let options = ExtractOptions::new(Components::Variance(1.0 - 1e-9));
    let (extracted, _) = run(root.path(), [&base(), &tuned()], &options).unwrap();
    let ranks: Vec<usize> = extracted.sites.values().map(|site| site.rank).collect();
    assert_eq!(ranks, [2, 3]);
    let options = ExtractOptions::new(Components::Fixed(1));
    let (extracted, products) = run(root.path(), [&base(), &tuned()], &options).unwrap();
    let expected = difference(12, 9, 3);
    let values = expected.singular_values().unwrap();
    let dropped = (values[1].powi(2) + values[2].powi(2)).sqrt() / expected.norm_l2();
    for found in [
        extracted.sites[V].error.relative(),
        distance(&expected, &products[V]),
    ] {
        assert!((found / dropped - 1.0).abs() < 1e-4, "{found} {dropped}");
    }
}

#[test]
fn what_changed_beside_the_target_is_reported() {
    let root = tempfile::tempdir().unwrap();
    let mut tensors = tuned();
    let row = Mat::from_fn(1, 9, |_, _| 0.5);
    changed(&mut tensors, "model.norm.weight", &row);
    changed(&mut tensors, &format!("{Q}.bias"), &row);
    changed(&mut tensors, "lm_head.weight", &difference(20, 9, 1));
    tensors.insert(
        "model.embed_tokens.weight".to_owned(),
        tensor(&random(21, 9, 4)),
    );
    tensors.remove("model.layers.0.k.weight");
    let mut options = ExtractOptions::new(Components::Fixed(3));
    options.target = TargetRules::list(["q"]);
    let (extracted, _) = run(root.path(), [&base(), &tensors], &options).unwrap();
    let names: Vec<&str> = extracted
        .left_out
        .iter()
        .map(|left| left.name.as_str())
        .collect();
    let (v, bias) = (format!("{V}.weight"), format!("{Q}.bias"));
    assert_eq!(names, ["lm_head.weight", &bias, &v, "model.norm.weight"]);
    assert_eq!(extracted.left_out[3].change.relative(), 0.5);
    let others = ["model.embed_tokens.weight", "model.layers.0.k.weight"];
    assert_eq!(extracted.not_compared, others);
    options.target = TargetRules::list(["lm_head"]);
    let (extracted, _) = run(root.path(), [&base(), &tensors], &options).unwrap();
    assert_eq!(extracted.sites.keys().collect::<Vec<_>>(), ["lm_head"]);
}

#[test]
fn transposed_weights_give_factors_of_the_usual_orientation() {
    let root = tempfile::tempdir().unwrap();
    let mut options = ExtractOptions::new(Components::Fixed(3));
    options.fan_in_fan_out = true;
    let (_, products) = run(root.path(), [&base(), &tuned()], &options).unwrap();
    let expected = difference(12, 9, 3).transpose().to_owned();
    assert!(distance(&expected, &products[V]) < 1e-6);
}

#[test]
fn shards_are_read_by_their_index_and_what_is_wrong_is_said() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (
        model(&root.path().join("base"), &base()),
        root.path().join("tuned"),
    );
    let options = ExtractOptions::new(Components::Fixed(3));
    let out = root.path().join("adapter");
    fs::create_dir_all(&two).unwrap();
    let fails = |out: &Path| extract(&one, &two, &options, out).unwrap_err();
    assert!(matches!(fails(&out), ExtractError::NoWeights { .. }));
    let index = |shard: &str| {
        let map = tuned().into_keys().map(|name| {
            let shard = if name.starts_with("lm") {
                "b.safetensors"
            } else {
                shard
            };
            (name, shard.to_owned())
        });
        let map: BTreeMap<String, String> = map.collect();
        let text = serde_json::json!({ "weight_map": map }).to_string();
        fs::write(two.join("model.safetensors.index.json"), text).unwrap();
    };
    index("../a.safetensors");
    assert!(matches!(fails(&out), ExtractError::Index { .. }));
    index("a.safetensors");
    assert!(matches!(fails(&out), ExtractError::File(_)));
    let (second, first): (Tensors, Tensors) = tuned()
        .into_iter()
        .partition(|(name, _)| name.starts_with("lm"));
    write_tensors(&two.join("a.safetensors"), &first).unwrap();
    write_tensors(&two.join("b.safetensors"), &second).unwrap();
    let extracted = extract(&one, &two, &options, &out).unwrap();
    assert_eq!(extracted.sites.len(), 2);
    assert!(extracted.not_compared.is_empty());
    let same = extract(&one, &one, &options, &root.path().join("same")).unwrap_err();
    assert!(
        matches!(same, ExtractError::Unchanged { selected: 3 }),
        "{same}"
    );
}

#[test]
fn a_weight_that_diverged_is_named() {
    let root = tempfile::tempdir().unwrap();
    let mut tensors = tuned();
    tensors.get_mut(&format!("{V}.weight")).unwrap().data[0] = f32::NAN;
    let options = ExtractOptions::new(Components::Fixed(3));
    let error = run(root.path(), [&base(), &tensors], &options).unwrap_err();
    assert!(error.to_string().contains(V), "{error}");
}

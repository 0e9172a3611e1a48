//! Folders that Python PEFT wrote: which sites they have, with which ranks, and that they are written again byte for byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use peft_format::file::{CONFIG_FILE, TENSOR_FILE, read_folder, write_folder};
use peft_format::lora_folder::{LoraFault, LoraFolder};
use peft_format::low_rank::LowRank;
use peft_format::{Factors, Layout, Ranks};
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../peft-core/tests/golden/folders")
}

/// What PEFT says of the sites of a folder, each `(path, d_in, d_out, rank, alpha, scale)`.
fn expected(name: &str) -> Vec<(String, usize, usize, usize, f64, f64)> {
    let text = fs::read_to_string(golden().join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let number = |site: &Value, field: &str| site[field].as_f64().unwrap();
    let sites = manifest["folders"][name]["adapted"].as_array().unwrap();
    let site = |site: &Value| {
        let path = site["path"].as_str().unwrap().to_owned();
        let whole = |field: &str| number(site, field) as usize;
        let (alpha, scale) = (number(site, "alpha"), number(site, "scaling"));
        (
            path,
            whole("d_in"),
            whole("d_out"),
            whole("rank"),
            alpha,
            scale,
        )
    };
    sites.iter().map(site).collect()
}

#[test]
fn sites_ranks_and_scales_are_those_of_peft() {
    for name in ["lora", "rslora", "patterns", "seq-cls-head", "pickle"] {
        let lora = LoraFolder::open(&golden().join(name)).unwrap();
        let ranks = Ranks::of(lora.config());
        let expected = expected(name);
        assert_eq!(lora.sites().len(), expected.len(), "{name}");
        for (path, d_in, d_out, rank, alpha, scale) in expected {
            let site = &lora.sites()[&path];
            let found = (site.d_in, site.d_out, site.rank);
            assert_eq!(found, (d_in, d_out, rank), "{name}: {path}");
            assert_eq!(ranks.at(&path).unwrap(), (rank, alpha), "{name}: {path}");
            assert_eq!(site.scale, scale, "{name}: {path}");
            let [a, b] = lora.tensors(&path).unwrap().unwrap();
            let t = Layout::Transposed;
            let update = LowRank::new((&a, t), (&b, t), site.scale).unwrap();
            let factors = lora.factors(&path).unwrap().unwrap();
            let apart = Factors::from(&update).minus(&factors.scaled(scale));
            assert!(apart.squared_norm() < 1e-24, "{name}: {path}");
        }
        assert!(lora.tensors("elsewhere").unwrap().is_none());
        lora.check_finite().unwrap();
    }
}

#[test]
fn a_folder_is_written_again_byte_for_byte() {
    for name in [
        "lora",
        "patterns",
        "seq-cls-head",
        "mixed-dtypes",
        "bias-all",
    ] {
        let (from, to) = (golden().join(name), tempfile::tempdir().unwrap());
        let folder = read_folder(&from).unwrap();
        write_folder(to.path(), &folder.config.raw, &folder.tensors).unwrap();
        for file in [CONFIG_FILE, TENSOR_FILE] {
            let [before, after] =
                [from.as_path(), to.path()].map(|dir| fs::read(dir.join(file)).unwrap());
            assert!(before == after, "{name}: {file}");
        }
    }
}

#[test]
fn what_is_no_lora_of_linear_layers_is_refused() {
    let open = |name: &str| LoraFolder::open(&golden().join(name));
    let error = open("embedding").unwrap_err();
    assert!(
        error.to_string().contains("another kind of layer"),
        "{error}"
    );
    assert!(matches!(open("absent").unwrap_err(), LoraFault::File(_)));
}

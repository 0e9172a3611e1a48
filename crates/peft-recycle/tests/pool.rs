//! Pools: scales, names, what is read, and which folders cannot be members and why.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use faer::Mat;
use peft_core::file::{CONFIG_FILE, TENSOR_FILE, key};
use peft_recycle::{Bases, Folding, MemberFault, Pool, RecycleError};
use support::{Adapter, SITES, distance, folders, random};

fn product(pool: &Pool, member: usize, site: &str) -> Mat<f64> {
    let factors = pool.factors(member, site).unwrap().unwrap();
    factors.b * factors.a.transpose()
}

#[test]
fn the_scale_of_every_site_is_in_b() {
    let root = tempfile::tempdir().unwrap();
    let plain = Adapter::new(4, 0);
    let mut stabilised = Adapter::new(4, 1);
    stabilised.config.use_rslora = true;
    let mut patterns = Adapter::new(4, 2);
    patterns.config.alpha_pattern = [("layer.2.q".to_owned(), 1.0)].into();
    let adapters = [plain, stabilised, patterns];
    let folders: Vec<PathBuf> = (adapters.iter().enumerate())
        .map(|(at, adapter)| adapter.write(&root.path().join(format!("a{at}"))))
        .collect();
    let pool = Pool::open(&folders).unwrap();
    let scales = [[2.0, 2.0], [4.0, 4.0], [2.0, 0.25]];
    for (member, scales) in scales.iter().enumerate() {
        for (site, scale) in ["layer.0.q", "layer.2.q"].iter().zip(scales) {
            let expected = adapters[member].product(site, *scale);
            let apart = distance(&expected, &product(&pool, member, site));
            assert!(apart < 1e-7, "{member} {site}: {apart}");
        }
    }
    let unfolded = pool.with_folding(Folding::None);
    let expected = adapters[1].product("layer.0.q", 1.0);
    assert!(distance(&expected, &product(&unfolded, 1, "layer.0.q")) < 1e-7);
}

#[test]
fn sites_are_in_the_order_of_layers_and_ranks_may_differ() {
    let root = tempfile::tempdir().unwrap();
    let folders = folders(root.path(), &[2, 5, 1]);
    let pool = Pool::open(&folders).unwrap();
    let paths: Vec<&str> = pool.sites().keys().map(String::as_str).collect();
    assert_eq!(paths, SITES.map(|(path, ..)| path));
    for (path, d_in, d_out) in SITES {
        let factors = pool.site(path).unwrap();
        assert_eq!(factors.members, [0, 1, 2]);
        for (at, rank) in [2, 5, 1].into_iter().enumerate() {
            assert_eq!(factors.a[at].shape(), (d_in, rank));
            assert_eq!(factors.b[at].shape(), (d_out, rank));
        }
    }
    assert_eq!(pool.base_model(), Some("some/base"));
    let bytes: u64 = [CONFIG_FILE, TENSOR_FILE]
        .map(|file| fs::metadata(folders[1].join(file)).unwrap().len())
        .iter()
        .sum();
    assert_eq!(pool.members()[1].bytes(), bytes);
    assert!(matches!(
        pool.site("layer.7.q"),
        Err(RecycleError::NoSite { .. })
    ));
}

#[test]
fn other_forms_of_the_keys_are_the_same_sites() {
    let root = tempfile::tempdir().unwrap();
    let adapter = Adapter::new(2, 0);
    let mut renamed = adapter.clone();
    renamed.tensors = (adapter.tensors.iter())
        .map(|(name, tensor)| {
            let name = name
                .replace("base_model.model.", "module.base_model.model._orig_mod.")
                .replace(".weight", ".sst2.weight");
            (name, tensor.clone())
        })
        .collect();
    let folders = [
        adapter.write(&root.path().join("a")),
        renamed.write(&root.path().join("b")),
    ];
    let pool = Pool::open(&folders).unwrap();
    assert_eq!(pool.sites().len(), 3);
    for path in pool.sites().keys() {
        let factors = pool.site(path).unwrap();
        assert_eq!(factors.a[0], factors.a[1]);
        assert_eq!(factors.b[0], factors.b[1]);
    }
}

#[test]
fn a_site_that_some_members_have_is_read_from_those() {
    let root = tempfile::tempdir().unwrap();
    let mut more = Adapter::new(2, 0);
    more.put("layer.1.o", "lora_A.weight", &random(2, 6, 1));
    more.put("layer.1.o", "lora_B.weight", &random(6, 2, 2));
    let folders = [
        Adapter::new(2, 1).write(&root.path().join("a")),
        more.write(&root.path().join("b")),
    ];
    let pool = Pool::open(&folders).unwrap();
    assert_eq!(pool.sites()["layer.1.o"].members, [1]);
    assert_eq!(pool.site("layer.1.o").unwrap().members, [1]);
    assert_eq!(pool.factors(0, "layer.1.o").unwrap(), None);
}

/// A folder with one thing wrong, and a piece of what is said about it.
type Broken = (&'static str, fn(&mut Adapter), &'static str);

const BROKEN: [Broken; 7] = [
    (
        "vera",
        |a| a.config.peft_type = "VERA".into(),
        "another method than LoRA",
    ),
    (
        "pissa",
        |a| a.config.init_lora_weights = "pissa".into(),
        "changed the base weights",
    ),
    (
        "other-base",
        |a| a.config.base_model_name_or_path = Some("x/other".into()),
        "its base model is `x/other`, that of the pool is `some/base`",
    ),
    (
        "wide",
        |a| a.put("layer.0.q", "lora_A.weight", &random(2, 13, 1)),
        "site `layer.0.q`: expected (d_in, d_out) = (12, 9) as in most of the pool, found (13, 9)",
    ),
    (
        "rank",
        |a| a.config.r = 3,
        "expected lora_A [3, d_in] and lora_B [d_out, 3]",
    ),
    (
        "half",
        |a| drop(a.tensors.remove(&key("layer.2.q", "lora_A.weight"))),
        "lacks the other factor",
    ),
    (
        "embedding",
        |a| a.put("words", "lora_embedding_A", &random(2, 5, 1)),
        "only adapters of linear layers",
    ),
];

#[test]
fn every_folder_that_cannot_be_a_member_is_named_with_its_reason_at_once() {
    let root = tempfile::tempdir().unwrap();
    let mut folders = folders(root.path(), &[2; 8]);
    for (name, spoil, _) in BROKEN {
        let mut adapter = Adapter::new(2, 50);
        spoil(&mut adapter);
        folders.push(adapter.write(&root.path().join(name)));
    }
    folders.push(root.path().join("absent"));
    let no_json = Adapter::new(2, 50).write(&root.path().join("no-json"));
    fs::write(no_json.join(CONFIG_FILE), b"{\"r\": }").unwrap();
    folders.push(no_json);
    folders.push(folders[0].clone());
    let error = Pool::open(&folders).unwrap_err();
    let message = error.to_string();
    for (name, _, part) in BROKEN {
        let line = message
            .lines()
            .find(|line| line.contains(&format!("/{name}: ")));
        assert!(
            line.is_some_and(|line| line.contains(part)),
            "{name}: {message}"
        );
    }
    assert!(
        message.contains("absent") && message.contains("given twice"),
        "{message}"
    );
    assert!(
        message.contains("is not valid JSON: expected value"),
        "{message}"
    );
    let RecycleError::Members { problems } = error else {
        panic!("{message}");
    };
    assert_eq!(problems.len(), BROKEN.len() + 3);
    let (pool, skipped) = Pool::open_skipping(&folders).unwrap();
    assert_eq!((pool.members().len(), skipped.len()), (8, BROKEN.len() + 3));
}

#[test]
fn bases_are_compared_by_the_last_part_of_their_names_and_the_majority_is_right() {
    let root = tempfile::tempdir().unwrap();
    let bases = [
        Some("x/odd"),
        Some("some/base"),
        Some("base"),
        None,
        Some("models/local/base/"),
    ];
    let folders: Vec<PathBuf> = (bases.iter().enumerate())
        .map(|(at, base)| {
            let mut adapter = Adapter::new(2, at as u64);
            adapter.config.base_model_name_or_path = base.map(str::to_owned);
            adapter.write(&root.path().join(format!("a{at}")))
        })
        .collect();
    let (pool, problems) = Pool::open_skipping(&folders).unwrap();
    assert_eq!(pool.members().len(), 4);
    assert!(problems[0].folder.ends_with("a0"), "{problems:?}");
    assert!(
        matches!(&problems[0].fault, MemberFault::Base { expected, .. } if expected == "some/base")
    );
}

#[test]
fn values_that_are_not_finite_are_found_when_they_are_read() {
    let root = tempfile::tempdir().unwrap();
    let mut folders = folders(root.path(), &[2, 2]);
    let mut diverged = Adapter::new(2, 7);
    diverged
        .tensors
        .get_mut(&key("layer.2.q", "lora_B.weight"))
        .unwrap()
        .data[3] = f32::NAN;
    folders.push(diverged.write(&root.path().join("diverged")));
    let pool = Pool::open(&folders).unwrap();
    let message = pool.site("layer.2.q").unwrap_err().to_string();
    assert!(message.contains("/diverged: 1 values of"), "{message}");
    assert_eq!(pool.site("layer.0.q").unwrap().members, [0, 1, 2]);
    let (pool, problems) = pool.retain_readable().unwrap();
    assert_eq!((pool.members().len(), problems.len()), (2, 1));
    assert_eq!(pool.site("layer.2.q").unwrap().members, [0, 1]);
}

#[test]
fn magnitudes_and_heads_are_carried_under_the_keys_that_peft_writes() {
    let root = tempfile::tempdir().unwrap();
    let mut adapter = Adapter::new(2, 0);
    adapter.config.use_dora = true;
    adapter.config.task_type = Some("SEQ_CLS".into());
    for (site, _, d_out) in SITES {
        adapter.put_vector(
            site,
            "lora_magnitude_vector.default.weight",
            vec![1.5; d_out],
        );
    }
    adapter.put(
        "classifier.modules_to_save.default",
        "weight",
        &random(3, 9, 5),
    );
    let folder = adapter.write(&root.path().join("a"));
    let pool = Pool::open(&[&folder]).unwrap();
    let member = &pool.members()[0];
    let carried = member.carried().unwrap();
    assert_eq!(carried.len(), 4);
    assert_eq!(
        carried[&key("layer.10.v", "lora_magnitude_vector")].data,
        [1.5; 10]
    );
    assert_eq!(carried[&key("classifier", "weight")].shape, [3, 9]);
    assert_eq!(member.config().modules_to_save, ["classifier"]);
    adapter.config.use_dora = false;
    let message = Pool::open(&[adapter.write(&root.path().join("b"))])
        .unwrap_err()
        .to_string();
    assert!(message.contains("use_dora is false"), "{message}");
}

#[test]
fn no_folder_at_all_and_none_that_can_be_used_are_errors() {
    let none: [&Path; 0] = [];
    assert!(matches!(
        Pool::open(&none),
        Err(RecycleError::Empty { given: 0, .. })
    ));
    let error = Pool::open_skipping(&["absent"]).unwrap_err().to_string();
    assert!(error.contains("absent"), "{error}");
}

#[test]
fn one_base_under_two_names_is_one_where_the_layers_agree() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, base: &str, change: fn(&mut Adapter)| {
        let mut adapter = Adapter::new(2, 1);
        adapter.config.base_model_name_or_path = Some(base.to_owned());
        change(&mut adapter);
        adapter.write(&root.path().join(name))
    };
    let same = |_: &mut Adapter| {};
    let one = write("one", "some/base", same);
    let copy = write("copy", "some/base-bnb-4bit", same);
    let wide = write("wide", "some/large", |adapter| {
        adapter.put("layer.0.q", "lora_A.weight", &random(2, 13, 1));
    });
    let elsewhere = write("elsewhere", "some/other", |adapter| {
        let tensors = std::mem::take(&mut adapter.tensors).into_iter();
        adapter.tensors = tensors
            .map(|(key, tensor)| (key.replace("layer.", "block."), tensor))
            .collect();
    });
    assert!(Pool::open(&[&one, &copy]).is_err());
    let pool = Pool::open_by(&[&one, &copy], Bases::ByLayers).unwrap();
    assert_eq!(pool.base_names(), ["some/base", "some/base-bnb-4bit"]);
    assert_eq!(pool.with_base("it").base_model(), Some("it"));
    for other in [&wide, &elsewhere] {
        let error = Pool::open_by(&[&one, other], Bases::ByLayers)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("layers") && error.contains("`some/base`"),
            "{error}"
        );
    }
}

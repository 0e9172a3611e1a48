//! Adapters that join and leave a basis, and writers that are killed or meet broken folders.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use peft_core::file::{FileError, TENSOR_FILE, key, read_tensors, write_tensors};
use peft_recycle::{Basis, BasisOptions, Components, Extend, Mean, Pool, RecycleError};
use support::{Adapter, folders, random};

/// Exact, but for the rounding of files to single precision.
const SINGLE: f64 = 3e-6;

fn options(k: usize) -> BasisOptions {
    BasisOptions {
        components: Components::Fixed(k),
        ..BasisOptions::default()
    }
}

fn basis(root: &Path, ranks: &[usize], options: &BasisOptions) -> Basis {
    let pool = Pool::open(&folders(root, ranks)).unwrap();
    Basis::build(&pool, options, &root.join("basis")).unwrap()
}

fn back(basis: &Basis, name: &str) -> Vec<u8> {
    let out = tempfile::tempdir().unwrap();
    basis.reconstruct(name, out.path()).unwrap();
    fs::read(out.path().join(TENSOR_FILE)).unwrap()
}

fn newcomer(root: &Path) -> PathBuf {
    Adapter::new(4, 40).write(&root.join("newcomer"))
}

#[test]
fn a_newcomer_is_described_as_well_as_its_projection_says_and_the_others_do_not_change() {
    let root = tempfile::tempdir().unwrap();
    let mut basis = basis(root.path(), &[2, 2], &options(3));
    let before = [back(&basis, "adapter-0"), back(&basis, "adapter-1")];
    let folder = newcomer(root.path());
    let projected = basis.project(&folder).unwrap();
    assert_eq!(basis.members().len(), 2);
    let added = basis.add(&folder, Extend::No).unwrap();
    assert_eq!(added.errors, projected.errors);
    let error = added.errors.product.relative();
    assert!((0.05..1.0).contains(&error), "{error}");
    assert_eq!(basis.members(), ["adapter-0", "adapter-1", "newcomer"]);
    assert_eq!(basis.info().unwrap().members[2].errors, added.errors);
    assert_eq!(
        before,
        [back(&basis, "adapter-0"), back(&basis, "adapter-1")]
    );
    let error = basis.add(&folder, Extend::No).unwrap_err();
    assert!(
        matches!(&error, RecycleError::MemberExists { name } if name == "newcomer"),
        "{error}"
    );
}

#[test]
fn residual_directions_make_a_newcomer_exact_or_as_good_as_asked_and_leave_the_others_alone() {
    for mean in [Mean::Uncentred, Mean::Direction, Mean::Stored] {
        let root = tempfile::tempdir().unwrap();
        let options = BasisOptions { mean, ..options(3) };
        let mut basis = basis(root.path(), &[2, 2], &options);
        let before = [back(&basis, "adapter-0"), back(&basis, "adapter-1")];
        let folder = newcomer(root.path());
        let rough = basis.add(&folder, Extend::Residual(0.3)).unwrap();
        for (path, coordinates) in &rough.sites {
            let errors = coordinates.errors;
            assert!(
                errors.a.relative() <= 0.3 + SINGLE,
                "{mean:?} {path}: {errors:?}"
            );
            assert!(
                errors.b.relative() <= 0.3 + SINGLE,
                "{mean:?} {path}: {errors:?}"
            );
        }
        let added = |basis: &Basis| -> usize {
            let sites = basis.info().unwrap().sites;
            sites.iter().map(|site| site.a.added + site.b.added).sum()
        };
        let few = added(&basis);
        basis.remove("newcomer").unwrap();
        let exact = basis.add(&folder, Extend::Residual(0.0)).unwrap();
        assert!(
            exact.errors.product.relative() < SINGLE,
            "{mean:?}: {:?}",
            exact.errors
        );
        assert_eq!(
            before,
            [back(&basis, "adapter-0"), back(&basis, "adapter-1")],
            "{mean:?}"
        );
        let all = added(&basis);
        assert!(
            0 < few && few < all && all <= 3 * 2 * 4,
            "{mean:?}: {few} {all}"
        );
        let twin = Adapter::new(4, 40).write(&root.path().join("twin"));
        let again = basis.add(&twin, Extend::Residual(0.0)).unwrap();
        assert!(again.errors.product.relative() < SINGLE);
        assert_eq!(added(&basis), all);
    }
}

#[test]
fn one_that_left_is_gone_and_the_others_are_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let mut basis = basis(root.path(), &[2, 2, 1], &options(9));
    let before = back(&basis, "adapter-2");
    basis.remove("adapter-1").unwrap();
    assert_eq!(basis.members(), ["adapter-0", "adapter-2"]);
    assert_eq!(
        fs::read_dir(basis.folder().join("loadings"))
            .unwrap()
            .count(),
        2
    );
    assert_eq!(
        before,
        back(&Basis::open(basis.folder()).unwrap(), "adapter-2")
    );
    assert!(matches!(
        basis.remove("adapter-1"),
        Err(RecycleError::NoMember { .. })
    ));
}

#[test]
fn another_process_that_changed_the_basis_in_between_is_not_undone() {
    let root = tempfile::tempdir().unwrap();
    let mut one = basis(root.path(), &[2, 2], &options(4));
    let mut other = Basis::open(one.folder()).unwrap();
    one.add(&newcomer(root.path()), Extend::Residual(0.0))
        .unwrap();
    other.remove("adapter-0").unwrap();
    assert_eq!(other.members(), ["adapter-1", "newcomer"]);
}

#[test]
fn adapters_that_do_not_fit_the_basis_are_refused_and_change_nothing() {
    let root = tempfile::tempdir().unwrap();
    let mut basis = basis(root.path(), &[2, 2], &options(4));
    let manifest = fs::read(basis.folder().join("basis.json")).unwrap();
    let mut refused = |adapter: &Adapter, part: &str| {
        let folder = adapter.write(&root.path().join("refused"));
        let message = basis
            .add(&folder, Extend::Residual(0.0))
            .unwrap_err()
            .to_string();
        assert!(message.contains(part), "{message}");
    };
    let mut wide = Adapter::new(2, 7);
    wide.put("layer.0.q", "lora_A.weight", &random(2, 13, 1));
    refused(&wide, "expected (d_in, d_out) = (12, 9)");
    let mut elsewhere = Adapter::new(2, 7);
    elsewhere.put("head.o", "lora_A.weight", &random(2, 4, 1));
    elsewhere.put("head.o", "lora_B.weight", &random(4, 2, 1));
    refused(&elsewhere, "1 of its sites: head.o");
    let mut other = wide;
    other.config.base_model_name_or_path = Some("x/y".into());
    refused(&other, "its base model is `x/y`");
    let mut diverged = Adapter::new(2, 7);
    diverged
        .tensors
        .get_mut(&key("layer.10.v", "lora_B.weight"))
        .unwrap()
        .data[0] = f32::NAN;
    refused(&diverged, "are NaN or infinite");
    assert_eq!(
        manifest,
        fs::read(basis.folder().join("basis.json")).unwrap()
    );
    assert_eq!(basis.members().len(), 2);
    Basis::open(basis.folder()).unwrap();
}

#[test]
fn an_adapter_whose_base_has_another_name_and_the_same_layers_joins_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut basis = basis(root.path(), &[2, 2], &options(4));
    let mut copy = Adapter::new(2, 7);
    copy.config.base_model_name_or_path = Some("x/base-bnb-4bit".into());
    let folder = copy.write(&root.path().join("copy"));
    let projected = basis.project(&folder).unwrap();
    assert_eq!(projected.other_base.as_deref(), Some("x/base-bnb-4bit"));
    assert_eq!(
        basis.project(&newcomer(root.path())).unwrap().other_base,
        None
    );
    basis.add(&folder, Extend::No).unwrap();
    assert_eq!(basis.members().len(), 3);
}

/// What a process that was killed while an adapter joined leaves behind: longer components and a file that nobody lists.
#[test]
fn a_killed_writer_leaves_the_basis_that_was_there() {
    let root = tempfile::tempdir().unwrap();
    let mut basis = basis(root.path(), &[2, 2], &options(3));
    let manifest = fs::read(basis.folder().join("basis.json")).unwrap();
    let before = back(&basis, "adapter-0");
    basis
        .add(&newcomer(root.path()), Extend::Residual(0.0))
        .unwrap();
    fs::write(basis.folder().join("basis.json"), manifest).unwrap();
    let mut basis = Basis::open(basis.folder()).unwrap();
    assert_eq!(basis.members(), ["adapter-0", "adapter-1"]);
    assert_eq!(before, back(&basis, "adapter-0"));
    let other = Adapter::new(1, 41).write(&root.path().join("other"));
    let added = basis.add(&other, Extend::Residual(0.0)).unwrap();
    assert!(
        added.errors.product.relative() < SINGLE,
        "{:?}",
        added.errors
    );
    assert_eq!(before, back(&basis, "adapter-0"));
}

#[test]
fn one_truncated_file_among_twelve_is_named_and_nothing_is_lost() {
    let root = tempfile::tempdir().unwrap();
    let folders = folders(root.path(), &[2; 12]);
    let broken = folders[7].join(TENSOR_FILE);
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, &whole[..whole.len() - 5]).unwrap();
    let error = Pool::open(&folders).unwrap_err().to_string();
    assert!(
        error.starts_with("1 of the adapters") && error.contains("adapter-7"),
        "{error}"
    );
    let (pool, problems) = Pool::open_skipping(&folders).unwrap();
    assert_eq!((pool.members().len(), problems.len()), (11, 1));
    assert!(
        problems[0].to_string().contains("adapter-7"),
        "{}",
        problems[0]
    );
    let basis = Basis::build(&pool, &options(99), &root.path().join("basis")).unwrap();
    assert_eq!(basis.members().len(), 11);
    assert!(basis.info().unwrap().errors.product.relative() < SINGLE);
    for folder in &folders[..7] {
        read_tensors(&folder.join(TENSOR_FILE)).unwrap();
    }
    assert_eq!(fs::read(&broken).unwrap(), &whole[..whole.len() - 5]);
    // A file that becomes shorter after the pool was opened is found when it is read, and no basis is left behind.
    fs::write(&broken, &whole).unwrap();
    let pool = Pool::open(&folders).unwrap();
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let out = root.path().join("other");
    let error = Basis::build(&pool, &options(99), &out)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("1 of the adapters") && error.contains("adapter-7"),
        "{error}"
    );
    assert!(matches!(
        Basis::open(&out),
        Err(RecycleError::Malformed { .. })
    ));
}

#[test]
fn a_folder_that_holds_something_is_refused_and_what_a_killed_build_left_is_not() {
    let root = tempfile::tempdir().unwrap();
    let mut pool = folders(root.path(), &[2, 2]);
    let pool = Pool::open(&std::mem::take(&mut pool)).unwrap();
    let out = root.path().join("out");
    fs::create_dir_all(out.join("loadings")).unwrap();
    fs::write(out.join("components.safetensors"), b"half").unwrap();
    Basis::build(&pool, &options(2), &out).unwrap();
    let error = Basis::build(&pool, &options(2), &out).unwrap_err();
    assert!(
        matches!(error, RecycleError::File(FileError::Exists { .. })),
        "{error}"
    );
    let foreign = root.path().join("foreign");
    fs::create_dir_all(&foreign).unwrap();
    fs::write(foreign.join("notes.txt"), b"mine").unwrap();
    assert!(Basis::build(&pool, &options(2), &foreign).is_err());
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
}

#[test]
fn a_damaged_basis_is_told_by_what_does_not_fit() {
    let root = tempfile::tempdir().unwrap();
    let basis = basis(root.path(), &[2, 2], &options(3));
    let (manifest, components) = (
        basis.folder().join("basis.json"),
        basis.folder().join("components.safetensors"),
    );
    let text = fs::read_to_string(&manifest).unwrap();
    let fails = |text: &str, part: &str| {
        fs::write(&manifest, text).unwrap();
        let error = Basis::open(basis.folder()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    fails(
        &text.replace("\"format_version\": 1", "\"format_version\": 2"),
        "expected format_version 1, found 2",
    );
    fails(
        &text.replace("\"adapter-0\"", "\"../../adapter-0\""),
        "is no name of a file",
    );
    fails(
        &text.replace(
            "\"layer.0.q\": {\n      \"d_in\": 12",
            "\"layer.0.q\": {\n      \"d_in\": 13",
        ),
        "layer.0.q.components_A` [3 or more, 13], found [3, 12]",
    );
    fails(&text[..text.len() / 2], "basis.json");
    fs::write(&manifest, &text).unwrap();
    let mut tensors = read_tensors(&components).unwrap();
    tensors.remove("layer.2.q.components_B");
    write_tensors(&components, &tensors).unwrap();
    fails(
        &text,
        "layer.2.q.components_B` [3 or more, 9], found nothing",
    );
}

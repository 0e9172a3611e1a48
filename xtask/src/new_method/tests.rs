//! Tests of the skeleton in a small copy of the workspace's layout.

use tempfile::TempDir;

use super::*;

const REGISTRY: &str =
    "//! R.\npub const METHODS: &[&MethodEntry] = &[\n    &peft_core::lora::LORA,\n];\n";

fn workspace() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "crates/peft-moe/src/lib.rs",
            "//! Experts.\n\npub mod gate;\npub mod router;\n",
        ),
        (crate::tidy::REGISTRY, REGISTRY),
        (
            "docs/methods/_template.md",
            "# {{name}} `{{id}}`\n\n{{One paragraph.}}\n",
        ),
    ] {
        let place = folder.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    folder
}

fn arguments() -> Arguments {
    Arguments {
        id: "moe-lora".to_owned(),
        krate: "peft-moe".to_owned(),
        name: "Mixture of LoRA".to_owned(),
        arxiv: "2402.12851".to_owned(),
    }
}

#[test]
fn every_place_that_a_method_touches_is_written() {
    let folder = workspace();
    run(folder.path(), &arguments()).unwrap();
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    assert!(
        read("crates/peft-moe/src/lib.rs").contains("gate;\npub mod moe_lora;\npub mod router;")
    );
    assert!(read(crate::tidy::REGISTRY).contains("LORA,\n    &peft_moe::moe_lora::MOE_LORA,\n];"));
    assert!(read("docs/methods/moe-lora.md").starts_with("# Mixture of LoRA `moe-lora`"));
    assert!(read("tools/golden/moe_lora.py").contains("crates/peft-moe/tests/golden/moe-lora/"));
    assert!(
        read("crates/peft-moe/tests/golden/moe-lora/README.md")
            .contains("tools/golden/moe_lora.py")
    );
    assert!(read("crates/peft-moe/tests/contract.rs").contains("&peft_moe::moe_lora::MOE_LORA"));
}

#[test]
fn the_method_file_is_rust_without_placeholders() {
    let folder = workspace();
    run(folder.path(), &arguments()).unwrap();
    let text = fs::read_to_string(folder.path().join("crates/peft-moe/src/moe_lora.rs")).unwrap();
    assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
    syn::parse_file(&text).unwrap();
    assert!(text.contains("pub const MOE_LORA: MethodEntry"));
    assert!(text.contains("pub struct MoeLoraAdapter"));
    assert!(text.contains("use peft_core::init;"));
}

#[test]
fn a_second_run_changes_nothing() {
    let folder = workspace();
    run(folder.path(), &arguments()).unwrap();
    let before = fs::read_to_string(folder.path().join(crate::tidy::REGISTRY)).unwrap();
    let error = run(folder.path(), &arguments()).unwrap_err();
    assert!(
        error.to_string().contains("moe_lora.rs exists already"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join(crate::tidy::REGISTRY)).unwrap(),
        before
    );
}

#[test]
fn arguments_that_make_no_method_are_refused() {
    let folder = workspace();
    let refused = |change: fn(&mut Arguments), word: &str| {
        let mut arguments = arguments();
        change(&mut arguments);
        let error = run(folder.path(), &arguments).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(|a| a.id = "MoE".to_owned(), "lower-case words");
    refused(|a| a.id = "moe--lora".to_owned(), "lower-case words");
    refused(|a| a.arxiv = "https://x".to_owned(), "2402.09353");
    refused(|a| a.name = "a \"b\"".to_owned(), "no quotes");
    refused(
        |a| a.krate = "peft-none".to_owned(),
        "create the crate first",
    );
}

//! `cargo xtask new-method`: the skeleton of a method, in every place that a method touches.
//!
//! The produced file compiles and computes LoRA; its author replaces the mathematics, one part after the other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::edit;

/// Arguments of `cargo xtask new-method`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Identifier on the command line, in run files and in paths, for example `dora` or `moe-lora`.
    id: String,
    /// The crate that gets the method, for example `peft-decompose`.
    #[arg(long = "crate")]
    krate: String,
    /// Name as the paper writes it.
    #[arg(long)]
    name: String,
    /// The paper, for example 2402.09353.
    #[arg(long)]
    arxiv: String,
}

impl Arguments {
    /// The id as a Rust module: `moe_lora`.
    fn module(&self) -> String {
        self.id.replace('-', "_")
    }

    /// The id as a Rust type: `MoeLora`.
    fn type_name(&self) -> String {
        let capital = |word: &str| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        };
        self.id.split('-').map(capital).collect()
    }

    /// The path of an item in the method's file as other crates see it.
    fn path_of(&self, item: &str) -> String {
        format!(
            "{}::{}::{item}",
            self.krate.replace('-', "_"),
            self.module()
        )
    }

    /// The name of the method's entry: `MOE_LORA`.
    fn constant(&self) -> String {
        self.module().to_uppercase()
    }

    /// The folder of the golden numbers.
    fn golden(&self) -> String {
        format!("crates/{}/tests/golden/{}", self.krate, self.id)
    }

    /// Replaces every `{{key}}` of a template that has a value.
    fn fill(&self, template: &str) -> String {
        let root = if self.krate == "peft-core" {
            "crate"
        } else {
            "peft_core"
        };
        let constant = self.constant();
        let values = [
            ("id", self.id.clone()),
            ("crate", self.krate.clone()),
            ("name", self.name.clone()),
            ("arxiv", self.arxiv.clone()),
            ("module", self.module()),
            ("Type", self.type_name()),
            ("PEFT_TYPE", constant.clone()),
            ("CONST", constant.clone()),
            ("path", self.path_of(&constant)),
            ("type_path", self.path_of(&self.type_name())),
            ("golden", self.golden()),
            ("core", root.to_owned()),
        ];
        values
            .iter()
            .fold(template.to_owned(), |text, (key, value)| {
                text.replace(&format!("{{{{{key}}}}}"), value)
            })
    }

    /// Refuses values that would not make valid Rust or valid links.
    fn check(&self, root: &Path) -> anyhow::Result<()> {
        let word = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
        };
        ensure!(
            self.id.split('-').all(word),
            "id `{}`: expected lower-case words joined by `-`, for example `moe-lora`",
            self.id
        );
        ensure!(
            !self.name.contains(['"', '\\', '\n']),
            "name `{}`: expected no quotes, backslashes or line breaks",
            self.name
        );
        let number =
            |part: &str| part.len() >= 4 && part.chars().all(|digit| digit.is_ascii_digit());
        ensure!(
            self.arxiv
                .split_once('.')
                .is_some_and(|(month, paper)| number(month) && number(paper)),
            "arxiv `{}`: expected an id such as 2402.09353",
            self.arxiv
        );
        let library = root.join("crates").join(&self.krate).join("src/lib.rs");
        ensure!(
            library.exists(),
            "crate `{}` has no crates/{}/src/lib.rs: create the crate first",
            self.krate,
            self.krate
        );
        Ok(())
    }
}

/// Files to write, new or changed, as `(path, text)`: nothing is written before all of them are known.
fn plan(root: &Path, arguments: &Arguments) -> anyhow::Result<Vec<(String, String)>> {
    arguments.check(root)?;
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
    };
    let (krate, module) = (&arguments.krate, arguments.module());
    let library = format!("crates/{krate}/src/lib.rs");
    let registry = crate::tidy::REGISTRY;
    let contract = format!("crates/{krate}/tests/contract.rs");
    let page = read("docs/methods/_template.md")?;
    let new = [
        (
            format!("crates/{krate}/src/{module}.rs"),
            include_str!("../templates/method.rs.tmpl"),
        ),
        (format!("docs/methods/{}.md", arguments.id), page.as_str()),
        (
            format!("tools/golden/{module}.py"),
            include_str!("../templates/golden.py.tmpl"),
        ),
        (
            format!("{}/README.md", arguments.golden()),
            include_str!("../templates/golden_readme.md.tmpl"),
        ),
    ];
    let mut files = Vec::new();
    for (path, template) in new {
        if root.join(&path).exists() {
            bail!("{path} exists already");
        }
        files.push((path, arguments.fill(template)));
    }
    files.push((library.clone(), edit::add_module(&read(&library)?, &module)));
    let line = format!("&{}", arguments.path_of(&arguments.constant()));
    files.push((
        registry.to_owned(),
        edit::add_to_list(&read(registry)?, "METHODS", &line)?,
    ));
    let head = include_str!("../templates/contract_head.rs.tmpl").to_owned();
    let rows = if root.join(&contract).exists() {
        read(&contract)?
    } else {
        head
    };
    let row = arguments.fill(include_str!("../templates/contract.rs.tmpl"));
    files.push((contract, rows + &row));
    Ok(files)
}

/// Writes the skeleton and says what is left to do.
///
/// # Errors
/// An argument is not valid, a file of the method exists already, or the registry cannot be extended.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    for (path, text) in plan(root, arguments)? {
        let place: PathBuf = root.join(&path);
        let folder = place.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        fs::write(&place, text).with_context(|| format!("cannot write {path}"))?;
        println!("{path}");
    }
    println!(
        "next: `cargo fmt`, the mathematics in {}.rs, its page, its golden numbers, a line in README.md;\n\
         `cargo xtask tidy` names what is missing",
        arguments.module()
    );
    Ok(())
}

#[cfg(test)]
mod tests;

//! Every method on a vision model: a tiny ViT learns the digits 0 to 4 from nothing, and is then adapted to 5 to 9.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use flate2::read::GzDecoder;

use super::Arguments;
use super::comparison::Study;
use super::contender::Contender;
use super::data_set::DataSet;
use crate::shell::Step;

/// Rank 4 on every linear layer, with alpha 8, which is twice the rank where nothing is said.
const LOW_RANK: &[&str] = &["adapter.rank=4", "adapter.targets=\"all-linear\""];
const RATES: &[f64] = &[2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2];

const fn low_rank(name: &'static str, method: &'static str) -> Contender {
    Contender {
        name,
        folder: method,
        method,
        settings: &[LOW_RANK],
        rates: RATES,
    }
}

pub(super) const STUDY: Study = Study {
    name: "vision",
    prepare,
    evaluations: 1,
    contenders: &[
        Contender {
            name: "head only",
            folder: "head",
            method: "head",
            settings: &[],
            rates: &[8e-3, 3.2e-2, 1.28e-1, 5.12e-1],
        },
        low_rank("LoRA r4", "lora"),
        low_rank("rsLoRA r4", "rslora"),
        low_rank("DoRA r4", "dora"),
        low_rank("BoRA r4", "bora"),
        low_rank("PiSSA r4", "pissa"),
        low_rank("OLoRA r4", "olora"),
        Contender {
            name: "LoRA-drop r4, half",
            folder: "lora-drop",
            method: "lora-drop",
            settings: &[LOW_RANK, &["prune.keep=0.5"]],
            rates: RATES,
        },
        Contender {
            name: "MoE-LoRA, 8 experts of r2, 2 for a token",
            folder: "moe-lora",
            method: "moe-lora",
            settings: &[LOW_RANK, &["adapter.rank=2", "adapter.alpha=4.0"]],
            rates: RATES,
        },
        Contender {
            name: "EigenLoRAx r4, 16 random directions",
            folder: "eigenlorax",
            method: "eigenlorax",
            settings: &[LOW_RANK, &["adapter.options.components=16"]],
            rates: &[3.2e-2, 6.4e-2, 1.28e-1, 2.56e-1],
        },
        Contender {
            name: "SVFit, all values",
            folder: "svfit",
            method: "svfit",
            settings: &[&["adapter.targets=\"all-linear\""]],
            rates: &[3.2e-2, 6.4e-2, 1.28e-1, 2.56e-1],
        },
        Contender {
            name: "full",
            folder: "full",
            method: "full",
            settings: &[],
            rates: &[5e-4, 1e-3, 2e-3, 4e-3, 8e-3],
        },
    ],
    data: &[DataSet {
        name: "digits 5 to 9",
        task: "image-cls",
        train: "new-train.csv",
        dev: "new-valid.csv",
        settings: &["data.columns=[\"pixels\",\"label\"]"],
        metric: "accuracy",
        rounds: 1,
    }],
};

/// Cuts the digits of scikit-learn (`sklearn/digits.csv.gz` below the data folder) in two halves of five classes, every fourth image for
/// validation, and trains the base on the first half.
fn prepare(root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let source = arguments.data.join("sklearn/digits.csv.gz");
    let file = File::open(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text)?;
    let mut files: [(&str, Vec<&str>); 4] =
        ["base-train", "base-valid", "new-train", "new-valid"].map(|name| (name, Vec::new()));
    let mut seen = [0; 2];
    for line in text.lines() {
        let label: usize = line.rsplit(',').next().unwrap_or_default().parse()?;
        let half = usize::from(label > 4);
        files[2 * half + usize::from(seen[half] % 4 == 3)]
            .1
            .push(line);
        seen[half] += 1;
    }
    let data = out.join("data");
    std::fs::create_dir_all(&data)?;
    for (name, lines) in files {
        std::fs::write(data.join(format!("{name}.csv")), lines.join("\n"))?;
    }
    let (fresh, base) = (out.join("fresh"), out.join("base"));
    if !base.join("results.json").exists() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let [fresh, base, data] = [&fresh, &base, &data].map(|path| path.display().to_string());
        let config = "xtask/assets/vit-digits/config.json";
        Step::new("cargo run --example fresh_model --")
            .with_arguments(&words(&[config, &fresh, "1"]))
            .run(root)?;
        let (train, valid) = (
            format!("{data}/base-train.csv"),
            format!("{data}/base-valid.csv"),
        );
        let how = "train --overwrite --task image-cls --method full --lr 1e-3 --epochs 20 --batch-size 32 --schedule linear --seed 0";
        let mut arguments: Vec<String> = how.split(' ').map(str::to_owned).collect();
        let places = [
            "--model", &fresh, "--train", &train, "--valid", &valid, "--out", &base,
        ];
        arguments.extend(words(&places));
        Step::new("target/debug/peft")
            .with_arguments(&arguments)
            .run(root)?;
    }
    Ok(Arguments {
        model: base,
        data,
        ..arguments.clone()
    })
}

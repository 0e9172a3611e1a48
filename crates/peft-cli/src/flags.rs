//! Flags that several verbs have.

use std::path::PathBuf;

use clap::Args;
use peft_run::adapter_arg::AdapterArg;
use peft_run::answerer::Answerer;

/// A model with an optional adapter, and where to compute.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Folder of the base model in the Hugging Face layout, or a repository of the hub: OWNER/NAME or OWNER/NAME@REVISION.
    #[arg(long)]
    pub model: PathBuf,
    /// Adapter folder (or repository), or NAME=FOLDER; once per adapter.
    #[arg(long)]
    pub adapter: Vec<AdapterArg>,
    /// Folder whose tokenizer, chat template, generation settings and image processor are used; otherwise those beside the adapter, where
    /// it has some, or else the model's.
    #[arg(long, value_name = "FOLDER")]
    pub tokenizer: Option<PathBuf>,
    /// Rounds the frozen weights as they are read, for less memory: nf4, q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k, q8_0, bf16 or f16; f32 unpacks
    /// them, for more memory and often more speed. Absent: as the file has them.
    #[arg(long, value_name = "FORMAT")]
    pub quantize: Option<peft_models::Storage>,
    /// What the products of layers and of attention multiply: f32; bf16, rounded, faster on AMD's processors with AVX512-BF16; or auto, bf16
    /// where it takes less time.
    #[arg(long, default_value_t)]
    pub compute: peft_run::precision::Precision,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    pub device: String,
}

impl ModelArgs {
    /// The same for the library.
    pub fn answerer(&self) -> Answerer {
        Answerer {
            model: self.model.clone(),
            quantize: self.quantize,
            compute: self.compute,
            adapters: self.adapter.clone(),
            tokenizer: self.tokenizer.clone(),
            device: self.device.clone(),
        }
    }

    /// Every path that may be a repository.
    pub fn folders(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let adapters = self.adapter.iter_mut().map(|adapter| &mut adapter.dir);
        (std::iter::once(&mut self.model).chain(adapters)).chain(&mut self.tokenizer)
    }
}

/// A data file and how it is read.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Data file: CSV, TSV, JSONL, JSON or Parquet, also packed (.gz); for a model of images a folder, a table of pixels or idx.
    #[arg(long)]
    pub data: PathBuf,
    #[command(flatten)]
    pub read: ReadArgs,
}

/// How a data file is read.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// csv, tsv, jsonl, json or parquet, where the extension does not tell.
    #[arg(long)]
    pub format: Option<peft_train::data::Format>,
    /// What a double quote means: auto (by the file), none (itself) or double (it encloses cells).
    #[arg(long, default_value = "auto")]
    pub quoting: peft_train::data::Quoting,
    /// What stands between cells: one character, or tab; found out where absent.
    #[arg(long, value_parser = separator)]
    pub separator: Option<char>,
    /// Encoding of a text that is no UTF-8, for example windows-1252.
    #[arg(long)]
    pub encoding: Option<peft_train::data::Encoding>,
    /// Columns: text=review,label=sentiment by the names of a header; or text,label in their order for a file without one, `_` skips a
    /// column. Absent: the usual names, or those of the run that made the adapter.
    #[arg(long, value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// Whether the first row is a header: yes or no; as it looks where absent.
    #[arg(long, value_parser = yes_or_no)]
    pub header: Option<bool>,
    /// Largest number of tokens of an example; when absent 128, and for causal-lm the longest row that the model takes.
    #[arg(long)]
    pub max_length: Option<usize>,
    /// Examples of a batch.
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Uses only so many examples, from the beginning of the file.
    #[arg(long)]
    pub limit: Option<usize>,
}

/// One character between cells.
///
/// # Errors
/// When it is none.
pub fn separator(text: &str) -> Result<char, String> {
    if matches!(text, "tab" | "\\t") {
        return Ok('\t');
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) if one.is_ascii() && !one.is_alphanumeric() && one != '"' => Ok(one),
        _ => Err(format!(
            "expected one character such as ; or tab, found `{text}`"
        )),
    }
}

/// yes or no.
///
/// # Errors
/// When it is neither.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("expected yes or no, found `{text}`")),
    }
}

impl ReadArgs {
    /// The same in the form of a run file.
    pub fn config(&self) -> peft_run::settings::DataConfig {
        peft_run::settings::DataConfig {
            format: self.format,
            quoting: self.quoting,
            separator: self.separator,
            encoding: self.encoding,
            columns: self.columns.clone(),
            header: self.header,
            max_length: self.max_length,
            limit: self.limit,
            ..Default::default()
        }
    }
}

//! GGUF files: a model in one file or in two, as the folder of transformers that is made of it, and written again.

use std::path::Path;

use peft_gguf::adapter::AdapterBase;
use peft_gguf::export::{ExportError, HfFiles, ModelFile};
use peft_gguf::hf::{HfError, HfTensors};
use peft_gguf::{GgmlType, GgufError, GgufModel, Header, tokenizer};

use crate::scratch;

/// What stands between the two files of a model in an input.
const NEXT: &[u8] = b"\n--NEXT FILE--\n";
/// Tensors of which everything is read: the inputs of one run are to take milliseconds.
const READ: usize = 24;

/// Does with the bytes what the program does with such files.
///
/// # Panics
/// When a reader contradicts itself, or what was written of a model is another one: a finding.
pub fn run(bytes: &[u8]) {
    // The same header before data that the file claims to have.
    let _large = Header::read(bytes, u64::MAX >> 1);
    let two = (bytes.windows(NEXT.len())).position(|window| window == NEXT);
    match two {
        None => scratch::with_file_called("model.gguf", bytes, whole),
        Some(at) => {
            let files = [
                ("m-00001-of-00002.gguf", &bytes[..at]),
                ("m-00002-of-00002.gguf", &bytes[at + NEXT.len()..]),
            ];
            scratch::with_files(&files, |folder| whole(&folder.join(files[1].0)));
        }
    }
}

fn whole(path: &Path) {
    let Ok(model) = GgufModel::open(path) else {
        return;
    };
    tensors(&model);
    let files = [
        tokenizer::tokenizer_json(model.metadata()).map(drop),
        tokenizer::tokenizer_config(model.metadata()).map(drop),
        tokenizer::generation_config(model.metadata()).map(drop),
    ];
    // They are made of the same tokens.
    assert!(files[0].is_err() || files[2].is_ok(), "{files:?}");
    let Ok(model) = HfTensors::new(model) else {
        return;
    };
    parameters(&model);
    written_again(&model, &path.with_file_name("again.gguf"));
}

/// Tensors under the names of the file, whole and by rows.
fn tensors(model: &GgufModel) {
    for info in model.tensors().take(READ) {
        let packed = model.read(info.name()).expect("the file has its tensors");
        assert_eq!(packed.bytes().len() as u64, info.bytes());
        assert_eq!(packed.rows() as u64, info.rows());
        let rows = info.rows() / 2..info.rows();
        let last = model.read_rows(info.name(), rows).expect("it has its rows");
        assert!(packed.bytes().ends_with(last.bytes()));
        let values = packed.values();
        assert_eq!(values.is_ok(), info.kind().can_dequantise());
        if let (Ok(values), Ok(last)) = (values, last.values()) {
            assert_eq!(values.len() as u64, info.rows() * info.columns());
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(bits(&values).ends_with(&bits(&last)));
        }
    }
}

/// Tensors as transformers have them.
fn parameters(model: &HfTensors) {
    let config = model.config();
    for tensor in model.iter().take(READ) {
        let values = model.values(tensor.name());
        let order = model.row_order(tensor.name());
        let order = order.expect("what was opened has its layout");
        let rows = tensor.shape().first().copied();
        assert!(order.is_none_or(|order| Some(order.len() as u64) == rows));
        let count: u64 = tensor.shape().iter().product();
        assert!(
            values.is_ok_and(|values| values.len() as u64 == count)
                || !tensor.kind().can_dequantise()
        );
    }
    let Ok(config) = config else {
        return;
    };
    let _base = AdapterBase::of_config(&config);
    let metadata = model.model().metadata();
    let tokenizer = tokenizer::tokenizer_json(metadata);
    let about = tokenizer::tokenizer_config(metadata);
    if let (Ok(tokenizer), Ok(about)) = (tokenizer, about) {
        let files = HfFiles {
            config: &config,
            tokenizer: &tokenizer,
            about_tokenizer: &about,
            template: None,
        };
        let _exported = ModelFile::of_folder(files, GgmlType::Q8_0);
    }
}

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Read(#[from] HfError),
}

/// A file like this one has the same configuration.
fn written_again(model: &HfTensors, path: &Path) {
    if model.iter().len() > READ {
        return;
    }
    let written = || -> Result<(), Failed> {
        let mut file = ModelFile::like(model, GgmlType::F32)?;
        file.declare(model.iter().map(|one| (one.name(), one.shape())))?;
        file.write(path, |name| -> Result<_, Failed> {
            Ok(model.values(name)?)
        })
    };
    if written().is_err() {
        return;
    }
    let again = HfTensors::open(path).expect("what was written is read");
    assert_eq!(again.config().ok(), model.config().ok());
    assert_eq!(again.iter().len(), model.iter().len());
}

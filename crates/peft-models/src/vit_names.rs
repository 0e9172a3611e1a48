//! What a vision transformer calls its layers: in files, and in memory since `transformers` 5, from which adapters of Hugging Face PEFT have
//! their names.

use peft_core::Site;

use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::vit_config::VitConfig;

/// Path of the classification head.
pub(crate) const HEAD: &str = "classifier";

/// One way to call the layers of the blocks.
#[derive(Debug)]
pub(crate) struct Naming {
    /// The list of blocks.
    blocks: &'static str,
    /// Query, key and value of attention, its output, and the two layers of the MLP.
    pub(crate) layers: [&'static str; 6],
}

/// In files.
pub(crate) const FILES: Naming = Naming {
    blocks: "vit.encoder.layer",
    layers: [
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ],
};

/// In memory since `transformers` 5.
pub(crate) const TRANSFORMERS_5: Naming = Naming {
    blocks: "vit.layers",
    layers: [
        "attention.q_proj",
        "attention.k_proj",
        "attention.v_proj",
        "attention.o_proj",
        "mlp.fc1",
        "mlp.fc2",
    ],
};

impl Naming {
    /// Path of a block.
    pub(crate) fn block(&self, index: usize) -> String {
        format!("{}.{index}", self.blocks)
    }
}

/// Paths of the layers of so many blocks, in the order of the model.
pub(crate) fn paths(naming: &Naming, blocks: usize) -> impl Iterator<Item = String> {
    (0..blocks).flat_map(|index| {
        let block = naming.block(index);
        naming.layers.map(|layer| format!("{block}.{layer}"))
    })
}

/// Every site of the image classifier that the configuration describes, in the order of the model.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn image_classifier_sites(config: &ModelConfig) -> Result<Vec<Site>, ModelError> {
    sites(config, &FILES)
}

/// As [`image_classifier_sites`], by the names that layers have in memory since `transformers` 5.
///
/// # Errors
/// As [`image_classifier_sites`].
pub fn image_classifier_sites_in_transformers_5(
    config: &ModelConfig,
) -> Result<Vec<Site>, ModelError> {
    sites(config, &TRANSFORMERS_5)
}

fn sites(config: &ModelConfig, naming: &Naming) -> Result<Vec<Site>, ModelError> {
    let sizes = VitConfig::read(config)?;
    let (d, d_ff) = (sizes.d_model, sizes.d_ff);
    let widths = [(d, d), (d, d), (d, d), (d, d), (d, d_ff), (d_ff, d)];
    let layers = paths(naming, sizes.layers).zip(widths.into_iter().cycle());
    let mut sites: Vec<Site> = layers
        .map(|(path, (d_in, d_out))| Site::new(path, d_in, d_out))
        .collect();
    sites.push(Site::new(HEAD, d, config.num_labels()));
    Ok(sites)
}

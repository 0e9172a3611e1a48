//! The adaptable layers of a model from its `config.json` alone: no weights are read and nothing is allocated for them.

use peft_core::Site;

use crate::encoder_config::{EncoderConfig, Family};
use crate::error::ModelError;
use crate::hf::ModelConfig;

/// Every site of the sequence classifier that the configuration describes, in the order of the model.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn classifier_sites(config: &ModelConfig) -> Result<Vec<Site>, ModelError> {
    let (family, sizes) = read(config)?;
    let mut sites = blocks(family, &sizes, &format!("{}.", family.prefix));
    sites.push(Site::new(family.head.dense, sizes.d_model, sizes.d_model));
    sites.push(Site::new(
        family.head.output,
        sizes.d_model,
        config.num_labels(),
    ));
    Ok(sites)
}

/// Every site of the bare encoder that the configuration describes, in the order of the model.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn encoder_sites(config: &ModelConfig) -> Result<Vec<Site>, ModelError> {
    let (family, sizes) = read(config)?;
    Ok(blocks(family, &sizes, ""))
}

fn read(config: &ModelConfig) -> Result<(&'static Family, EncoderConfig), ModelError> {
    let family = Family::of(config)?;
    Ok((family, (family.read)(config)?))
}

fn blocks(family: &Family, sizes: &EncoderConfig, base: &str) -> Vec<Site> {
    let (d, d_ff) = (sizes.d_model, sizes.d_ff);
    let names = &family.block;
    let mut sites = Vec::new();
    for index in 0..sizes.layers {
        let path = |name: &str| format!("{base}{}.{index}.{name}", family.blocks);
        sites.extend(
            names
                .attention
                .iter()
                .map(|name| Site::new(path(name), d, d)),
        );
        sites.push(Site::new(path(names.up), d, d_ff));
        sites.push(Site::new(path(names.down), d_ff, d));
    }
    sites
}

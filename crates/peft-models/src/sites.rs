//! The adaptable layers of a model from its `config.json` alone: no weights are read and nothing is allocated for them.

use peft_core::{Site, SiteKind};

use crate::encoder_config::{EncoderConfig, Family};
use crate::error::ModelError;
use crate::hf::ModelConfig;

/// Every site of the sequence classifier that the configuration describes, in the order of the model.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn classifier_sites(config: &ModelConfig) -> Result<Vec<Site>, ModelError> {
    let (family, sizes) = read(config)?;
    let mut sites = encoder(family, &sizes, &format!("{}.", family.prefix));
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
    Ok(encoder(family, &sizes, ""))
}

fn read(config: &ModelConfig) -> Result<(&'static Family, EncoderConfig), ModelError> {
    let family = Family::of(config)?;
    Ok((family, (family.read)(config)?))
}

/// Tables of the embeddings, then the layers of every block.
fn encoder(family: &Family, sizes: &EncoderConfig, base: &str) -> Vec<Site> {
    let (d, d_ff) = (sizes.d_model, sizes.d_ff);
    let names = &family.block;
    let tables = &family.embeddings;
    let table = |name: &str, rows: usize| {
        Site::new(format!("{base}{name}"), rows, d).with_kind(SiteKind::Embedding)
    };
    let mut sites = vec![
        table(tables.words, sizes.vocab_size),
        table(tables.positions, sizes.max_positions),
    ];
    sites.extend(tables.types.map(|name| table(name, sizes.token_types)));
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

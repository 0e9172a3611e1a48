//! The adaptable layers of a model from its `config.json` alone: no weights are read and nothing is allocated for them.

use peft_core::{Site, SiteKind};

use crate::causal_lm::CausalLm;
use crate::decoder_config::{DecoderConfig, DecoderFamily};
use crate::encoder_config::EncoderConfig;
use crate::encoder_family::Family;
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

/// Every site of the language model that the configuration describes, in the order of the model.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn causal_lm_sites(config: &ModelConfig) -> Result<Vec<Site>, ModelError> {
    let (mut sites, sizes) = decoder_sites(config)?;
    sites.push(Site::new(CausalLm::HEAD, sizes.d_model, sizes.vocab_size));
    Ok(sites)
}

/// Every site of a decoder below its head, and the sizes of the decoder.
pub(crate) fn decoder_sites(
    config: &ModelConfig,
) -> Result<(Vec<Site>, DecoderConfig), ModelError> {
    let family = DecoderFamily::of(config)?;
    let sizes = (family.read)(config)?;
    let (d, d_ff, prefix) = (sizes.d_model, sizes.d_ff, family.prefix);
    let table = |name: &str, rows: usize| {
        Site::new(format!("{prefix}.{name}"), rows, d).with_kind(SiteKind::Embedding)
    };
    let mut sites = vec![table(family.words, sizes.vocab_size)];
    sites.extend(
        family
            .positions
            .map(|name| table(name, sizes.max_positions)),
    );
    let widths = [sizes.heads, sizes.kv_heads, sizes.kv_heads].map(|n| n * sizes.d_head);
    let names = &family.block;
    for index in 0..sizes.layers {
        let mut layer = |name: &str, d_in, d_out| {
            let path = format!("{prefix}.{}.{index}.{name}", family.blocks);
            sites.push(Site::new(path, d_in, d_out).with_kind(sizes.kind));
        };
        match names.projections {
            [all] => layer(all, d, widths.iter().sum()),
            several => {
                let several = several.iter().zip(widths);
                several.for_each(|(name, width)| layer(name, d, width));
            }
        }
        layer(names.output, widths[0], d);
        let (up, down) = names.mlp.layers(d_ff);
        up.iter().for_each(|(name, width)| layer(name, d, *width));
        layer(down, d_ff, d);
    }
    Ok((sites, sizes))
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

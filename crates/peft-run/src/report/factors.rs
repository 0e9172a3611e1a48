//! What a method stores at a site, by its own account: no method is named here.

use std::borrow::Cow;

use peft_core::file::PeftConfig;
use peft_core::{
    AttachedSite, Layout, Method, MethodEntry, PairFields, PeftError, Ranks, Site, SiteKind,
    SiteLayout,
};
use serde_json::{Map, Value};

use crate::Result;
use crate::registry::METHODS;

/// A tensor of a low-rank pair: its name in files and how the file lays it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Factor {
    /// Name after the site's path.
    pub file: String,
    /// How the file's axes relate to those in memory.
    pub layout: Layout,
}

/// `scale * a b`, with `a [d_in, rank]` and `b [rank, d_out]` in memory; or `count` such pairs side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    /// Down-projection.
    pub a: Factor,
    /// Up-projection.
    pub b: Factor,
    /// Factor of the product.
    pub scale: f64,
    /// How many pairs the two tensors hold.
    pub count: usize,
}

/// The method of a folder.
#[derive(Debug)]
pub(crate) struct FolderMethod {
    /// Its entry in the registry.
    pub entry: &'static MethodEntry,
    /// What the configuration asks for and nobody here can do exactly.
    pub unsupported: Vec<String>,
    method: Box<dyn Method>,
    ranks: Ranks,
}

impl FolderMethod {
    /// The method that reads `config`, or at least recognises it; `None` when none does.
    ///
    /// # Errors
    /// When a method recognises the configuration and cannot even be built with its default options.
    pub(crate) fn of(config: &PeftConfig) -> Result<Option<Self>> {
        let known = METHODS.iter().filter(|entry| (entry.recognises)(config));
        let readable = known
            .clone()
            .find(|entry| (entry.from_config)(config).is_ok());
        let Some(entry) = readable.or_else(|| known.clone().next()) else {
            return Ok(None);
        };
        let (method, unsupported) = match (entry.from_config)(config) {
            Ok(method) => (method, vec![]),
            Err(PeftError::Unsupported { problems }) => {
                ((entry.from_options)(&Map::new())?, problems)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Self {
            entry,
            unsupported,
            method,
            ranks: Ranks::of(config),
        }))
    }

    /// Names of the tensors that the method stores at a site of any kind and size, whatever its rank.
    pub(crate) fn tensor_names(&self) -> Vec<String> {
        // A factor may be whole in a narrow layer and a product in a wide one.
        const WIDTHS: [usize; 2] = [2, 1 << 16];
        let layouts = self.kinds().flat_map(|kind| {
            WIDTHS.map(|width| {
                let site = Site::new("any", width, width).with_kind(kind);
                self.method.layout(&site, 2, 1.0)
            })
        });
        let tensors = layouts.flat_map(|layout| layout.tensors);
        let mut names: Vec<String> = tensors
            .map(|tensor| tensor.name.file.into_owned())
            .chain(self.common_names())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Names of the tensors that the method stores once for all sites.
    fn common_names(&self) -> Vec<String> {
        let site = AttachedSite {
            path: "any".to_owned(),
            d_in: 2,
            d_out: 2,
            rank: 2,
            alpha: 1.0,
            trainable: 0,
        };
        let common = self.method.common(&[site]).unwrap_or_default();
        let names = common.into_iter().map(|tensor| tensor.name.file);
        names.map(Cow::into_owned).collect()
    }

    /// Kinds of layers that store differently and that the method adapts.
    fn kinds(&self) -> impl Iterator<Item = SiteKind> {
        let kinds = [SiteKind::Linear, SiteKind::Embedding].into_iter();
        kinds.filter(|kind| self.method.adapts(*kind))
    }

    /// Dropout of the adapter while it trains; none where the method knows none.
    pub(crate) fn dropout(&self) -> f64 {
        let options = self.method.options();
        let dropout = options.get("dropout").and_then(Value::as_f64);
        dropout.unwrap_or_default()
    }

    /// Whether a field of the configuration is one of the method's own.
    pub(crate) fn has_field(&self, field: &str) -> bool {
        self.method.config_fields().contains_key(field)
    }

    /// Rank and alpha at a site, patterns applied.
    ///
    /// # Errors
    /// When a pattern is no valid regular expression.
    pub(crate) fn size_at(&self, path: &str) -> Result<(usize, f64)> {
        Ok(self.ranks.at(path)?)
    }

    /// Whether a layer whose tensors hold so many values may have the rank that the configuration gives it.
    ///
    /// # Errors
    /// When a pattern is no valid regular expression.
    pub(crate) fn plausible_at(&self, path: &str, values: usize) -> Result<bool> {
        const SMALL: usize = 1 << 20;
        let (rank, _) = self.size_at(path)?;
        Ok(rank.saturating_mul(rank) <= values.saturating_mul(16).saturating_add(SMALL))
    }

    /// The low-rank pairs that the method has at a site, told by what the file has there.
    ///
    /// # Errors
    /// When a pattern is no valid regular expression.
    pub(crate) fn pairs_at(&self, path: &str, holds: impl Fn(&str) -> bool) -> Result<Vec<Pair>> {
        let (rank, alpha) = self.size_at(path)?;
        let layouts = self
            .kinds()
            .map(|kind| self.layout(path, kind, rank, alpha));
        let held = |layout: &SiteLayout| {
            let mut tensors = layout.tensors.iter();
            tensors.any(|tensor| holds(&tensor.name.file))
        };
        Ok(layouts
            .into_iter()
            .find(held)
            .map_or(vec![], |layout| pairs(&layout)))
    }

    /// What the method keeps at a stand-in for the layer, whose size the file has yet to tell.
    fn layout(&self, path: &str, kind: SiteKind, rank: usize, alpha: f64) -> SiteLayout {
        let site = Site::new(path, rank, rank).with_kind(kind);
        self.method.layout(&site, rank, alpha)
    }
}

/// The pairs of a layout, by their names in files.
fn pairs(layout: &SiteLayout) -> Vec<Pair> {
    let factor = |field: &str| {
        let mut tensors = layout.tensors.iter().map(|tensor| &tensor.name);
        let name = tensors.find(|name| name.field == field)?;
        Some(Factor {
            file: name.file.to_string(),
            layout: name.layout,
        })
    };
    let pair = |pair: &PairFields| {
        Some(Pair {
            a: factor(&pair.a)?,
            b: factor(&pair.b)?,
            scale: pair.scale,
            count: pair.count,
        })
    };
    layout.pairs.iter().filter_map(pair).collect()
}

//! What a method stores at a site, learnt from an adapter that the method makes itself: no method is named here.

use std::collections::HashMap;

use anyhow::{Context, Result};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use peft_core::file::PeftConfig;
use peft_core::target::pattern_value;
use peft_core::{AnyAdapter, Layout, Method, MethodEntry, PeftError, Site, SiteKind, Slot};
use serde_json::Map;

use crate::registry::METHODS;

/// A tensor of a low-rank pair: its name in files and how the file lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Factor {
    /// Name after the site's path.
    pub file: &'static str,
    /// How the file's axes relate to those in memory.
    pub layout: Layout,
}

/// `scale * a b`, with `a [d_in, rank]` and `b [rank, d_out]` in memory; or `count` such pairs side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
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
pub(crate) struct FolderMethod<'a> {
    /// Its entry in the registry.
    pub entry: &'static MethodEntry,
    /// What the configuration asks for and nobody here can do exactly.
    pub unsupported: Vec<String>,
    method: Box<dyn Method>,
    config: &'a PeftConfig,
    device: Device,
}

impl<'a> FolderMethod<'a> {
    /// The method that reads `config`, or at least recognises it; `None` when none does.
    ///
    /// # Errors
    /// When a method recognises the configuration and cannot even be built with its default options.
    pub(crate) fn of(config: &'a PeftConfig, device: Device) -> Result<Option<Self>> {
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
            config,
            device,
        }))
    }

    /// Names of the tensors that the method stores at a site of any kind, whatever its rank.
    ///
    /// # Errors
    /// When the method makes no adapter.
    pub(crate) fn tensor_names(&self) -> Result<Vec<&'static str>> {
        let mut names = Vec::new();
        for kind in self.kinds() {
            let adapter = self.probe("probe", kind, 2, self.config.lora_alpha)?;
            names.extend(adapter.tensors().iter().map(|tensor| tensor.file));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Kinds of layers that store differently and that the method adapts.
    fn kinds(&self) -> impl Iterator<Item = SiteKind> {
        let kinds = [SiteKind::Linear, SiteKind::Embedding].into_iter();
        kinds.filter(|kind| self.method.adapts(*kind))
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
        let rank = pattern_value(&self.config.rank_pattern, path)?.unwrap_or(&self.config.r);
        let alpha =
            pattern_value(&self.config.alpha_pattern, path)?.unwrap_or(&self.config.lora_alpha);
        Ok((*rank, *alpha))
    }

    /// Whether a layer whose tensors hold so many values may have the rank that the configuration gives it. Asking
    /// the method what it stores takes memory of the order of `rank^2`, and a hostile configuration claims any rank.
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
    /// When the method makes no adapter there.
    pub(crate) fn pairs_at(&self, path: &str, holds: impl Fn(&str) -> bool) -> Result<Vec<Pair>> {
        let (rank, alpha) = self.size_at(path)?;
        for kind in self.kinds() {
            let adapter = self.probe(path, kind, rank, alpha)?;
            if adapter.tensors().iter().any(|tensor| holds(tensor.file)) {
                return self.pairs_of(&adapter);
            }
        }
        Ok(vec![])
    }

    fn pairs_of(&self, adapter: &AnyAdapter) -> Result<Vec<Pair>> {
        let fields = Fields::of(adapter);
        let factor = |id: ParamId| {
            let field = fields.names.get(&id)?;
            let tensor = adapter
                .tensors()
                .iter()
                .find(|tensor| tensor.field == field)?;
            Some(Factor {
                file: tensor.file,
                layout: tensor.layout,
            })
        };
        adapter
            .pairs()
            .iter()
            .map(|pair| {
                Some(Pair {
                    a: factor(pair.a)?,
                    b: factor(pair.b)?,
                    scale: pair.scale,
                    count: pair.count,
                })
            })
            .collect::<Option<_>>()
            .with_context(|| format!("`{}` stores a factor without a name", self.entry.id))
    }

    /// An adapter at a stand-in for the layer: as small as the rank allows, with the identity as its weight.
    fn probe(&self, path: &str, kind: SiteKind, rank: usize, alpha: f64) -> Result<AnyAdapter> {
        let site = Site::new(path, rank, rank).with_kind(kind);
        Ok(self.method.create(&Slot {
            site: &site,
            weight: &Tensor::eye(rank, &self.device),
            adapter: "probe",
            rank,
            alpha,
            seed: 0,
            cache: None,
        })?)
    }
}

/// Paths of an adapter's fields by parameter.
#[derive(Debug, Default)]
struct Fields {
    path: Vec<String>,
    names: HashMap<ParamId, String>,
}

impl Fields {
    fn of(adapter: &AnyAdapter) -> Self {
        let mut fields = Self::default();
        adapter.visit(&mut fields);
        fields
    }
}

impl ModuleVisitor for Fields {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.names.insert(param.id, self.path.join("."));
    }
}

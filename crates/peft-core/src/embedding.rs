//! The host of embeddings: a frozen table whose rows adapters change.

use burn::module::Module;
use burn::nn::Embedding;
use burn::tensor::{DType, Int, Tensor};
use peft_format::{Site, SiteKind};

use crate::adapter::cast;
use crate::linear::AdaptedLinear;
use crate::pass::Pass;
use crate::weight::Weight;

/// An embedding `y = W[ids]` whose rows adapters change: `y = W[ids] + sum_i w_i delta_i[ids]`.
///
/// An embedding is a linear layer of one-hot inputs, so its adapters live in an [`AdaptedLinear`] and are attached,
/// merged and saved like all others; only the forward differs, since the one-hot rows are never formed.
///
/// # Shapes
/// Table `[num_embeddings, dim]`; ids `[batch, seq]`, output `[batch, seq, dim]`.
#[derive(Module, Debug)]
pub struct AdaptedEmbedding {
    /// The table with its adapters.
    pub table: AdaptedLinear,
}

impl AdaptedEmbedding {
    /// The embedding at `path` with the table `weight [num_embeddings, dim]`, without adapters.
    #[must_use]
    pub fn new(path: &str, weight: impl Into<Weight>) -> Self {
        let weight = weight.into();
        let [d_in, d_out] = weight.dims();
        let site = Site::new(path, d_in, d_out).with_kind(SiteKind::Embedding);
        Self {
            table: AdaptedLinear::new(site, weight, None),
        }
    }

    /// Looks up the rows of `ids`, each in the range of the table.
    ///
    /// `ids` of one row serve every row of a batch: where rows of the batch go through different adapters, the
    /// output has as many rows as the batch.
    #[must_use]
    pub fn forward(&self, ids: Tensor<2, Int>, pass: &mut Pass<'_>) -> Tensor<3> {
        let [mut batch, seq] = ids.dims();
        let dim = self.table.site().d_out;
        let rows = pass.rows().filter(|_| self.table.has_adapters());
        let Some(rows) = rows else {
            let active = self.table.active_adapters();
            return self.lookup(ids, active).reshape([batch, seq, dim]);
        };
        let ids = if batch == 1 {
            ids.expand([rows.len(), seq])
        } else {
            ids
        };
        batch = ids.dims()[0];
        let flat = ids.reshape([batch * seq, 1]);
        let parts = rows.split(flat).into_iter().map(|(name, ids)| {
            let adapter = name.and_then(|name| Some((name, self.table.adapter(name)?, 1.0)));
            self.lookup(ids, adapter.into_iter())
        });
        rows.join(parts.collect()).reshape([batch, seq, dim])
    }

    /// Rows of the table with the deltas of some adapters, shape `[ids, dim]`: added up in f32, given in the type of the table.
    fn lookup<'a>(
        &'a self,
        ids: Tensor<2, Int>,
        adapters: impl Iterator<Item = (&'a str, &'a crate::AnyAdapter, f64)>,
    ) -> Tensor<2> {
        let [batch, seq] = ids.dims();
        let flat: Tensor<1, Int> = ids.clone().reshape([batch * seq]);
        let rows = self.table.weight.lookup(ids);
        let mut output = rows.reshape([batch * seq, self.table.site().d_out]);
        let stored = output.dtype();
        for (_, adapter, weight) in adapters {
            if let Some(delta) = adapter.lookup(flat.clone(), &self.table.base()) {
                output = cast(output, DType::F32) + delta.mul_scalar(weight);
            }
        }
        cast(output, stored)
    }
}

/// The embedding without a path as yet; [`crate::named`] gives it the one that it has in its model.
impl From<Embedding> for AdaptedEmbedding {
    fn from(embedding: Embedding) -> Self {
        Self::new("", embedding.weight)
    }
}

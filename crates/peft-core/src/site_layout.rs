//! What an adapter consists of at a layer, told without weights: names, shapes, what trains, which tensors are low-rank pairs.

use std::borrow::Cow;

use crate::adapter::TensorName;
use peft_format::Site;

/// A tensor without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorShape {
    /// Its names, in the adapter and in files.
    pub name: TensorName,
    /// Its shape in memory.
    pub shape: Vec<usize>,
}

impl TensorShape {
    /// How many numbers it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |n: usize, d| n.saturating_mul(*d))
    }
}

/// A low-rank pair by the fields that hold its factors; see [`crate::FactorPair`].
#[derive(Debug, Clone, PartialEq)]
pub struct PairFields {
    /// Field of the parameter `[d_in, count * rank]`.
    pub a: Cow<'static, str>,
    /// Field of the parameter `[count * rank, d_out]`.
    pub b: Cow<'static, str>,
    /// Factor of the products.
    pub scale: f64,
    /// How many pairs the two parameters hold.
    pub count: usize,
}

/// The tensors of an adapter at one layer, in the order of [`crate::Adapter::tensors`], and its low-rank pairs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SiteLayout {
    /// Every tensor that files hold.
    pub tensors: Vec<TensorShape>,
    /// Pairs of which both factors train.
    pub pairs: Vec<PairFields>,
}

impl SiteLayout {
    /// `A [d_in, count * rank]` and `B [count * rank, d_out]`, and the pairs that they are.
    #[must_use]
    pub fn of_pair(
        [a, b]: [TensorName; 2],
        site: &Site,
        rank: usize,
        scale: f64,
        count: usize,
    ) -> Self {
        let width = rank.saturating_mul(count);
        let pairs = vec![PairFields {
            a: a.field.clone(),
            b: b.field.clone(),
            scale,
            count,
        }];
        let own = Self {
            tensors: vec![],
            pairs,
        };
        own.with(a, [site.d_in, width]).with(b, [width, site.d_out])
    }

    /// The same with one more tensor.
    #[must_use]
    pub fn with(mut self, name: TensorName, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        self.tensors.push(TensorShape { name, shape });
        self
    }

    /// How many numbers train.
    #[must_use]
    pub fn trainable(&self) -> usize {
        trainable(&self.tensors)
    }
}

/// How many numbers of these tensors train.
pub(crate) fn trainable(tensors: &[TensorShape]) -> usize {
    let trained = tensors.iter().filter(|tensor| tensor.name.trains);
    trained
        .map(TensorShape::size)
        .fold(0, usize::saturating_add)
}

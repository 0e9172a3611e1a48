//! Which keys the queries of an attention see.

use std::ops::Range;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};

/// A score with it has no weight, and f16 has room for it.
const HIDDEN: f32 = -3.0e4;

/// Which keys queries see.
#[derive(Debug, Clone)]
pub enum AttentionMask {
    /// Added to the scores, a constant: `[batch, heads, queries, keys]`, any of its first three axes may be 1. A key that is not to be
    /// seen has -3e4 or less, so that its weight is exactly 0.
    Bias(Tensor<4>),
    /// A range of keys for each query, alike for all heads.
    Ranges(KeyRanges),
}

#[cfg(any(feature = "flex", feature = "cube"))]
impl AttentionMask {
    /// A bias or ranges, whichever it is.
    pub(super) fn split(mask: Option<Self>) -> (Option<Tensor<4>>, Option<KeyRanges>) {
        match mask {
            Some(Self::Bias(bias)) => (Some(bias), None),
            Some(Self::Ranges(ranges)) => (None, Some(ranges)),
            None => (None, None),
        }
    }

    /// What was split.
    pub(super) fn of(bias: Option<Tensor<4>>, ranges: Option<KeyRanges>) -> Option<Self> {
        bias.map(Self::Bias).or(ranges.map(Self::Ranges))
    }
}

/// The keys that each query sees, one behind the other: what is causal, has a window, or holds several texts in a row or padding at either
/// end. A mask of them is as long as a text, not as long as it is wide.
#[derive(Module, Debug)]
pub struct KeyRanges {
    /// First key and one behind the last, shape `[sequences, queries, 2]`.
    on_device: Tensor<3, Int>,
    #[module(skip)]
    on_host: HostRanges,
}

/// The same for the processor; sequences that are all alike are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostRanges {
    ranges: Arc<[[u32; 2]]>,
    queries: usize,
    keys: usize,
}

impl KeyRanges {
    /// Of every sequence the ranges of its queries, out of `keys` keys; one sequence stands for as many as there are.
    ///
    /// # Panics
    /// When there is no sequence, or they differ in length, or a range is empty or ends behind the last key.
    #[must_use]
    pub fn new(sequences: &[Vec<Range<usize>>], keys: usize, device: &Device) -> Self {
        let queries = sequences.first().map_or(0, Vec::len);
        for (sequence, ranges) in sequences.iter().enumerate() {
            let fits = |range: &Range<usize>| range.start < range.end && range.end <= keys;
            assert!(
                ranges.len() == queries && ranges.iter().all(fits),
                "ranges of keys: sequence {sequence} has {} of {queries} queries, and each sees some of {keys} keys: {ranges:?}",
                ranges.len(),
            );
        }
        let first = &sequences[..1];
        let distinct = match sequences.iter().all(|ranges| *ranges == first[0]) {
            true => first,
            false => sequences,
        };
        let of_one = |range: &Range<usize>| [range.start as u32, range.end as u32];
        let ranges: Vec<_> = distinct.iter().flatten().map(of_one).collect();
        let values: Vec<i32> = ranges.iter().flatten().map(|key| *key as i32).collect();
        let data = TensorData::new(values, [distinct.len(), queries, 2]);
        Self {
            on_device: Tensor::from_data(data, device),
            on_host: HostRanges {
                ranges: ranges.into(),
                queries,
                keys,
            },
        }
    }

    /// The keys that a query of a sequence sees.
    #[must_use]
    pub fn get(&self, sequence: usize, query: usize) -> Range<usize> {
        self.on_host.get(sequence, query)
    }

    /// Sequences, queries and keys; 1 sequence where all are alike.
    #[must_use]
    pub fn dims(&self) -> [usize; 3] {
        let HostRanges { queries, keys, .. } = self.on_host;
        [self.on_device.dims()[0], queries, keys]
    }

    /// The same as a bias, `[sequences, 1, queries, keys]`: made on the device, for what reads no ranges.
    #[must_use]
    pub fn bias(&self, dtype: FloatDType) -> Tensor<4> {
        let [sequences, queries, keys] = self.dims();
        let device = self.on_device.device();
        let bound = |at: usize| {
            let bound = self.on_device.clone().narrow(2, at, 1);
            bound.reshape([sequences, 1, queries, 1])
        };
        let key = Tensor::<1, Int>::arange(0..keys as i64, &device).reshape([1, 1, 1, keys]);
        let shape = [sequences, 1, queries, keys];
        let key = key.expand(shape);
        let hidden = key
            .clone()
            .lower(bound(0).expand(shape))
            .bool_or(key.greater_equal(bound(1).expand(shape)));
        let seen = Tensor::<4>::zeros(shape, (&device, DType::from(dtype)));
        seen.mask_fill(hidden, HIDDEN)
    }

    #[cfg(feature = "flex")]
    pub(super) fn on_host(&self) -> HostRanges {
        self.on_host.clone()
    }

    #[cfg(feature = "cube")]
    pub(super) fn on_device(&self) -> Tensor<3, Int> {
        self.on_device.clone()
    }
}

impl HostRanges {
    pub(super) fn get(&self, sequence: usize, query: usize) -> Range<usize> {
        let of_sequence = sequence * self.queries % self.ranges.len();
        let [start, end] = self.ranges[of_sequence + query];
        start as usize..end as usize
    }

    /// From the first key that any of some queries sees to the last.
    #[cfg(feature = "flex")]
    pub(super) fn of(&self, sequence: usize, queries: Range<usize>) -> Range<usize> {
        let ranges = queries.map(|query| self.get(sequence, query));
        let both = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
        both.unwrap_or(0..self.keys)
    }
}

//! Which keys some queries see at all.

use std::collections::HashMap;
use std::ops::Range;

use crate::softmax::flex::BiasRows;

/// A bias below it hides a key.
const HIDDEN: f32 = -2.0e4;

/// The keys that tiles of queries see, by the first row of the bias and the number of queries: heads have most rows of a bias in common.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<(usize, usize), Range<usize>>);

impl Seen {
    /// From the first key that any of the queries sees to the last. A query that sees none has equal weights for all, as softmax says.
    ///
    /// The queries are rows of the scores of all heads.
    pub(super) fn keys(
        &mut self,
        bias: &BiasRows<'_>,
        queries: Range<usize>,
        keys: usize,
    ) -> Range<usize> {
        let place = (bias.place(queries.start), queries.len());
        let found = self.0.entry(place);
        found.or_insert_with(|| seen(bias, queries, keys)).clone()
    }
}

fn seen(bias: &BiasRows<'_>, queries: Range<usize>, keys: usize) -> Range<usize> {
    let mut seen = keys..0;
    let rows = match bias.is_one_for_all_queries() {
        true => queries.start..queries.start + 1,
        false => queries,
    };
    for row in rows {
        let bias = bias.get(row, keys);
        let is_seen = |bias: &f32| *bias >= HIDDEN || bias.is_nan();
        let first = bias.iter().position(is_seen);
        let last = bias.iter().rposition(is_seen);
        let (Some(first), Some(last)) = (first, last) else {
            return 0..keys;
        };
        seen = seen.start.min(first)..seen.end.max(last + 1);
    }
    seen
}

//! The parts of a sequence that have nothing to do with one another: its texts, where it holds several.

use std::ops::Range;

use super::shape::Shape;
use crate::attention::mask::HostRanges;

/// Queries that see keys of their own part alone. The parts of a sequence hold each query and each key once, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) queries: Range<usize>,
    pub(super) keys: Range<usize>,
}

/// The parts of every sequence: one, unless ranges say that there are more.
pub(super) fn parts(shape: Shape, ranges: Option<&HostRanges>) -> Vec<Vec<Part>> {
    let Shape { queries, keys, .. } = shape;
    let of = |sequence| match ranges {
        Some(ranges) => split(queries, keys, |query| ranges.get(sequence, query)),
        None => vec![Part {
            queries: 0..queries,
            keys: 0..keys,
        }],
    };
    (0..shape.batch).map(of).collect()
}

/// Cuts before each query that, as all behind it, sees nothing of what those before it see.
fn split(queries: usize, keys: usize, seen: impl Fn(usize) -> Range<usize>) -> Vec<Part> {
    // The first key that a query or one behind it sees.
    let mut first = vec![keys; queries];
    for query in (0..queries).rev() {
        let behind = first.get(query + 1).copied().unwrap_or(keys);
        first[query] = behind.min(seen(query).start);
    }
    let mut parts = Vec::new();
    let (mut start, mut begin, mut end) = (0, 0, 0);
    for (query, &next) in first.iter().enumerate() {
        if query > start && next >= end {
            parts.push(Part {
                queries: start..query,
                keys: begin..next,
            });
            (start, begin) = (query, next);
        }
        end = end.max(seen(query).end);
    }
    parts.push(Part {
        queries: start..queries,
        keys: begin..keys,
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seen: &[Range<usize>], keys: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let parts = split(seen.len(), keys, |query| seen[query].clone());
        let pair = |part: Part| (part.queries, part.keys);
        parts.into_iter().map(pair).collect()
    }

    #[test]
    fn texts_in_a_row_are_a_part_each() {
        let texts = [0..1, 0..2, 2..3, 2..4, 2..5, 5..6];
        assert_eq!(of(&texts, 6), [(0..2, 0..2), (2..5, 2..5), (5..6, 5..6)]);
    }

    #[test]
    fn a_text_or_a_window_over_it_is_one_part() {
        assert_eq!(of(&[0..1, 0..2, 0..3], 3), [(0..3, 0..3)]);
        assert_eq!(of(&[0..3, 1..4, 2..5], 5), [(0..3, 0..5)]);
    }

    #[test]
    fn a_later_query_that_looks_back_joins_what_is_between() {
        assert_eq!(of(&[0..1, 1..2, 0..3], 3), [(0..3, 0..3)]);
        assert_eq!(of(&[3..4, 0..1], 4), [(0..2, 0..4)]);
    }

    #[test]
    fn keys_that_nobody_sees_are_somewhere() {
        assert_eq!(of(&[1..2, 4..5], 7), [(0..1, 0..4), (1..2, 4..7)]);
        assert_eq!(of(&[], 2), [(0..0, 0..2)]);
    }
}

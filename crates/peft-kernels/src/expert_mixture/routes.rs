//! The pairs of a row and a slot, grouped by the expert that was chosen there.

use std::ops::Range;

/// Pair `p` is slot `p % slots` of row `p / slots`.
#[derive(Debug)]
pub(super) struct Routes {
    slots: usize,
    /// All pairs, those of one expert together, in the order of the rows.
    pairs: Vec<usize>,
    /// Where the pairs of each expert begin, and the end of the last one's.
    starts: Vec<usize>,
}

impl Routes {
    /// Groups the choices of rows of `slots` each.
    ///
    /// # Panics
    /// When one of them is not below `experts`.
    pub(super) fn new(chosen: &[i64], slots: usize, experts: usize) -> Self {
        let expert = |choice: i64| {
            let expert = usize::try_from(choice).ok();
            expert.filter(|expert| *expert < experts).unwrap_or_else(|| {
                panic!("expert_mixture: a row chose expert {choice} of {experts}; expected a number below")
            })
        };
        let mut starts = vec![0; experts + 1];
        for choice in chosen {
            starts[expert(*choice) + 1] += 1;
        }
        for e in 0..experts {
            starts[e + 1] += starts[e];
        }
        let (mut next, mut pairs) = (starts.clone(), vec![0; chosen.len()]);
        for (pair, choice) in chosen.iter().enumerate() {
            let at = &mut next[expert(*choice)];
            pairs[*at] = pair;
            *at += 1;
        }
        Self {
            slots,
            pairs,
            starts,
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn experts(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of pairs.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// The pairs of an expert.
    pub(super) fn of(&self, expert: usize) -> &[usize] {
        &self.pairs[self.starts[expert]..self.starts[expert + 1]]
    }

    /// The pairs of an expert in some of the rows.
    pub(super) fn within(&self, expert: usize, rows: Range<usize>) -> &[usize] {
        let pairs = self.of(expert);
        let first = pairs.partition_point(|pair| *pair < rows.start * self.slots);
        let last = pairs.partition_point(|pair| *pair < rows.end * self.slots);
        &pairs[first..last]
    }
}

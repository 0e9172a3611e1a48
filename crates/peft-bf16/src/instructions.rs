//! Which instructions multiply.

use std::sync::LazyLock;

use faer::Accum;

use crate::portable;
use crate::{HEIGHT, LANES, Pair, Tile, WIDTH};

#[cfg(target_arch = "x86_64")]
use crate::avx512;

/// Whether this processor multiplies bfloat16 itself; else products are as exact, but slower than in f32.
#[must_use]
pub fn is_native() -> bool {
    *NATIVE != Instructions::Portable
}

static NATIVE: LazyLock<Instructions> = LazyLock::new(|| {
    let all = Instructions::all().into_iter();
    all.last().unwrap_or(Instructions::Portable)
});

/// Instructions that round and multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Token),
}

/// The best that this processor has.
impl Default for Instructions {
    fn default() -> Self {
        *NATIVE
    }
}

impl Instructions {
    /// All that this processor has, the best one last.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        all.extend(avx512::Token::new().map(Self::Avx512));
        all
    }

    /// Rounds values to pairs of neighbours; a last one without a neighbour gets a zero.
    pub(crate) fn round(self, values: &[f32], pairs: &mut [Pair]) {
        match self {
            Self::Portable => portable::round(values, pairs),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.round(values, pairs),
        }
    }

    /// Rounds two rows to the pairs of values that stand over each other.
    pub(crate) fn interleave(self, upper: &[f32], lower: &[f32], pairs: &mut [Pair]) {
        match self {
            Self::Portable => portable::interleave(upper, lower, pairs),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.interleave(upper, lower, pairs),
        }
    }

    /// The same of rows that are rounded already, two values of each at a time.
    pub(crate) fn interleave_rounded(self, upper: &[Pair], lower: &[Pair], pairs: &mut [Pair]) {
        match self {
            Self::Portable => portable::interleave_rounded(upper, lower, pairs),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.interleave_rounded(upper, lower, pairs),
        }
    }

    /// Rounds columns, whose pairs of neighbours stand below each other, `width` from one to the next.
    pub(crate) fn round_upright(self, columns: [&[f32]; LANES], pairs: &mut [Pair], width: usize) {
        match self {
            Self::Portable => portable::round_upright(columns, 0, pairs, width),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.round_upright(columns, pairs, width),
        }
    }

    /// Sums the products of pairs: of rows, and of columns that lie side by side, `vectors` vectors wide; or adds them to the tile.
    pub(crate) fn multiply(
        self,
        rows: [&[Pair]; HEIGHT],
        columns: &[Pair],
        vectors: usize,
        how: Accum,
        tile: &mut Tile,
    ) {
        debug_assert!(vectors * LANES <= WIDTH);
        match self {
            Self::Portable => portable::multiply(rows, columns, vectors, how, tile),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.multiply(rows, columns, vectors, how, tile),
        }
    }
}

//! The description of the low-rank pairs at a layer.

use peft_core::Layout;
use peft_core::file::HostTensor;
use peft_core::low_rank::{EffectiveRank, LowRank};
use serde::Serialize;

use super::factors::{Factor, Pair};
use super::{SiteTensors, norm};

/// `scale * a b` at a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Factor of the product.
    pub scale: f64,
    /// Frobenius norm of A.
    pub norm_a: f64,
    /// Frobenius norm of B.
    pub norm_b: f64,
    /// `||scale a b||_F`.
    pub norm_update: f64,
    /// `exp` of the entropy of the normalised singular values; null when values are not finite.
    pub effective_rank: Option<f64>,
    /// `||update||_F^2 / sigma_max^2`; null when values are not finite.
    pub stable_rank: Option<f64>,
    /// An update that does nothing: never trained, or trained away.
    pub b_is_zero: bool,
    /// The same for the other factor, which is the one that starts at zero in embeddings.
    pub a_is_zero: bool,
}

/// The pairs that two tensors hold, and `(d_in, d_out)`.
pub(super) struct Described {
    pub sides: (usize, usize),
    pub pairs: Vec<PairReport>,
}

/// Describes every pair of two tensors, or says what is wrong with them.
pub(super) fn described(
    pair: &Pair,
    path: &str,
    rank: usize,
    tensors: &SiteTensors<'_>,
) -> Result<Described, String> {
    let tensor = |factor: &Factor| {
        let found = tensors.get(&factor.file).copied();
        found.ok_or_else(|| format!("`{path}`: `{}` is missing", factor.file))
    };
    let (a, b) = (tensor(&pair.a)?, tensor(&pair.b)?);
    let (d_in, width) = sides(path, &pair.a, a)?;
    let (height, d_out) = sides(path, &pair.b, b)?;
    let expected = rank.saturating_mul(pair.count);
    if width != expected || height != expected {
        let times = match pair.count {
            1 => String::new(),
            count => format!(" of {count} experts"),
        };
        return Err(format!(
            "`{path}`: the configuration says rank {rank}{times}, `{}` has {width}, `{}` has {height}",
            pair.a.file, pair.b.file,
        ));
    }
    let report = |at: usize| {
        let own = at * rank..(at + 1) * rank;
        let a = block(a, pair.a.layout, 1, &own);
        let b = block(b, pair.b.layout, 0, &own);
        one(pair, &a, &b).ok_or_else(|| format!("`{path}`: the tensors do not fit their shapes"))
    };
    Ok(Described {
        sides: (d_in, d_out),
        pairs: (0..pair.count).map(report).collect::<Result<_, _>>()?,
    })
}

/// Rows and columns in memory.
fn sides(path: &str, factor: &Factor, tensor: &HostTensor) -> Result<(usize, usize), String> {
    let Factor { file, layout } = factor;
    match (&tensor.shape[..], layout) {
        ([first, second], Layout::AsIs) | ([second, first], Layout::Transposed) => {
            Ok((*first, *second))
        }
        _ => Err(format!(
            "`{path}`: `{file}` {:?} is no matrix",
            tensor.shape
        )),
    }
}

/// Some of the rows (axis 0) or columns (axis 1) that a matrix has in memory, still as in the file.
fn block(
    tensor: &HostTensor,
    layout: Layout,
    axis: usize,
    range: &std::ops::Range<usize>,
) -> HostTensor {
    let axis = match layout {
        Layout::AsIs => axis,
        Layout::Transposed => 1 - axis,
    };
    let columns = tensor.shape[1];
    let inside = |at: usize| range.contains(&[at / columns, at % columns][axis]);
    let values = tensor.data.iter().enumerate();
    let mut shape = tensor.shape.clone();
    shape[axis] = range.len();
    HostTensor {
        shape,
        data: values
            .filter(|(at, _)| inside(*at))
            .map(|(_, value)| *value)
            .collect(),
        ..tensor.clone()
    }
}

fn one(pair: &Pair, a: &HostTensor, b: &HostTensor) -> Option<PairReport> {
    let update = LowRank::new((a, pair.a.layout), (b, pair.b.layout), pair.scale)?;
    let effective = update
        .singular_values()
        .map(|values| EffectiveRank::of(&values));
    Some(PairReport {
        scale: pair.scale,
        norm_a: norm(&a.data),
        norm_b: norm(&b.data),
        norm_update: update.norm(),
        effective_rank: effective.map(|rank| rank.entropy),
        stable_rank: effective.map(|rank| rank.stable),
        b_is_zero: is_zero(b),
        a_is_zero: is_zero(a),
    })
}

fn is_zero(tensor: &HostTensor) -> bool {
    tensor.data.iter().all(|value| *value == 0.0)
}

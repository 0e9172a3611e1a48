//! Layers that have a row for each token, with another number of tokens.

use burn::module::Param;
use burn::tensor::{DType, Tensor};
use peft_core::{AdaptedLinear, Site, SiteKind, cast};

/// The layer without adapters and with so many tokens: a table has them in its rows `[vocab, d_model]`, an output layer in its columns
/// `[d_model, vocab]`. Surplus ones are dropped, new ones are the mean of the old.
pub(crate) fn with_tokens(layer: &AdaptedLinear, tokens: usize) -> AdaptedLinear {
    let site = layer.site();
    let (axis, d_in, d_out) = match site.kind {
        SiteKind::Embedding => (0, tokens, site.d_out),
        SiteKind::Linear | SiteKind::Conv1d => (1, site.d_in, tokens),
    };
    let resized = Site::new(&site.path, d_in, d_out).with_kind(site.kind);
    let weight = Param::initialized(
        layer.weight.id(),
        with_size(layer.weight.val(), axis, tokens),
    );
    let bias = layer
        .bias
        .as_ref()
        .map(|bias| Param::initialized(bias.id, with_size(bias.val(), 0, tokens)));
    AdaptedLinear::new(
        resized,
        weight.set_require_grad(false),
        bias.map(|bias| bias.set_require_grad(false)),
    )
}

fn with_size<const D: usize>(tensor: Tensor<D>, axis: usize, size: usize) -> Tensor<D> {
    let old = tensor.dims()[axis];
    if size <= old {
        return tensor.narrow(axis, 0, size);
    }
    let mean = cast(tensor.clone(), DType::F32).mean_dim(axis);
    let mean = cast(mean, tensor.dtype());
    let new = mean.repeat_dim(axis, size - old);
    Tensor::cat(vec![tensor, new], axis)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use peft_core::param_id;

    use super::*;

    fn layer(kind: SiteKind) -> AdaptedLinear {
        let weight = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 6.0]], &Device::flex());
        let site = Site::new("words", 2, 2).with_kind(kind);
        AdaptedLinear::new(
            site,
            Param::initialized(param_id("words.weight"), weight),
            None,
        )
    }

    fn values(layer: &AdaptedLinear) -> Vec<f32> {
        layer.weight.val().into_data().iter::<f32>().collect()
    }

    #[test]
    fn new_tokens_are_the_mean_and_old_ones_stay() {
        let table = with_tokens(&layer(SiteKind::Embedding), 3);
        assert_eq!(values(&table), [1.0, 2.0, 3.0, 6.0, 2.0, 4.0]);
        assert_eq!((table.site().d_in, table.site().d_out), (3, 2));
        let output = with_tokens(&layer(SiteKind::Linear), 3);
        assert_eq!(values(&output), [1.0, 2.0, 1.5, 3.0, 6.0, 4.5]);
        assert_eq!((output.site().d_in, output.site().d_out), (2, 3));
        assert_eq!(output.weight.id(), param_id("words.weight"));
    }

    #[test]
    fn surplus_tokens_are_dropped() {
        let table = with_tokens(&layer(SiteKind::Embedding), 1);
        assert_eq!(values(&table), [1.0, 2.0]);
    }
}

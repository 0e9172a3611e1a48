//! One layer of a chain: its weight as it was, and the pairs that were merged into it.

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;
use peft_core::lora::LoraAdapter;
use peft_core::{AdaptedLinear, AnyAdapter, Peers, PeftError, Slot, Subject, Weight, cast};

/// A layer that updates are merged into.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The weight before the first merge, shape `[d_in, d_out]`.
    weight: Weight,
    /// `A [d_in, r]` and `B [r, d_out]` of each round that was merged.
    pairs: Vec<(Tensor<2>, Tensor<2>)>,
}

impl Link {
    /// A layer that nothing was merged into.
    pub(crate) fn of(linear: &AdaptedLinear) -> Self {
        Self {
            weight: linear.weight.clone(),
            pairs: vec![],
        }
    }

    /// Merges the update into the layer's weight and keeps it.
    pub(crate) fn push(&mut self, linear: &mut AdaptedLinear, adapter: &LoraAdapter) {
        let (a, b) = (adapter.a.val().detach(), adapter.b.val().detach());
        let update = a.clone().matmul(b.clone()).mul_scalar(adapter.scale);
        self.pairs.push((a, b));
        linear.weight = linear.weight.clone().map(|weight| {
            let update = cast(update, weight.dtype());
            (weight.detach() + update).detach()
        });
    }

    /// Puts a new start in the adapter's place.
    pub(crate) fn restart(
        &self,
        linear: &mut AdaptedLinear,
        subject: &Subject,
        seed: u64,
    ) -> Result<(), PeftError> {
        let spec = &subject.spec;
        let site = linear.site().clone();
        let (rank, alpha) = spec.ranks().at(&site.path)?;
        let adapter = spec.method.create(&Slot {
            site: &site,
            weight: &self.weight,
            adapter: &subject.name,
            rank,
            alpha,
            seed,
            cache: spec.cache.as_deref(),
            peers: Peers::default(),
        })?;
        linear.insert(&subject.name, adapter);
        Ok(())
    }

    /// Puts the weight that was, and one LoRA of all rounds, into the layer. Rounds that are not known here are of zeros: a folder is to be
    /// read into them.
    pub(crate) fn gather(
        self,
        linear: &mut AdaptedLinear,
        name: &str,
        last: LoraAdapter,
        rounds: usize,
    ) {
        let (a, b) = (last.a.val(), last.b.val());
        let zeros = (a.zeros_like(), b.zeros_like());
        let mut pairs = self.pairs;
        pairs.resize(rounds, zeros);
        pairs.push((a, b));
        let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let whole = LoraAdapter {
            a: trained(last.a.id, Tensor::cat(a, 1)),
            b: trained(last.b.id, Tensor::cat(b, 0)),
            ..last
        };
        linear.insert(name, AnyAdapter::new(whole));
        linear.weight = self.weight;
    }

    /// The opposite: merges all rounds but the last, in their order, and lets the last one train.
    pub(crate) fn scatter(
        &mut self,
        linear: &mut AdaptedLinear,
        name: &str,
        whole: &LoraAdapter,
        rounds: usize,
    ) {
        let (a, b) = (whole.a.val(), whole.b.val());
        let rank = a.dims()[1] / (rounds + 1);
        let round = |at: usize| LoraAdapter {
            a: trained(whole.a.id, a.clone().narrow(1, at * rank, rank)),
            b: trained(whole.b.id, b.clone().narrow(0, at * rank, rank)),
            ..whole.clone()
        };
        for at in 0..rounds {
            self.push(linear, &round(at));
        }
        linear.insert(name, AnyAdapter::new(round(rounds)));
    }
}

/// A parameter that trains from this value on.
fn trained(id: ParamId, value: Tensor<2>) -> Param<Tensor<2>> {
    Param::initialized(id, value.detach()).set_require_grad(true)
}

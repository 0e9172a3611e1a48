//! One layer of a chain: its weight as it was, and the pairs that were merged into it.

use burn::module::Param;
use burn::tensor::Tensor;
use peft_core::lora::LoraAdapter;
use peft_core::{AdaptedLinear, AnyAdapter, PeftError, Slot, Subject, cast};

/// A layer that updates are merged into.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The weight before the first merge, shape `[d_in, d_out]`.
    weight: Tensor<2>,
    /// `A [d_in, r]` and `B [r, d_out]` of each round that was merged.
    pairs: Vec<(Tensor<2>, Tensor<2>)>,
}

impl Link {
    /// A layer that nothing was merged into.
    pub(crate) fn of(linear: &AdaptedLinear) -> Self {
        Self {
            weight: linear.weight.val(),
            pairs: vec![],
        }
    }

    /// Merges the update into the layer's weight and keeps it.
    pub(crate) fn push(&mut self, linear: &mut AdaptedLinear, adapter: &LoraAdapter) {
        let (a, b) = (adapter.a.val().detach(), adapter.b.val().detach());
        let update = a.clone().matmul(b.clone()).mul_scalar(adapter.scale);
        self.pairs.push((a, b));
        set(linear, |weight| {
            let update = cast(update, weight.dtype());
            weight + update
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
        })?;
        linear.insert(&subject.name, adapter);
        Ok(())
    }

    /// Puts the weight that was, and one LoRA of all rounds, into the layer. Rounds that are not known here are of zeros: a folder is to be
    /// read into them.
    pub(crate) fn gather(
        &self,
        linear: &mut AdaptedLinear,
        subject: &Subject,
        last: LoraAdapter,
        rounds: usize,
    ) {
        let (a, b) = (last.a.val().detach(), last.b.val().detach());
        let zeros = (a.zeros_like(), b.zeros_like());
        let mut pairs = self.pairs.clone();
        pairs.resize(rounds, zeros);
        pairs.push((a, b));
        let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let whole = LoraAdapter {
            a: Param::initialized(last.a.id, Tensor::cat(a, 1).detach()).set_require_grad(true),
            b: Param::initialized(last.b.id, Tensor::cat(b, 0).detach()).set_require_grad(true),
            ..last
        };
        linear.insert(&subject.name, AnyAdapter::new(whole));
        let weight = self.weight.clone();
        set(linear, |_| weight);
    }

    /// The opposite: merges all rounds but the last, in their order, and lets the last one train.
    pub(crate) fn scatter(
        &mut self,
        linear: &mut AdaptedLinear,
        subject: &Subject,
        whole: &LoraAdapter,
        (rounds, seed): (usize, u64),
    ) -> Result<(), PeftError> {
        self.restart(linear, subject, seed)?;
        let (a, b) = (whole.a.val().detach(), whole.b.val().detach());
        let rank = a.dims()[1] / (rounds + 1);
        let block = |round: usize| {
            let (from, to) = (round * rank, (round + 1) * rank);
            let (a, b) = (a.clone(), b.clone());
            (
                a.slice([0..a_rows(whole), from..to]),
                b.slice([from..to, 0..b_columns(whole)]),
            )
        };
        let fresh = linear.adapter(&subject.name);
        let Some(fresh) = fresh
            .and_then(|adapter| adapter.downcast_ref::<LoraAdapter>())
            .cloned()
        else {
            return Ok(());
        };
        let with = |(a, b): (Tensor<2>, Tensor<2>)| LoraAdapter {
            a: Param::initialized(fresh.a.id, a.detach()).set_require_grad(true),
            b: Param::initialized(fresh.b.id, b.detach()).set_require_grad(true),
            ..fresh.clone()
        };
        for round in 0..rounds {
            self.push(linear, &with(block(round)));
        }
        let last = with(block(rounds));
        linear.insert(&subject.name, AnyAdapter::new(last));
        Ok(())
    }
}

fn a_rows(adapter: &LoraAdapter) -> usize {
    adapter.a.dims()[0]
}

fn b_columns(adapter: &LoraAdapter) -> usize {
    adapter.b.dims()[1]
}

fn set(linear: &mut AdaptedLinear, change: impl FnOnce(Tensor<2>) -> Tensor<2>) {
    let frozen = !linear.weight.is_require_grad();
    let weight = linear.weight.clone();
    let weight = weight.map(|weight| change(weight.detach()).detach());
    linear.weight = weight.set_require_grad(!frozen);
}

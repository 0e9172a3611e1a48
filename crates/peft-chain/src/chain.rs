//! Merge and restart (ReLoRA: Lialin et al. 2023, <https://arxiv.org/abs/2307.05695>; PeriodicLoRA: Meng et al. 2024,
//! <https://arxiv.org/abs/2402.16141>). Every `every` steps the update of each layer is folded into its frozen weight,
//!
//! ```text
//! W <- W + scale A B,   A <- a new start,   B <- 0,
//! ```
//!
//! the optimizer forgets the pair, and learning rates rise from nothing over the first `warmup` steps of the new round. After `k` rounds the
//! update is `scale (A_1 B_1 + .. + A_k B_k)`, of a rank of up to `k r`, and exactly one LoRA of rank `k r`: the factors side by side, with
//! the same scale. That is what every checkpoint and the final folder hold; the frozen weights of the base are not changed outside of memory.
//!
//! Memory: the weights of adapted layers are kept as they were, beside those that updates were folded into.
//!
//! Deviation from ReLoRA, which keeps a hundredth of the optimizer's state: all of it goes, as in PeriodicLoRA without its momentum.

use std::collections::BTreeMap;

use burn::module::ParamId;
use peft_core::file::HostTensor;
use peft_core::lora::{LORA, LoraAdapter, RSLORA, Scaling};
use peft_core::{
    AdaptedLinear, AdapterSpec, Change, Layers, Moment, PeftError, Procedure, ProcedureEntry,
    ProcedureResult, SiteKind, Subject,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::link::Link;

const NAME: &str = "chain";
/// The name of the number of rounds in a state.
const ROUNDS: &str = "rounds";

/// The entry of chains in a registry of procedures.
pub const CHAIN: ProcedureEntry = ProcedureEntry {
    id: NAME,
    summary: "merges a LoRA into the base every so many steps and starts it anew; saved as one LoRA of the rank of all",
    paper: "Lialin et al. 2023, ReLoRA: High-Rank Training Through Low-Rank Updates, arXiv 2307.05695",
    from_options: Chain::from_options,
};

/// When a chain merges and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChainOptions {
    /// Steps of a round.
    pub every: usize,
    /// Steps of each round after the first over which learning rates rise again.
    pub warmup: usize,
}

impl Default for ChainOptions {
    /// Rounds of 100 steps, 10 of them for the rise.
    fn default() -> Self {
        Self {
            every: 100,
            warmup: 10,
        }
    }
}

/// A LoRA that is merged and restarted while it trains.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    options: ChainOptions,
    /// Rounds that were merged.
    rounds: usize,
    /// What each adapted layer was before, and what was merged into it, by path.
    links: BTreeMap<String, Link>,
}

fn wrong(option: &'static str, problem: impl Into<String>) -> PeftError {
    PeftError::ProcedureOption {
        procedure: NAME,
        option,
        problem: problem.into(),
    }
}

impl Chain {
    /// A chain that has not begun.
    #[must_use]
    pub fn new(options: ChainOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    fn from_options(options: &Map<String, Value>) -> ProcedureResult {
        let options: ChainOptions = ProcedureEntry::options(NAME, options)?;
        if options.every == 0 || options.warmup >= options.every {
            return Err(wrong(
                "every",
                format!(
                    "expected more steps than chain.warmup = {}; found {}",
                    options.warmup, options.every
                ),
            ));
        }
        Ok(Box::new(Self::new(options)))
    }

    /// Does something to every layer with the adapter.
    fn each(
        layers: &mut dyn Layers,
        name: &str,
        mut work: impl FnMut(&mut AdaptedLinear, LoraAdapter) -> Result<(), PeftError>,
    ) -> Result<(), PeftError> {
        let mut outcome = Ok(());
        layers.each_mut(&mut |linear| {
            let adapter = linear.adapter(name);
            let adapter = adapter.and_then(|adapter| adapter.downcast_ref::<LoraAdapter>());
            if let (Ok(()), Some(adapter)) = (&outcome, adapter.cloned()) {
                outcome = work(linear, adapter);
            }
        });
        outcome
    }

    /// Seed of the round after `rounds` rounds.
    fn seed(&self, subject: &Subject) -> u64 {
        let golden = 0x9E37_79B9_7F4A_7C15_u64;
        subject.seed ^ golden.wrapping_mul(self.rounds as u64)
    }

    /// What the LoRA of all rounds is described as: rank times rounds, and alpha so that the scale is the same.
    fn described(&self, spec: &AdapterSpec) -> AdapterSpec {
        let times = self.rounds + 1;
        let growth = match scaling_of(spec) {
            Some(Scaling::RankStabilized) => (times as f64).sqrt(),
            _ => times as f64,
        };
        spec.clone().with_ranks(spec.ranks().times(times, growth))
    }
}

/// How the LoRA of a description scales its product, where it is one.
fn scaling_of(spec: &AdapterSpec) -> Option<Scaling> {
    match spec.method.entry().id {
        id if id == LORA.id => Some(Scaling::Standard),
        id if id == RSLORA.id => Some(Scaling::RankStabilized),
        _ => None,
    }
}

impl Procedure for Chain {
    fn name(&self) -> &'static str {
        NAME
    }

    fn boxed(&self) -> Box<dyn Procedure> {
        Box::new(self.clone())
    }

    fn check(
        &self,
        subject: Option<&Subject>,
        layers: &dyn Layers,
        total: usize,
    ) -> Result<(), PeftError> {
        let every = self.options.every;
        if every >= total {
            return Err(wrong(
                "every",
                format!(
                    "expected fewer than the {total} steps of the run, or nothing is merged; found {every}"
                ),
            ));
        }
        if subject
            .and_then(|subject| scaling_of(&subject.spec))
            .is_none()
        {
            let found = subject.map_or("no adapter", |subject| subject.spec.method.entry().id);
            return Err(wrong(
                "(method)",
                format!(
                    "expected --method lora or rslora, whose rounds add up to one LoRA; found {found}"
                ),
            ));
        }
        let mut tables = vec![];
        layers.each(&mut |linear| {
            if linear.has_adapters() && linear.site().kind == SiteKind::Embedding {
                tables.push(linear.site().path.clone());
            }
        });
        match tables.first() {
            None => Ok(()),
            Some(path) => Err(wrong(
                "(targets)",
                format!(
                    "expected linear layers; `{path}` is an embedding, which may be an output layer too"
                ),
            )),
        }
    }

    fn rate(&self, at: Moment) -> f64 {
        let ChainOptions { every, warmup } = self.options;
        let taken = at.step % every;
        if at.step < every || taken >= warmup {
            return 1.0;
        }
        (taken + 1) as f64 / (warmup + 1) as f64
    }

    fn after_step(
        &mut self,
        at: Moment,
        subject: Option<&Subject>,
        layers: &mut dyn Layers,
    ) -> Result<Change, PeftError> {
        let due = at.step.is_multiple_of(self.options.every) && at.step < at.total;
        let Some(subject) = subject.filter(|_| due) else {
            return Ok(Change::Nothing);
        };
        self.rounds += 1;
        let seed = self.seed(subject);
        let links = &mut self.links;
        let mut reset: Vec<ParamId> = vec![];
        Self::each(layers, &subject.name, |linear, adapter| {
            let path = linear.site().path.clone();
            let link = links.entry(path).or_insert_with(|| Link::of(linear));
            link.push(linear, &adapter);
            link.restart(linear, subject, seed)?;
            reset.extend([adapter.a.id, adapter.b.id]);
            Ok(())
        })?;
        Ok(Change::Values { reset })
    }

    fn gather(
        &self,
        subject: &Subject,
        layers: &mut dyn Layers,
    ) -> Result<Option<AdapterSpec>, PeftError> {
        // Also before the first merge: a run may go back to a checkpoint from before it.
        Self::each(layers, &subject.name, |linear, adapter| {
            let link = self.links.get(&linear.site().path).cloned();
            let link = link.unwrap_or_else(|| Link::of(linear));
            link.gather(linear, &subject.name, adapter, self.rounds);
            Ok(())
        })?;
        Ok((self.rounds > 0).then(|| self.described(&subject.spec)))
    }

    fn scatter(&mut self, subject: &Subject, layers: &mut dyn Layers) -> Result<(), PeftError> {
        self.links.clear();
        if self.rounds == 0 {
            return Ok(());
        }
        let (rounds, links) = (self.rounds, &mut self.links);
        Self::each(layers, &subject.name, |linear, whole| {
            let path = linear.site().path.clone();
            let link = links.entry(path).or_insert_with(|| Link::of(linear));
            link.scatter(linear, &subject.name, &whole, rounds);
            Ok(())
        })
    }

    fn state(&self) -> BTreeMap<String, HostTensor> {
        let rounds = HostTensor {
            shape: vec![1],
            data: vec![self.rounds as f32],
            ..HostTensor::default()
        };
        [(ROUNDS.to_owned(), rounds)].into()
    }

    fn load_state(&mut self, mut state: BTreeMap<String, HostTensor>) -> Result<(), PeftError> {
        let refuse = |name: &str, problem: &str| PeftError::State {
            name: name.to_owned(),
            problem: problem.to_owned(),
        };
        let rounds = state.remove(ROUNDS);
        let rounds = rounds.as_ref().and_then(|tensor| tensor.data.first());
        let Some(rounds) =
            rounds.filter(|rounds| rounds.fract() == 0.0 && (0.0..1e6).contains(*rounds))
        else {
            return Err(refuse(
                ROUNDS,
                "expected how many rounds of the chain were merged",
            ));
        };
        if let Some(name) = state.keys().next() {
            return Err(refuse(name, "a chain keeps no such state"));
        }
        self.rounds = *rounds as usize;
        Ok(())
    }
}

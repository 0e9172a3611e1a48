//! `peft combine`: several adapters of one base model, each with a weight, as one LoRA.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peft_recycle::{Arithmetic, Components, Heads, Majority, Mode};
use peft_run::adapter_arg::WeightedFolder;
use peft_run::combine::{CombineResult, Combining};

/// What to combine, and how.
#[derive(Debug, Args)]
pub struct CombineArgs {
    /// Adapter folders, or repositories of the hub, each with its weight: FOLDER=0.7; 1 without one.
    #[arg(required = true, value_name = "ADAPTER[=WEIGHT]")]
    adapters: Vec<WeightedFolder>,
    /// How adapters become one.
    #[arg(long, value_enum, default_value = "exact")]
    mode: ModeArg,
    /// Rank of the result, for svd and with --updates.
    #[arg(long)]
    rank: Option<usize>,
    /// As small a rank as reaches this share of the squared singular values, instead.
    #[arg(long, conflicts_with = "rank")]
    energy: Option<f64>,
    /// Share of the entries that ties, dare and magnitude-prune keep.
    #[arg(long, default_value_t = 0.5)]
    density: f64,
    /// Decides which entries dare keeps.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// For linear, ties, dare and magnitude-prune: the rule on whole updates, cut to --rank, rather than on factors as PEFT has it.
    #[arg(long)]
    updates: bool,
    /// Takes the head of the adapter of this name, rather than the average.
    #[arg(long, value_name = "NAME")]
    head: Option<String>,
    /// Take adapters whose configurations name different bases as adapters of one, without a warning; their layers must agree.
    #[arg(long)]
    any_base: bool,
    /// What the result calls its base; says so, too, of adapters that name different ones.
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Adapter folder to write.
    #[arg(long)]
    out: PathBuf,
}

/// How adapters become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    /// The exact weighted sum, of its numerical rank.
    Exact,
    /// The exact weighted sum, of the sum of the ranks.
    Cat,
    /// The nearest update of --rank or --energy to the weighted sum.
    Svd,
    /// The weighted sum of factors, as PEFT has it.
    Linear,
    /// TIES: the largest entries of the elected sign.
    Ties,
    /// DARE: random entries, enlarged.
    DareLinear,
    /// DARE with the elected sign of TIES.
    DareTies,
    /// The largest entries of each.
    MagnitudePrune,
}

impl CombineArgs {
    /// Every path that may be a repository.
    pub fn folders(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.adapters.iter_mut().map(|adapter| &mut adapter.dir)
    }

    /// Size of the result, where one is to be given.
    fn components(&self) -> Result<Components> {
        match (self.rank, self.energy) {
            (Some(rank), _) => Ok(Components::Fixed(rank)),
            (None, Some(share)) => Ok(Components::Variance(share)),
            (None, None) => bail!(peft_run::Error::Usage(
                "this mode needs the size of its result; give --rank or --energy".into()
            )),
        }
    }

    fn arithmetic(&self) -> Option<Arithmetic> {
        let (density, seed) = (self.density, self.seed);
        match self.mode {
            ModeArg::Exact | ModeArg::Cat | ModeArg::Svd => None,
            ModeArg::Linear => Some(Arithmetic::linear()),
            ModeArg::Ties => Some(Arithmetic::ties(density, Majority::Total)),
            ModeArg::DareLinear => Some(Arithmetic::dare_linear(density, seed)),
            ModeArg::DareTies => Some(Arithmetic::dare_ties(density, seed, Majority::Total)),
            ModeArg::MagnitudePrune => Some(Arithmetic::magnitude_prune(density)),
        }
    }

    fn mode(&self) -> Result<Mode> {
        match (self.mode, self.arithmetic()) {
            (_, Some(rule)) if self.updates => Ok(Mode::Updates(rule, self.components()?)),
            (_, Some(rule)) => Ok(Mode::Factors(rule)),
            (ModeArg::Svd, None) => Ok(Mode::Svd(self.components()?)),
            (ModeArg::Cat, None) => Ok(Mode::Cat),
            (_, None) => Ok(Mode::Exact),
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with an adapter, or with combining them in this way.
pub fn run(args: &CombineArgs, json: bool) -> Result<()> {
    let result = CombineResult::of(&Combining {
        adapters: &args.adapters,
        mode: args.mode()?,
        heads: args.head.clone().map_or(Heads::Average, Heads::Of),
        any_base: args.any_base,
        base: args.base.as_deref(),
        out: &args.out,
    })?;
    if json {
        return super::print_json(&result);
    }
    for (path, site) in &result.sites {
        println!("{path}: rank {}, lost {:.3e}", site.rank, site.error);
    }
    if !result.carried.is_empty() {
        let how = match &args.head {
            Some(name) => format!("of {name}"),
            None => "averaged by the weights".to_owned(),
        };
        println!("{how}, not added: {}", result.carried.join(", "));
    }
    println!(
        "lost of the weighted sum, relative: {:.3e}; written to {}",
        result.error,
        result.out.display()
    );
    Ok(())
}

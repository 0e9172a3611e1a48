//! `peft recycle`: what adapters of one base model have in common, kept once, and each adapter as its coordinates in it (EigenLoRAx).

mod print;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use peft_core::file::disk;
use peft_recycle::{
    Bases, Basis, BasisOptions, Components, Extend, Folding, Mean, MemberProblem, Pool, Variant,
    leave_one_out, similarity,
};
use serde::Serialize;

use crate::picture::basis_map;
use peft_run::companions;
use peft_run::hub;
use peft_run::recycle::{
    BasisReport, HeldOutReport, ProjectionReport, SimilarityReport, warn_of_bases,
};

/// What to do with a basis or a pool of adapters.
#[derive(Debug, Args)]
pub struct RecycleArgs {
    #[command(subcommand)]
    verb: RecycleVerb,
}

/// The verbs of a basis.
#[derive(Debug, Subcommand)]
enum RecycleVerb {
    /// Make a basis of adapter folders of one base model.
    Build(BuildArgs),
    /// Say what a basis holds, what it saves and how exact it is.
    Info(InfoArgs),
    /// Let an adapter join a basis.
    Add(AddArgs),
    /// Say how well a basis describes an adapter, without adding it.
    Project(MemberArgs),
    /// Write an adapter of a basis as a LoRA folder that Hugging Face PEFT loads.
    Reconstruct(ReconstructArgs),
    /// Take an adapter out of a basis.
    Remove(RemoveArgs),
    /// Say which adapters are alike: the cosine between their updates.
    Similarity(SimilarityArgs),
    /// Say how well the other adapters describe each one, for several numbers of components.
    LeaveOneOut(LeaveOneOutArgs),
}

/// Adapter folders of one base model.
#[derive(Debug, Args)]
struct PoolArgs {
    /// Adapter folders, or repositories of the hub.
    #[arg(required = true, value_name = "ADAPTER")]
    adapters: Vec<PathBuf>,
    /// Leave out adapters that cannot be used, and say why, instead of failing.
    #[arg(long)]
    skip_bad: bool,
    /// Take adapters whose configurations name different bases as adapters of one, without a warning; their layers must agree.
    #[arg(long)]
    any_base: bool,
    /// Forget the adapters' scales (alpha over rank), as the published code does; to compare.
    #[arg(long)]
    no_folding: bool,
}

/// How a basis is made.
#[derive(Debug, Args)]
struct BuildArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Folder of the basis.
    #[arg(long)]
    out: PathBuf,
    /// Components of each factor at each layer.
    #[arg(long, default_value_t = 32)]
    components: usize,
    /// As few components as reach this share of the variance, instead.
    #[arg(long, conflicts_with = "components")]
    variance: Option<f64>,
    /// What becomes of the mean of the columns.
    #[arg(long, value_enum, default_value = "uncentred")]
    mean: MeanArg,
    /// Random directions in addition, for more room to train in.
    #[arg(long, default_value_t = 0)]
    pseudo: usize,
    /// Decides the random directions.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Each whole factor as one vector, instead of its columns; adapters must have one rank.
    #[arg(long)]
    flat: bool,
}

/// What becomes of the mean of the columns.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MeanArg {
    /// It is not treated apart.
    Uncentred,
    /// It becomes one more direction.
    Direction,
    /// It is stored; such a basis cannot be trained in.
    Stored,
    /// It is forgotten, as the published code does; to compare.
    Reference,
}

impl MeanArg {
    fn mean(self) -> Mean {
        match self {
            Self::Uncentred => Mean::Uncentred,
            Self::Direction => Mean::Direction,
            Self::Stored => Mean::Stored,
            Self::Reference => Mean::Reference,
        }
    }
}

#[derive(Debug, Args)]
struct InfoArgs {
    /// Folder of the basis.
    basis: PathBuf,
    /// Directory for explained.svg and explained.png, the variance that components explain at each layer.
    #[arg(long)]
    draw: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct MemberArgs {
    /// Folder of the basis.
    basis: PathBuf,
    /// Adapter folder, or a repository of the hub.
    adapter: PathBuf,
}

#[derive(Debug, Args)]
struct AddArgs {
    #[command(flatten)]
    member: MemberArgs,
    /// Add directions to the basis until at most this share of each factor is lost.
    #[arg(long, value_name = "SHARE")]
    extend: Option<f64>,
}

#[derive(Debug, Args)]
struct ReconstructArgs {
    /// Folder of the basis.
    basis: PathBuf,
    /// Name of the adapter in it.
    name: String,
    /// Adapter folder to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Folder of the basis.
    basis: PathBuf,
    /// Name of the adapter in it.
    name: String,
}

#[derive(Debug, Args)]
struct SimilarityArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Directory for similarity.svg and similarity.png.
    #[arg(long)]
    draw: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LeaveOneOutArgs {
    #[command(flatten)]
    pool: PoolArgs,
    /// Numbers of components, comma-separated.
    #[arg(long, value_delimiter = ',', default_value = "4,8,16,32,64")]
    components: Vec<usize>,
}

impl RecycleArgs {
    /// Every path that may be a repository.
    pub fn folders(&mut self) -> Vec<&mut PathBuf> {
        match &mut self.verb {
            RecycleVerb::Build(args) => args.pool.adapters.iter_mut().collect(),
            RecycleVerb::Similarity(args) => args.pool.adapters.iter_mut().collect(),
            RecycleVerb::LeaveOneOut(args) => args.pool.adapters.iter_mut().collect(),
            RecycleVerb::Add(args) => vec![&mut args.member.adapter],
            RecycleVerb::Project(args) => vec![&mut args.adapter],
            RecycleVerb::Info(_) | RecycleVerb::Reconstruct(_) | RecycleVerb::Remove(_) => vec![],
        }
    }

    /// Fetches what is named by a repository.
    ///
    /// # Errors
    /// When a repository cannot be had.
    pub fn fetch(&mut self) -> peft_run::Result<()> {
        hub::resolve(self.folders())
    }
}

impl PoolArgs {
    fn open(&self) -> Result<Pool> {
        let folding = if self.no_folding {
            Folding::None
        } else {
            Folding::IntoB
        };
        if !self.skip_bad {
            let pool = Pool::open_by(&self.adapters, Bases::ByLayers)?;
            warn_of_bases(&pool, self.any_base);
            return Ok(pool.with_folding(folding));
        }
        let (pool, bad) = Pool::open_skipping_by(&self.adapters, Bases::ByLayers)?;
        warn_of_bases(&pool, self.any_base);
        let (pool, unreadable) = pool.with_folding(folding).retain_readable()?;
        for MemberProblem { folder, fault } in bad.iter().chain(&unreadable) {
            eprintln!("left out: {}: {fault}", folder.display());
        }
        Ok(pool)
    }
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with the adapters, the basis or the disk.
pub fn run(args: &RecycleArgs, json: bool) -> Result<()> {
    match &args.verb {
        RecycleVerb::Build(args) => show(&BasisReport::of(&build(args)?)?, json, print::basis),
        RecycleVerb::Info(args) => {
            let basis = Basis::open(&args.basis)?;
            if let Some(folder) = &args.draw {
                disk::create_dir_all(folder)?;
                basis_map::explained(&basis.info()?).draw(&folder.join("explained"))?;
            }
            show(&BasisReport::of(&basis)?, json, print::basis)
        }
        RecycleVerb::Add(args) => {
            let extend = args.extend.map_or(Extend::No, Extend::Residual);
            let added = Basis::open(&args.member.basis)?.add(&args.member.adapter, extend)?;
            warn_of_companions(std::slice::from_ref(&args.member.adapter));
            let report = ProjectionReport::of(&added);
            show(&report, json, print::projection)
        }
        RecycleVerb::Project(args) => {
            let projected = Basis::open(&args.basis)?.project(&args.adapter)?;
            let report = ProjectionReport::of(&projected);
            show(&report, json, print::projection)
        }
        RecycleVerb::Reconstruct(args) => {
            Basis::open(&args.basis)?.reconstruct(&args.name, &args.out)?;
            done(json, "out", &args.out.display().to_string())
        }
        RecycleVerb::Remove(args) => {
            Basis::open(&args.basis)?.remove(&args.name)?;
            done(json, "removed", &args.name)
        }
        RecycleVerb::Similarity(args) => {
            let found = similarity(&args.pool.open()?)?;
            if let Some(folder) = &args.draw {
                disk::create_dir_all(folder)?;
                basis_map::similarity(&found).draw(&folder.join("similarity"))?;
            }
            let report = SimilarityReport::of(&found);
            show(&report, json, print::similarity)
        }
        RecycleVerb::LeaveOneOut(args) => {
            let pool = args.pool.open()?;
            let found = leave_one_out(&pool, Variant::Columns, Mean::Uncentred, &args.components)?;
            let report = HeldOutReport::of(&found);
            show(&report, json, print::held_out)
        }
    }
}

fn build(args: &BuildArgs) -> Result<Basis> {
    let options = BasisOptions {
        variant: if args.flat {
            Variant::Flat
        } else {
            Variant::Columns
        },
        mean: args.mean.mean(),
        components: args
            .variance
            .map_or(Components::Fixed(args.components), Components::Variance),
        pseudo: args.pseudo,
        seed: args.seed,
    };
    let basis = Basis::build(&args.pool.open()?, &options, &args.out)?;
    warn_of_companions(&args.pool.adapters);
    Ok(basis)
}

/// A basis holds adapters and what they save, not the files beside them.
fn warn_of_companions(adapters: &[PathBuf]) {
    for adapter in adapters {
        let beside = companions::beside(adapter);
        if !beside.is_empty() {
            eprintln!(
                "warning: {}: a basis does not keep {}; keep those files for what comes back of it",
                adapter.display(),
                beside.join(", ")
            );
        }
    }
}

fn show<T: Serialize>(report: &T, json: bool, print: impl Fn(&T)) -> Result<()> {
    if json {
        return super::print_json(report);
    }
    print(report);
    Ok(())
}

fn done(json: bool, what: &str, value: &str) -> Result<()> {
    if json {
        return super::print_json(&serde_json::json!({ what: value }));
    }
    println!("{what}: {value}");
    Ok(())
}

//! LoRA-drop as a whole: a LoRA trained on a sample, measured there, and a run whose unimportant layers share.

use anyhow::Result;
use peft_core::lora::{LORA, RSLORA, Scaling};
use peft_core::{Observer, Ranks};
use peft_prune::lora_drop::LORA_DROP;
use peft_prune::{Budget, OutputImportance, Plan, ScoreKind, scored};
use peft_train::Callback;
use peft_train::schedule::Warmup;

use super::{RunFolder, RunResult, by_task};
use crate::importance::{Measured, Measuring, norm};
use crate::picture::plan_map;
use crate::progress::Progress;
use crate::run_config::{RunConfig, Start, When};

/// The plan of a run, in its folder.
pub(super) const PLAN_FILE: &str = "plan.json";
/// The run that is measured, below the folder of the run.
pub(super) const WARM_FOLDER: &str = "warm";

/// Whether a run is to find out by itself which layers share.
pub fn finds_out(config: &RunConfig) -> bool {
    let shared = config.adapter.options.get("shared");
    config.adapter.method == LORA_DROP.id && shared.is_none()
}

/// Trains the LoRA, makes the plan, trains by it; a resumed run goes on with the plan it has. The folder is this
/// run's from beginning to end, so that a plan in it was made by these settings and this data.
///
/// # Errors
/// As [`by_task`], and what is wrong with the plan.
pub fn whole(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    callbacks: Vec<Box<dyn Callback + '_>>,
) -> Result<RunResult> {
    let budget = config.prune.budget()?;
    let file = config.out.join(PLAN_FILE);
    let plan = if folder.resumes() && file.exists() {
        Plan::read(&file)?
    } else {
        let measured = measured(config, folder)?;
        let scores = scored(&measured.sites, &measured.scores);
        let (score, scope) = (config.prune.score, config.prune.scope);
        let plan = Plan::make(&scores, score, scope, budget, measured.scaling)?;
        warn_of(&plan);
        plan_map::map(&plan).draw(&file)?;
        plan.write(&file)?;
        plan
    };
    eprintln!(
        "{} of {} layers keep a pair of their own, {} of {} parameters; see {}",
        plan.private(),
        plan.sites.len(),
        plan.parameters_after,
        plan.parameters_before,
        file.display()
    );
    let mut last = config.with(&settings(&plan))?;
    if config.prune.start == Start::Warm {
        last.adapter.start = Some(config.out.join(WARM_FOLDER));
    }
    by_task(&last, folder, callbacks)
}

/// Says where a plan is not what one would expect of its budget.
pub fn warn_of(plan: &Plan) {
    if plan.sites.iter().all(|site| site.score <= 0.0) {
        eprintln!(
            "warning: every score is 0, as of an adapter that was not trained: nothing can be told, and every layer keeps its own"
        );
    }
    if let Budget::Parameters(share) = plan.budget
        && plan.parameters_after as f64 > share * plan.parameters_before as f64
    {
        eprintln!(
            "warning: {} of {} parameters are more than the share of {share} that was asked for: fewer cannot be, since each type and \
             size keeps one pair, and a type without scores all of them",
            plan.parameters_after, plan.parameters_before
        );
    }
}

/// The run of the LoRA that is measured: the same on a sample, without scores.
fn warm(config: &RunConfig) -> Result<RunConfig> {
    let mut warm = config.clone();
    let scaling = warm.adapter.options.remove("scaling");
    warm.adapter.options.remove("shared");
    let stabilized = scaling.map(serde_json::from_value::<Scaling>).transpose()?;
    let entry = match stabilized {
        Some(Scaling::RankStabilized) => &RSLORA,
        _ => &LORA,
    };
    warm.adapter.method = entry.id.to_owned();
    warm.out = config.out.join(WARM_FOLDER);
    warm.data.sample = Some(sample_of(config));
    // A number of steps meant for the long run would leave the short one below its rate.
    if !matches!(warm.train.warmup, Warmup::Steps(0) | Warmup::Ratio(_)) {
        warm.train.warmup = Warmup::Ratio(0.1);
    }
    warm.data.valid = None;
    warm.data.sample_prompts = vec![];
    warm.train.epochs = config.prune.warm_epochs;
    warm.train.max_steps = None;
    Ok(warm)
}

/// The share of all examples: a part of those that the run may use.
fn sample_of(config: &RunConfig) -> f64 {
    config.prune.sample * config.data.sample.unwrap_or(1.0)
}

/// Trains the LoRA on the sample and measures it there, or in the steps of its training.
fn measured(config: &RunConfig, folder: &RunFolder<'_>) -> Result<Measured> {
    let warm = warm(config)?;
    let online = config.prune.measure == When::Online;
    // What was seen in the steps before a stop is not kept.
    let warm_folder = folder.part(&warm, !online)?;
    let mut seen = OutputImportance::new(norm(config.prune.score));
    if !warm_folder.is_finished() {
        eprintln!(
            "training the LoRA that is measured, in {}",
            warm.out.display()
        );
        let progress = Box::new(Progress::new(config.train.log_every));
        let watching = Watching(&mut seen);
        let callbacks: Vec<Box<dyn Callback + '_>> = match config.prune.measure {
            When::After => vec![progress],
            When::Online => vec![progress, Box::new(watching)],
        };
        by_task(&warm, &warm_folder, callbacks)?;
    }
    let mut measured = Measured::of(&Measuring {
        score: match config.prune.measure {
            When::After => config.prune.score,
            When::Online => ScoreKind::Parameters,
        },
        model: config.model_dir().to_path_buf(),
        adapter: warm.out.clone(),
        data: Some(config.data.train.clone()),
        read: config.data.clone(),
        batch_size: config.train.eval_batch_size,
        sample: sample_of(config),
        seed: config.train.seed,
        device: config.device.clone(),
    })?;
    if online {
        measured.scores = seen.sums().clone();
    }
    Ok(measured)
}

/// Lets importance watch the steps of a run.
struct Watching<'a>(&'a mut OutputImportance);

impl Callback for Watching<'_> {
    fn observer(&mut self) -> Option<&mut dyn Observer> {
        Some(self.0)
    }
}

/// What a plan says of a run.
pub fn settings(plan: &Plan) -> Vec<(String, toml::Value)> {
    let text = |value: &str| toml::Value::String(value.to_owned());
    let sites = plan.sites.iter();
    let sites = sites.map(|site| (site.path.as_str(), site.rank, site.alpha));
    let ranks = Ranks::of_sites(sites);
    let whole = |rank: usize| toml::Value::Integer(rank as i64);
    let own_ranks = ranks.rank_pattern.into_iter();
    let own_ranks = own_ranks.map(|(path, rank)| (path, whole(rank)));
    let own_alphas = ranks.alpha_pattern.into_iter();
    let own_alphas = own_alphas.map(|(path, alpha)| (path, toml::Value::Float(alpha)));
    let paths = plan.sites.iter().map(|site| text(&site.path));
    let shared = plan.shared().into_iter();
    let shared = shared.map(|(site, owner)| (site, text(&owner)));
    let scaling = match plan.scaling {
        Scaling::Standard => "standard",
        Scaling::RankStabilized => "rank_stabilized",
    };
    let settings = [
        ("method", text(LORA_DROP.id)),
        ("rank", whole(ranks.rank)),
        ("alpha", toml::Value::Float(ranks.alpha)),
        ("rank_pattern", toml::Value::Table(own_ranks.collect())),
        ("alpha_pattern", toml::Value::Table(own_alphas.collect())),
        ("targets", toml::Value::Array(paths.collect())),
        ("strict", toml::Value::Boolean(true)),
        ("options.scaling", text(scaling)),
        ("options.shared", toml::Value::Table(shared.collect())),
    ];
    let full = |(key, value)| (format!("adapter.{key}"), value);
    settings.map(full).into()
}

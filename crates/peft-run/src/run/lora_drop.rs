//! LoRA-drop as a whole: a LoRA trained on a sample, measured there, and a run whose unimportant layers share.

use peft_core::lora::Scaling;
use peft_core::{Observer, Ranks};
use peft_prune::lora_drop::LORA_DROP;
use peft_prune::procedure::{Host, Start, trial_method};
use peft_prune::{Budget, Measured, Plan, ScoreKind};
use peft_train::schedule::Warmup;
use peft_train::{Callback, Stop};

use super::{PLAN_FILE, RunFolder, RunResult, WARM_FOLDER, by_task};
use crate::importance::{Measuring, measure};
use crate::settings::RunConfig;
use crate::watch::Watch;
use crate::{Error, Result, device};

/// Whether a run is to find out by itself which layers share.
pub fn finds_out(config: &RunConfig) -> bool {
    let shared = config.adapter.options.get("shared");
    config.adapter.method == LORA_DROP.id && shared.is_none()
}

/// Trains the LoRA, makes the plan, trains by it; a resumed run goes on with the plan it has. The folder is this
/// run's from beginning to end, so that a plan in it was made by these settings and this data.
///
/// # Errors
/// As [`super::train`], and what is wrong with the plan.
pub fn whole(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    watch: &mut dyn Watch,
) -> Result<RunResult> {
    let file = config.out.join(PLAN_FILE);
    let plan = if folder.resumes() && file.exists() {
        Plan::read(&file)?
    } else {
        let plan = config.prune.plan(&mut Trial {
            warm: warm(config)?,
            sample: sample_of(config),
            config,
            folder,
            watch,
        })?;
        warn_of(&plan);
        watch.planned(&plan, &file)?;
        plan.write(&file)?;
        plan
    };
    log::info!(
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
    by_task(&last, folder, watch)
}

/// Says where a plan is not what one would expect of its budget.
pub fn warn_of(plan: &Plan) {
    if plan.sites.iter().all(|site| site.score <= 0.0) {
        log::warn!(
            "every score is 0, as of an adapter that was not trained: nothing can be told, and every layer keeps its own"
        );
    }
    if let Budget::Parameters(share) = plan.budget
        && plan.parameters_after as f64 > share * plan.parameters_before as f64
    {
        log::warn!(
            "{} of {} parameters are more than the share of {share} that was asked for: fewer cannot be, since each type and \
             size keeps one pair, and a type without scores all of them",
            plan.parameters_after,
            plan.parameters_before
        );
    }
}

/// The run of the LoRA that is measured: the same on a sample, without scores.
fn warm(config: &RunConfig) -> Result<RunConfig> {
    let mut warm = config.clone();
    let scaling = warm.adapter.options.remove("scaling");
    warm.adapter.options.remove("shared");
    let stabilized = scaling.map(serde_json::from_value::<Scaling>).transpose()?;
    warm.adapter.method = trial_method(stabilized.unwrap_or(Scaling::Standard)).to_owned();
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

/// The run of the LoRA that is measured.
struct Trial<'a> {
    config: &'a RunConfig,
    warm: RunConfig,
    /// Share of all examples.
    sample: f64,
    folder: &'a RunFolder<'a>,
    watch: &'a mut dyn Watch,
}

impl Host for Trial<'_> {
    type Error = Error;

    fn train(&mut self, seen: Option<&mut dyn Observer>) -> Result<()> {
        // What was seen in the steps before a stop is not kept.
        let folder = self.folder.part(&self.warm, seen.is_none())?;
        if folder.is_finished() {
            return Ok(());
        }
        log::info!(
            "training the LoRA that is measured, in {}",
            self.warm.out.display()
        );
        match seen {
            None => by_task(&self.warm, &folder, self.watch)?,
            Some(seen) => {
                let watch = &mut *self.watch;
                by_task(&self.warm, &folder, &mut AlsoSeen { watch, seen })?
            }
        };
        Ok(())
    }

    fn measure(&mut self, score: ScoreKind) -> Result<Measured> {
        let config = self.config;
        measure(&Measuring {
            score,
            model: config.model_dir().to_path_buf(),
            quantize: config.quantize,
            adapter: self.warm.out.clone(),
            data: Some(config.data.train.clone()),
            read: config.data.clone(),
            batch_size: config.train.eval_batch_size,
            sample: self.sample,
            seed: config.train.seed,
            device: device::first(&config.device).to_owned(),
        })
    }
}

/// Lets an observer watch the steps of a run, beside who watches already.
struct AlsoSeen<'a> {
    watch: &'a mut dyn Watch,
    seen: &'a mut dyn Observer,
}

impl Watch for AlsoSeen<'_> {
    fn callbacks(&mut self, config: &RunConfig) -> Vec<Box<dyn Callback + '_>> {
        let mut callbacks = self.watch.callbacks(config);
        callbacks.push(Box::new(Watching(self.seen)));
        callbacks
    }

    fn stop(&self) -> Stop {
        self.watch.stop()
    }
}

/// An observer as a callback.
struct Watching<'a>(&'a mut dyn Observer);

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

//! What comes before the first step: everything is checked, nothing is written.

use std::time::Instant;

use peft_core::Trainable;

use super::Session;
use super::unread::Unread;
use crate::TrainError;
use crate::callback::ScheduledRate;
use crate::checkpoint::RunState;
use crate::group::Groups;
use crate::plans::Plans;
use crate::run_error::RunError;
use crate::schedule::Schedule;
use crate::setup::Setup;
use crate::task::Task;

impl<'a, T: Task> Session<'a, T> {
    /// Takes up a run on `model`, which lives on an autodiff device: checks everything that can be checked before the first step, and takes
    /// the last checkpoint of a run that is resumed. Writes nothing.
    ///
    /// # Errors
    /// Settings that do not fit each other or the data; a checkpoint that is broken or of another run.
    pub fn new(mut setup: Setup<'a, T>, model: T::Model, resume: bool) -> Result<Self, TrainError> {
        let options = setup.options;
        options.check()?;
        let plans = Plans::new(options, setup.task.lengths())?;
        let total = plans.total();
        let schedule = Schedule::of_run(options.schedule, options.warmup, total)?;
        let peak = options.lr;
        let scheduled = ScheduledRate { peak, schedule };
        setup.callbacks.insert(0, Box::new(scheduled));
        let subject = setup.trained.subject(options.seed);
        setup.procedures.check(subject.as_ref(), &model, total)?;
        // By name and id, which are the same before and after a checkpoint is read.
        let trainable = Trainable::of(&model, setup.names);
        setup.need_pairs(&trainable)?;
        let head = setup.own_rate(&model)?;
        let groups = Groups::new(options, &trainable, head.as_ref(), total)?;
        let mut optimizer = groups.optimizer(options);
        let last = match resume {
            true => setup.checkpoints().steps()?.pop(),
            false => None,
        };
        let (mut model, mut shorter_before) = (model, None);
        let state = match last {
            None => RunState::start(setup.fingerprint.clone(), total),
            Some(step) => {
                let checkpoints = setup.checkpoints();
                let mut state = checkpoints.state(step, &setup.fingerprint)?;
                if total < state.total {
                    let (before, now) = (state.total, total);
                    return Err(RunError::Shorter { before, now }.into());
                }
                shorter_before = (total > state.total).then_some(state.total);
                state.total = total;
                optimizer = checkpoints.optimizer(step, optimizer)?;
                model = setup.restore(subject.as_ref(), model, step)?;
                state
            }
        };
        Ok(Self {
            groups,
            seconds_before: state.seconds,
            since: Instant::now(),
            log: None,
            stopped_early: false,
            setup,
            subject,
            trainable,
            model,
            copies: Vec::new(),
            optimizer,
            state,
            unread: Unread::default(),
            plans,
            shorter_before,
        })
    }
}

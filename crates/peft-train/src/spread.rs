//! A model on one device or several, between which work is dealt out.

use std::any::Any;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use burn::module::Module;
use burn::tensor::Device;
use peft_core::Compute;
use rayon::Yield;

use crate::TrainError;
use crate::run_error::RunError;

/// A model and its copies, each on a device of its own; the first is the model itself.
#[derive(Debug, Clone)]
pub struct Spread<M> {
    places: Vec<(M, Device)>,
}

impl<M: Module> Spread<M> {
    /// A model where it is.
    #[must_use]
    pub fn one(model: &M) -> Self {
        Self {
            places: vec![(model.clone(), device_of(model))],
        }
    }

    /// The same, with copies that were made of it elsewhere.
    #[must_use]
    pub fn with(self, copies: &[(M, Device)]) -> Self {
        Self {
            places: [&self.places, copies].concat(),
        }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.places[0].0
    }

    /// The model without autodiff, everywhere.
    #[must_use]
    pub fn valid(&self) -> Self {
        let places = self.places.iter();
        let places = places.map(|(model, device)| (model.valid(), device.clone().inner()));
        Self {
            places: places.collect(),
        }
    }

    /// What `work` gives for each place, all at once, in the order of the places; it is told which place it is, counted from 0.
    ///
    /// # Errors
    /// The first that `work` returns; [`RunError::Device`] where it panics beside others, as Burn does when a device is lost.
    pub fn each<R: Send>(
        &self,
        work: impl Fn(usize, &M, &Device) -> Result<R, TrainError> + Sync,
    ) -> Result<Vec<R>, TrainError> {
        if let [(model, device)] = self.places.as_slice() {
            return Ok(vec![work(0, model, device)?]);
        }
        let (work, compute) = (&work, Compute::current());
        let results: Vec<Result<R, TrainError>> = std::thread::scope(|scope| {
            let places = self.places.iter().cloned().enumerate();
            let threads = places.map(|(at, (model, device))| {
                let name = format!("{device:?}");
                let thread = std::thread::Builder::new().name(format!("device {at}"));
                let thread =
                    thread.spawn_scoped(scope, move || compute.run(|| work(at, &model, &device)));
                (at, name, thread)
            });
            // All begin before one is waited for.
            let threads: Vec<_> = threads.collect();
            let ends = threads.into_iter().map(|(place, device, thread)| {
                let thread = thread.map_err(RunError::Thread)?;
                work_until_done(&thread);
                let lost = |panic| Err(lost(place, device, panic).into());
                thread.join().unwrap_or_else(lost)
            });
            ends.collect()
        });
        results.into_iter().collect()
    }

    /// What `work` gives for each item, in the order of the items, which are dealt out in turn.
    ///
    /// # Errors
    /// As [`Self::each`].
    pub fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&M, &Device, &T) -> Result<R, TrainError> + Sync,
    ) -> Result<Vec<R>, TrainError> {
        let places = self.places.len();
        let dealt = self.each(|at, model, device| {
            let own = items.iter().skip(at).step_by(places);
            own.map(|item| work(model, device, item)).collect()
        })?;
        let mut dealt: Vec<_> = dealt.into_iter().map(Vec::into_iter).collect();
        let in_turn = (0..items.len()).filter_map(|item| dealt[item % places].next());
        Ok(in_turn.collect())
    }
}

/// Works for rayon's pool, where this is one of its threads, until another thread is done: what that one waits for may need this one.
fn work_until_done<T>(thread: &ScopedJoinHandle<'_, T>) {
    while !thread.is_finished() {
        match rayon::yield_now() {
            Some(Yield::Executed) => {}
            Some(Yield::Idle) => std::thread::sleep(Duration::from_micros(50)),
            None => return,
        }
    }
}

fn lost(place: usize, device: String, panic: Box<dyn Any + Send>) -> RunError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    gone(
        place,
        device,
        text.unwrap_or("it gave up without a word").to_owned(),
    )
}

/// A device that failed.
pub(crate) fn gone(place: usize, device: String, problem: String) -> RunError {
    RunError::Device {
        device,
        place,
        problem,
        kept: "the last checkpoint is as it was".into(),
    }
}

/// Waits until a device has done what it was asked to.
///
/// # Errors
/// [`RunError::Device`] where it has not.
pub(crate) fn finish(place: usize, device: &Device) -> Result<(), TrainError> {
    let failed = |problem| gone(place, format!("{device:?}"), problem).into();
    device.sync().map_err(|error| failed(error.to_string()))
}

/// The device that a model's first parameter lives on; the default one where it has none.
#[must_use]
pub fn device_of<M: Module>(model: &M) -> Device {
    model.devices().into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use rayon::ThreadPoolBuilder;

    use super::*;

    fn three() -> Spread<Linear> {
        let device = Device::flex();
        let model = LinearConfig::new(2, 2).init(&device);
        let copies = [(model.clone(), device.clone()), (model.clone(), device)];
        Spread::one(&model).with(&copies)
    }

    #[test]
    fn items_are_dealt_out_and_results_stand_in_their_order() {
        for items in [0, 1, 2, 3, 7] {
            let items: Vec<usize> = (0..items).collect();
            let found = three().map(&items, |_, _, item| Ok(10 * item)).unwrap();
            let expected: Vec<usize> = items.iter().map(|item| 10 * item).collect();
            assert_eq!(found, expected);
        }
        let places = three().each(|at, _, _| Ok(at)).unwrap();
        assert_eq!(places, [0, 1, 2]);
    }

    #[test]
    fn a_device_that_is_lost_is_named() {
        let error = three().each(|at, _, _| match at {
            1 => panic!("the line is dead"),
            _ => Ok(()),
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("Flex") && error.contains("the line is dead"),
            "{error}"
        );
    }

    #[test]
    fn devices_may_need_the_thread_that_waits_for_them() {
        // The only thread of the pool is the one that calls.
        let pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread();
        let pool = pool.build().unwrap();
        let found = three().each(|at, _, _| Ok(pool.install(|| at)));
        assert_eq!(found.unwrap(), [0, 1, 2]);
    }
}

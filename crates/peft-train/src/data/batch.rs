//! Which examples form a batch: grouped by length, so that little is computed on padding, within a token budget.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::TrainError;

/// How many batches are sorted by length together; HF transformers' `LengthGroupedSampler` uses the same number.
const MEGA_BATCH: usize = 50;

/// How a data set is cut into training batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOptions {
    /// The greatest number of examples of a batch.
    pub batch_size: usize,
    /// The greatest `examples * longest` of a batch, padding included; an example that is longer alone has a batch
    /// of its own. `None`: no limit.
    pub max_tokens: Option<usize>,
    /// Whether batches are made of examples of similar length.
    pub group_by_length: bool,
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, which selects a random stream of its own.
    pub epoch: u64,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            batch_size: 32,
            max_tokens: None,
            group_by_length: true,
            seed: 42,
            epoch: 0,
        }
    }
}

/// The batches of one pass over a data set: every index exactly once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlan {
    batches: Vec<Vec<usize>>,
}

impl BatchPlan {
    /// Batches for one training epoch over examples of the given `lengths` in tokens.
    ///
    /// All indices are shuffled and cut into mega-batches of `50 * batch_size`; inside each they are sorted by length
    /// (longest first) and cut into batches; then the batches are shuffled. Without `group_by_length` the shuffled
    /// indices are cut as they come. The plan depends on `lengths` and `options` alone.
    ///
    /// # Errors
    /// [`TrainError::Option`] when `batch_size` or `max_tokens` is 0.
    pub fn new(lengths: &[usize], options: &BatchOptions) -> Result<Self, TrainError> {
        check(options.batch_size, options.max_tokens)?;
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(options.epoch);
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.shuffle(&mut rng);
        if !options.group_by_length {
            let batches = cut(&order, lengths, options.batch_size, options.max_tokens);
            return Ok(Self { batches });
        }
        let mut batches = Vec::new();
        for mega in order.chunks_mut(options.batch_size.saturating_mul(MEGA_BATCH)) {
            mega.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
            batches.extend(cut(mega, lengths, options.batch_size, options.max_tokens));
        }
        batches.shuffle(&mut rng);
        Ok(Self { batches })
    }

    /// Batches for evaluation: all examples sorted by length, longest first, so that memory runs out at once or never.
    ///
    /// # Errors
    /// [`TrainError::Option`] when `batch_size` or `max_tokens` is 0.
    pub fn evaluation(
        lengths: &[usize],
        batch_size: usize,
        max_tokens: Option<usize>,
    ) -> Result<Self, TrainError> {
        check(batch_size, max_tokens)?;
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
        Ok(Self {
            batches: cut(&order, lengths, batch_size, max_tokens),
        })
    }

    /// The batches, each a list of example indices.
    pub fn batches(&self) -> &[Vec<usize>] {
        &self.batches
    }

    /// The number of batches.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether there are no batches, because there were no examples.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Puts results, given batch by batch in the order of the plan, back into the order of the examples.
    ///
    /// # Panics
    /// When there are not as many results as examples.
    pub fn restore<T>(&self, results: impl IntoIterator<Item = T>) -> Vec<T> {
        let order: Vec<usize> = self.batches.iter().flatten().copied().collect();
        let mut numbered: Vec<(usize, T)> = order.iter().copied().zip(results).collect();
        assert_eq!(numbered.len(), order.len(), "one result per example");
        numbered.sort_by_key(|(index, _)| *index);
        numbered.into_iter().map(|(_, result)| result).collect()
    }
}

fn check(batch_size: usize, max_tokens: Option<usize>) -> Result<(), TrainError> {
    let zero = |option| TrainError::Option {
        option,
        expected: "at least 1".to_string(),
        found: "0".to_string(),
    };
    if batch_size == 0 {
        return Err(zero("batch_size"));
    }
    if max_tokens == Some(0) {
        return Err(zero("max_tokens"));
    }
    Ok(())
}

/// Cuts `order` into batches of at most `batch_size` examples and `max_tokens` padded tokens.
fn cut(
    order: &[usize],
    lengths: &[usize],
    batch_size: usize,
    max_tokens: Option<usize>,
) -> Vec<Vec<usize>> {
    let budget = max_tokens.unwrap_or(usize::MAX);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut longest = 0;
    for &index in order {
        let grown = longest.max(lengths[index]);
        match batches.last_mut() {
            Some(batch)
                if batch.len() < batch_size && grown.saturating_mul(batch.len() + 1) <= budget =>
            {
                batch.push(index);
                longest = grown;
            }
            _ => {
                batches.push(vec![index]);
                longest = lengths[index];
            }
        }
    }
    batches
}

//! What a backward pass needs of a forward pass, on flex: tensors as they are, rounded to bfloat16 where products round them too, or how they
//! are made of others that are kept anyway.

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::{Arc, Weak};

use burn::backend::DType;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::Bytes;
use faer::MatRef;
use peft_bf16::Left;

use crate::compute::Compute;
use crate::flex::contiguous;

#[cfg(test)]
mod tests;

/// Tensors of fewer values are kept as they are.
const FEWEST: usize = 4096;

/// How a tensor is made again, cheaply, of what is kept.
pub(crate) trait Recipe: Debug + Send + Sync {
    /// The values of the tensor in the order of memory.
    fn make(&self) -> FlexTensor;
}

/// A tensor that is kept.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Whole(FlexTensor),
    /// The values in the order of memory, rows of the last axis.
    Rounded(Arc<Left>, Layout),
    Made(Arc<dyn Recipe>, Layout),
}

impl Kept {
    /// How it is made where that is known, rounded where this thread computes so.
    pub(crate) fn new(x: FlexTensor) -> Self {
        if x.layout().num_elements() < FEWEST {
            return Self::Whole(x);
        }
        if let Some(recipe) = recipe_of(&x) {
            return Self::Made(recipe, x.layout().clone());
        }
        if Compute::current() == Compute::F32 {
            return Self::Whole(x);
        }
        let x = if is_filled(&x) { x } else { contiguous(x) };
        let layout = x.layout().clone();
        Self::Rounded(rounded(&x), layout)
    }

    /// The rounded values of a tensor that lies row after row.
    pub(crate) fn rounded_rows(&self) -> Option<&Left> {
        match self {
            Self::Rounded(left, layout) => layout.is_contiguous().then_some(left),
            Self::Whole(_) | Self::Made(..) => None,
        }
    }

    /// The tensor, as it was laid out.
    pub(crate) fn tensor(&self) -> FlexTensor {
        match self {
            Self::Whole(x) => x.clone(),
            Self::Rounded(values, layout) => {
                let values = Bytes::from_elems(values.values());
                FlexTensor::new(values, layout.clone(), DType::F32)
            }
            Self::Made(recipe, layout) => recipe.make().with_layout(layout.clone()),
        }
    }
}

/// Whether the tensor has all values of its memory, those of the last axis side by side.
pub(crate) fn is_filled(x: &FlexTensor) -> bool {
    let (layout, strides) = (x.layout(), x.layout().strides());
    let in_rows = strides.last() == Some(&1) && strides.iter().all(|step| *step > 0);
    in_rows && layout.start_offset() == 0 && x.storage::<f32>().len() == layout.num_elements()
}

/// What is known of a tensor that was seen lately.
#[derive(Debug, Clone)]
enum Known {
    Rounded(Arc<Left>),
    Recipe(Arc<dyn Recipe>),
}

/// Facts that are remembered. A layer's input, and what its adapter and those beside it make of it, are a few.
const REMEMBERED: usize = 8;

thread_local! {
    /// What several operations need of one tensor, found once: often several layers read it, and a norm keeps it. Who writes over a tensor
    /// in place takes it from under a weak reference, or makes a copy, so that what is known stays true.
    static SEEN: RefCell<Vec<(Weak<Bytes>, Known)>> = const { RefCell::new(Vec::new()) };
}

/// What `pick` takes of what is known of a tensor, the latest first.
fn known<T>(x: &FlexTensor, pick: impl Fn(&Known) -> Option<T>) -> Option<T> {
    let of = Arc::downgrade(&x.data_arc());
    SEEN.with_borrow(|seen| {
        let mut facts = seen.iter().rev().filter(|(data, _)| data.ptr_eq(&of));
        facts.find_map(|(_, fact)| pick(fact))
    })
}

fn remember(x: &FlexTensor, fact: Known) {
    SEEN.with_borrow_mut(|seen| {
        seen.retain(|(data, _)| data.strong_count() > 0);
        if seen.len() == REMEMBERED {
            seen.remove(0);
        }
        seen.push((Arc::downgrade(&x.data_arc()), fact));
    });
}

/// Says how a tensor that has all values of its memory was made.
pub(crate) fn was_made(x: &FlexTensor, recipe: impl Recipe + 'static) {
    if x.layout().num_elements() >= FEWEST {
        remember(x, Known::Recipe(Arc::new(recipe)));
    }
}

fn recipe_of(x: &FlexTensor) -> Option<Arc<dyn Recipe>> {
    let recipe = known(x, |fact| match fact {
        Known::Recipe(recipe) => Some(Arc::clone(recipe)),
        Known::Rounded(_) => None,
    });
    recipe.filter(|_| is_filled(x))
}

/// The values of a tensor in the order of memory, in rows of its last axis. The tensor has all values of its memory.
pub(crate) fn rounded(x: &FlexTensor) -> Arc<Left> {
    let width = x.layout().shape().last().copied().unwrap_or(1).max(1);
    let last = known(x, |fact| match fact {
        Known::Rounded(left) if left.inner() == width => Some(Arc::clone(left)),
        // Heads, of a layer's output.
        Known::Rounded(left) => left.in_rows_of(width).map(Arc::new),
        Known::Recipe(_) => None,
    });
    if let Some(left) = last {
        return left;
    }
    // Not while it is borrowed: a thread of the pool that waits for others works on something else meanwhile, which may come here.
    let values = x.storage::<f32>();
    let rows = values.len() / width;
    let left = Arc::new(Left::new(MatRef::from_row_major_slice(values, rows, width)));
    remember(x, Known::Rounded(Arc::clone(&left)));
    left
}

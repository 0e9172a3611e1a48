//! What a backward pass needs of a forward pass, on flex: tensors as they are, or rounded to bfloat16 where products round them too.

use std::cell::RefCell;
use std::sync::Arc;

use burn::backend::DType;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::Bytes;
use faer::MatRef;
use peft_bf16::Left;

use crate::compute::Compute;
use crate::flex::contiguous;

/// Tensors of fewer values are kept as they are.
const FEWEST: usize = 4096;

/// A tensor that is kept.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Whole(FlexTensor),
    /// The values in the order of memory, rows of the last axis.
    Rounded(Arc<Left>, Layout),
}

impl Kept {
    /// Rounded where this thread computes so.
    pub(crate) fn new(x: FlexTensor) -> Self {
        if Compute::current() == Compute::F32 || x.layout().num_elements() < FEWEST {
            return Self::Whole(x);
        }
        let x = if is_filled(&x) { x } else { contiguous(x) };
        let layout = x.layout().clone();
        Self::Rounded(rounded(&x), layout)
    }

    /// The tensor, as it was laid out.
    pub(crate) fn tensor(&self) -> FlexTensor {
        match self {
            Self::Whole(x) => x.clone(),
            Self::Rounded(values, layout) => {
                let values = Bytes::from_elems(values.values());
                FlexTensor::new(values, layout.clone(), DType::F32)
            }
        }
    }
}

/// Whether the tensor has all values of its memory, those of the last axis side by side.
pub(crate) fn is_filled(x: &FlexTensor) -> bool {
    let (layout, strides) = (x.layout(), x.layout().strides());
    let in_rows = strides.last() == Some(&1) && strides.iter().all(|step| *step > 0);
    in_rows && layout.start_offset() == 0 && x.storage::<f32>().len() == layout.num_elements()
}

thread_local! {
    /// The tensor that was rounded last: often several layers read it, and a norm keeps it. It is held, so that nobody writes over it.
    static LAST: RefCell<Option<(FlexTensor, Arc<Left>)>> = const { RefCell::new(None) };
}

/// The values of a tensor in the order of memory, in rows of its last axis. The tensor has all values of its memory.
pub(crate) fn rounded(x: &FlexTensor) -> Arc<Left> {
    let width = x.layout().shape().last().copied().unwrap_or(1).max(1);
    let is_last = |(of, left): &(FlexTensor, Arc<Left>)| {
        Arc::ptr_eq(&of.data_arc(), &x.data_arc()) && left.inner() == width
    };
    let last = LAST.with_borrow(|last| {
        let last = last.as_ref().filter(|last| is_last(last));
        last.map(|(_, left)| Arc::clone(left))
    });
    if let Some(left) = last {
        return left;
    }
    // Not while it is borrowed: a thread of the pool that waits for others works on something else meanwhile, which may come here.
    let values = x.storage::<f32>();
    let rows = values.len() / width;
    let left = Arc::new(Left::new(MatRef::from_row_major_slice(values, rows, width)));
    LAST.set(Some((x.clone(), Arc::clone(&left))));
    left
}

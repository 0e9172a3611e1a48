//! What the fused kernels share: how a kernel runs over a flex tensor.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::LocalKey;

use burn::backend::DispatchDevice;
use burn::backend::flex::FlexTensor;
use burn::tensor::{Bytes, Device};
use peft_bf16::zeros;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::profile;

/// Values per task: 64 KiB, which stays in the second-level cache between a copy and a kernel.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Whether a device is the processor, by the backend that the kernels are for.
pub(crate) fn is_flex(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// Lends the buffers of this thread, which stay as large as they were needed. Should the thread take up another task meanwhile, that one
/// gets buffers of its own.
pub(crate) fn lend<B: Default, T>(
    of_thread: &'static LocalKey<Cell<B>>,
    work: impl FnOnce(&mut B) -> T,
) -> T {
    let mut buffers = of_thread.take();
    let done = work(&mut buffers);
    of_thread.set(buffers);
    done
}

/// A computation on consecutive values in place; `run` must be `inline(always)`.
pub(crate) trait Kernel: Sync {
    /// What it is called in a profile.
    const NAME: &'static str;
    /// Values that are read or written for each value of the tensor.
    const STREAMS: usize = 2;

    /// Transforms `chunk`, whose first value has the row-major index `start` in the tensor.
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]);
}

/// Multiplies every row by its factor.
pub(crate) struct Rows<'a> {
    pub(crate) scales: &'a [f32],
    pub(crate) width: usize,
}

impl Kernel for Rows<'_> {
    const NAME: &'static str = "scale rows";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let scales = &self.scales[start / self.width..];
        for (row, scale) in chunk.chunks_exact_mut(self.width).zip(scales) {
            for value in row {
                *value *= scale;
            }
        }
    }
}

/// A number for each row, which the task that has the row writes.
#[derive(Debug)]
pub(crate) struct RowNumbers(Vec<AtomicU32>);

impl RowNumbers {
    pub(crate) fn new(rows: usize) -> Self {
        Self((0..rows).map(|_| AtomicU32::new(0)).collect())
    }

    #[inline(always)]
    pub(crate) fn set(&self, row: usize, number: f32) {
        self.0[row].store(number.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn into_values(self) -> Vec<f32> {
        let bits = self.0.into_iter().map(AtomicU32::into_inner);
        bits.map(f32::from_bits).collect()
    }
}

struct Call<'a, K>(&'a K, usize, &'a mut [f32]);

impl<K: Kernel> WithSimd for Call<'_, K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.0.run::<S>(self.1, self.2);
    }
}

/// The tensor in row-major order, covering its whole buffer.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    let copy = x.to_contiguous();
    drop(x); // so that a tensor that was its buffer's only owner still is
    copy
}

/// The values of a tensor that went through [`contiguous`].
pub(crate) fn values(x: &FlexTensor) -> &[f32] {
    x.storage::<f32>()
}

/// Runs a kernel over a tensor, whole rows of `row` values per task: in place when nobody else holds the buffer.
pub(crate) fn transform<K: Kernel>(x: FlexTensor, row: usize, kernel: &K) -> FlexTensor {
    let mut x = contiguous(x);
    let _call = profile::call(K::NAME, &[], K::STREAMS * values(&x).len());
    if values(&x).is_empty() {
        return x;
    }
    let chunk = row * (CHUNK / row).max(1);
    if let Some(target) = x.try_storage_mut::<f32>() {
        for_each_chunk(target, chunk, |start, chunk| run(kernel, start, chunk));
        return x;
    }
    let source = values(&x);
    let mut target = zeros::<f32>(source.len());
    for_each_chunk(&mut target, chunk, |start, chunk| {
        chunk.copy_from_slice(&source[start..start + chunk.len()]);
        run(kernel, start, chunk);
    });
    FlexTensor::new(Bytes::from_elems(target), x.layout().clone(), x.dtype())
}

/// Runs a kernel on one chunk with the best instruction set of this processor.
pub(crate) fn run(kernel: &impl Kernel, start: usize, chunk: &mut [f32]) {
    Arch::new().dispatch(Call(kernel, start, chunk));
}

/// Hands the chunks to the thread pool, unless there is only one.
fn for_each_chunk(target: &mut [f32], chunk: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    if target.len() <= chunk {
        task(0, target);
    } else {
        target
            .par_chunks_mut(chunk)
            .enumerate()
            .for_each(|(i, values)| task(i * chunk, values));
    }
}

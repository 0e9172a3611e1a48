//! One training step (forward, backward, AdamW) of every method beside LoRA, on the same model and batch.

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use peft_benches::{ADAPTER, Adapted, base, batch_of};
use peft_core::lora::LORA;
use peft_core::{AdapterSpec, MethodEntry, Pass, attach};
use peft_decompose::bora::BORA;
use peft_decompose::dora::DORA;
use peft_decompose::olora::OLORA;
use peft_decompose::pissa::PISSA;
use peft_decompose::svfit::SVFIT;
use peft_models::{SequenceClassifier, TokenBatch};

/// The batch on which the methods are compared: long enough that the products decide.
const ROWS: usize = 16;
const TOKENS: usize = 128;

/// Methods and what they adapt: LoRA first, as the measure of its group.
const METHODS: [(Adapted, &[&MethodEntry]); 2] = [
    (Adapted::QueryValue, &[&LORA, &DORA, &BORA, &SVFIT]),
    (Adapted::AllLinear, &[&LORA, &DORA, &BORA, &PISSA, &OLORA]),
];

/// The model with a fresh adapter of rank 8 and the method's default options.
fn attached(adapted: Adapted, entry: &MethodEntry, device: &Device) -> SequenceClassifier {
    let spec = AdapterSpec {
        method: (entry.from_options)(&(entry.default_options)()).expect("defaults are valid"),
        ..adapted.spec().expect("an adapter")
    };
    let base = base(device);
    let (model, _) = attach(base.model, &base.names, ADAPTER, &spec, 1).expect("attaches");
    model
}

fn step(
    model: SequenceClassifier,
    optimizer: &mut burn::optim::ModuleOptimizer,
    batch: &TokenBatch,
) -> SequenceClassifier {
    let logits = model.logits(batch, &mut Pass::train(0));
    let loss = logits.powi_scalar(2).mean();
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    optimizer.step(1e-4, model, grads)
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let device = Device::default().autodiff();
    let batch = batch_of(ROWS, TOKENS, &device);
    for (adapted, entries) in METHODS {
        let group = adapted.label().trim_start_matches("lora-");
        let mut group = criterion.benchmark_group(format!("methods/{group}"));
        group.throughput(Throughput::Elements((ROWS * TOKENS) as u64));
        for entry in entries {
            let mut model = Some(attached(adapted, entry, &device));
            let mut optimizer = AdamWConfig::new().init();
            group.bench_function(entry.id, |bencher| {
                bencher.iter(|| {
                    let current = model.take().expect("every step puts a model back");
                    model = Some(step(current, &mut optimizer, &batch));
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

//! Times forward and backward of an encoder folder: `cargo run -p peft-models --example step_time -- FOLDER`.
#![allow(
    clippy::print_stdout,
    reason = "a command-line example prints its result"
)]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use peft_core::{Adaptable, AdaptedLinear, Pass};
use peft_models::{SequenceClassifier, TokenBatch, load_classifier};

/// Lets gradients flow through the whole stack: the first layer's query bias trains, little else.
fn with_one_trainable(mut model: SequenceClassifier) -> SequenceClassifier {
    let mut first = true;
    model.visit_linears_mut(&mut |linear: &mut AdaptedLinear| {
        if std::mem::take(&mut first) {
            linear.bias = linear
                .bias
                .take()
                .map(|bias: Param<Tensor<1>>| bias.set_require_grad(true));
        }
    });
    model
}

/// The median of seven runs after one to warm up.
fn median(mut run: impl FnMut()) -> Duration {
    run();
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn batch(
    rows: u32,
    seq: u32,
    padding: bool,
    device: &Device,
) -> Result<TokenBatch, Box<dyn Error>> {
    let length = |row: u32| if padding { seq - row % (seq / 4) } else { seq };
    let ids: Vec<Vec<u32>> = (0..rows)
        .map(|row| (0..length(row)).map(|i| 1000 + 7 * i + row).collect())
        .collect();
    Ok(TokenBatch::new(&ids, None, 0, device)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: step_time FOLDER")?;
    for (rows, seq, padding) in [
        (16, 128, false),
        (16, 128, true),
        (32, 24, false),
        (32, 24, true),
    ] {
        let plain = Device::flex();
        let model = load_classifier(Path::new(&folder), Some(2), 0, &plain)?.model;
        let tokens = batch(rows, seq, padding, &plain)?;
        let forward = median(|| {
            model.logits(&tokens, &mut Pass::eval()).into_data();
        });
        let device = Device::flex().autodiff();
        let model =
            with_one_trainable(load_classifier(Path::new(&folder), Some(2), 0, &device)?.model);
        let tokens = batch(rows, seq, padding, &device)?;
        let step = |mut pass: Pass<'_>| {
            let loss = model.logits(&tokens, &mut pass).powi_scalar(2).mean();
            loss.backward();
        };
        let both = median(|| step(Pass::eval()));
        let dropout = median(|| step(Pass::train(1)));
        let [forward, both, dropout] = [forward, both, dropout].map(|time| time.as_millis());
        println!(
            "{rows} x {seq}, padding {padding}: forward {forward} ms, forward + backward {both} ms, with dropout {dropout} ms"
        );
    }
    Ok(())
}
